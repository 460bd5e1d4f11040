// The panel "which arm for your budget": it looks up the answers that benchmarks/reports/html/grid.py has computed.
const panelRegime = () => regimeOf[byId('budget-regime').value];
const panelSize = () => Number(byId('budget-n').value);
const panelRatio = () => Number(byId('budget-ratio').value);
const count = (n) => n.toLocaleString('en');

// A value of a table over HF labels and price ratios, in which equal values may stand as one.
function lookUp(table, row, column) {
  const line = Array.isArray(table) ? table[row] : table;
  return Array.isArray(line) ? line[column] : line;
}

// Label cost of an arm at the chosen price ratio, in HF labels; NaN for a size that is no number.
function panelCost(regime, arm, size) {
  const table = (regime.budget.costs[arm] || {})[size];
  const column = regime === panelRegime() ? panelRatio() : nearestRatio(regime);
  return table === undefined ? NaN : lookUp(table, 0, column);
}

// Place of the chosen price ratio, or of the next to it, among those of another regime.
function nearestRatio({ budget: { ratios } }) {
  const wanted = panelRegime().budget.ratios[panelRatio()];
  const off = ratios.map((ratio) => Math.abs(ratio - wanted));
  return off.indexOf(Math.min(...off));
}

// Sets the sliders to a measured size and to the measured price ratio, or to an assumed one.
function resetPanel() {
  const { sizes, ratios, start, prices, nLow, needsLow } = panelRegime().budget;
  for (const [id, values, first] of [['budget-n', sizes, start[0]], ['budget-ratio', ratios, start[1]]]) {
    const slider = byId(id);
    slider.max = Math.max(values.length - 1, 0);
    slider.disabled = values.length < 2;
    slider.value = first;
  }
  byId('budget-alone').disabled = !needsLow;
  const begin = ratios[start[1]];
  let text = `The cost of labels is not known for these runs: the price ratio begins at ${begin}, an assumption.`;
  if (nLow === null) text = 'The number of LF labels is not known for these runs: they are taken as free.';
  else if (prices) {
    text =
      `Measured: one HF label costs ${number(prices.high)} CPU-s and one LF label ${number(prices.low)} CPU-s; ` +
      'the price ratio begins there.';
  }
  byId('budget-prices').textContent = text;
}

// Writes the positions of the sliders, for the eye and for a screen reader.
function describePanel({ sizes, ratios, nLow, worth }) {
  const [n, ratio] = [sizes[panelSize()], ratios[panelRatio()]];
  const price = ratio === 0 ? 'free' : String(ratio);
  byId('budget-n-value').textContent = count(n);
  byId('budget-n').setAttribute('aria-valuetext', `${count(n)} HF labels`);
  byId('budget-ratio-value').textContent = price;
  byId('budget-ratio').setAttribute('aria-valuetext', ratio === 0 ? 'LF labels are free' : `${price} HF labels`);
  const low = nLow === null ? 'LF labels' : `${count(nLow)} LF labels`;
  const each = ratio === 0 ? 'free of charge' : `at ${price} HF labels each`;
  const total = lookUp(worth, panelSize(), panelRatio());
  byId('budget-worth').textContent =
    `The budget: ${count(n)} HF labels and ${low} ${each}, together worth ${number(total, Math.max(3, String(Math.floor(total)).length))} HF labels.`;
}

function updatePanel() {
  const regime = panelRegime();
  const series = `${chosen.metric}|${chosen.split}`;
  const [row, column] = [panelSize(), panelRatio()];
  const answer = byId('budget-answer');
  const body = byId('budget-table').tBodies[0];
  body.textContent = '';
  answer.dataset.arm = '';
  answer.dataset.probability = '';
  byId('budget-worth').textContent = '';
  if (!regime.budget.sizes.length || !regime.series[series]) {
    answer.textContent = regime.series[series]
      ? 'No HF set size of this regime is a number.'
      : 'No run of this regime has the chosen metric and split.';
    return;
  }
  describePanel(regime.budget);
  const tables = regime.series[series].budget;
  const found = (byId('budget-alone').checked && tables.alone) || tables.all;
  const [arm, probability, sentence] = data.reasons[lookUp(found.reason, row, column)];
  const [metric, split] = series.split('|');
  byId('budget-error').textContent = `expected ${axisTitle(series)}`;
  answer.textContent = '';
  answer.append(element('strong', arm === null ? 'None can be named. ' : `${arm}. `));
  answer.append(element('span', sentence, { id: 'budget-reason' }));
  answer.append(` By ${metricOf[metric].label}, ${splitOf[split].label}.`);
  answer.dataset.arm = arm === null ? '' : arm;
  answer.dataset.probability = probability === null ? '' : probability;
  const options = Object.keys(found.state).map((name) => ({
    name,
    n: lookUp(regime.budget.bought[name], row, column),
    remark: data.rule.remarks[lookUp(found.state[name], row, column)],
    error: lookUp(found.error[name], row, column),
    chance: lookUp(found.probability[name], row, column),
  }));
  options.sort((a, b) => (b.chance ?? -1) - (a.chance ?? -1) || (a.error ?? Infinity) - (b.error ?? Infinity) || 0);
  for (const option of options) {
    const line = element('tr', undefined, { 'data-option': option.name });
    line.append(
      element('th', option.name, { scope: 'row' }),
      element('td', count(option.n), { class: 'number', 'data-value': option.n }),
      element('td', number(option.error), { class: 'number', 'data-value': option.error }),
      element('td', option.chance === null ? MISSING : option.chance.toFixed(2), { class: 'number', 'data-value': option.chance }),
      element('td', option.remark),
    );
    if (option.name === arm) line.classList.add('named');
    line.hidden = !ticked('arm').has(option.name);
    body.append(line);
  }
}

function startPanel() {
  if (!data.regimes.some((regime) => regime.budget.sizes.length)) return;
  byId('budget').hidden = byId('budget-link').hidden = false;
  byId('budget-alone').closest('label').hidden = !data.regimes.some((regime) => regime.budget.needsLow);
  resetPanel();
  byId('budget-regime').addEventListener('change', () => {
    resetPanel();
    updatePanel();
    drawCharts('cost');
  });
  for (const id of ['budget-n', 'budget-ratio', 'budget-alone']) {
    byId(id).addEventListener('input', () => {
      updatePanel();
      if (chosen.cost === PANEL_COST && id === 'budget-ratio') drawCharts('cost');
    });
  }
  byId('budget-form').addEventListener('submit', (event) => event.preventDefault());
}

// The panel "which arm for my budget".
const REMARKS = {
  judged: '',
  more: 'could buy more than was measured: judged at the end of its reach',
  fewer: 'can buy fewer than were measured: judged at the end of its reach',
  none: 'cannot be judged',
};

const panelRegime = () => regimeOf[byId('budget-regime').value];

// What the panel's inputs say; NaN where one is empty.
function panelPrices() {
  return {
    highPrice: data.prices[Number(byId('budget-price').value)],
    lowPrice: byId('budget-low').value === '' ? NaN : Number(byId('budget-low').value),
    nLow: byId('budget-n-low').value === '' ? NaN : Number(byId('budget-n-low').value),
  };
}

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, index) => {
    if (Math.abs(Math.log(value / wanted)) < Math.abs(Math.log(values[best] / wanted))) best = index;
  });
  return best;
}

// Sets the inputs to what was measured in a regime, or to what has to be assumed.
function resetPanel() {
  const regime = panelRegime();
  const slider = byId('budget-n');
  slider.max = Math.max(regime.sliderSizes.length - 1, 0);
  slider.disabled = regime.sliderSizes.length < 2;
  slider.value = nearest(regime.sliderSizes, regime.sizes[Math.floor((regime.sizes.length - 1) / 2)]);
  const price = byId('budget-price');
  price.max = data.prices.length - 1;
  const measured = regime.labelPrices;
  price.value = nearest(data.prices, measured ? measured.high : 1000);
  byId('budget-low').value = measured ? Number(measured.low.toPrecision(3)) : 1;
  byId('budget-n-low').value = regime.nLow === null ? '' : regime.nLow;
  byId('budget-prices').textContent = measured
    ? 'Prices begin at what the labels cost when they were computed, in CPU-s.'
    : 'What the labels cost is not known for these runs: the prices are an assumption, in any unit (CPU-s, a currency), the same for both.';
}

function updatePanel() {
  const regime = panelRegime();
  const series = `${chosen.metric}|${chosen.split}`;
  const nHigh = regime.sliderSizes[Number(byId('budget-n').value)];
  const { highPrice, lowPrice, nLow } = panelPrices();
  byId('budget-n-value').textContent = nHigh;
  byId('budget-n').setAttribute('aria-valuetext', `${nHigh} labels`);
  byId('budget-price-value').textContent = highPrice.toLocaleString('en');
  byId('budget-price').setAttribute('aria-valuetext', String(highPrice));
  const answer = byId('budget-answer');
  const body = byId('budget-table').tBodies[0];
  body.textContent = '';
  const usable = regime.series[series] && lowPrice >= 0 && nLow >= 0;
  answer.dataset.arm = '';
  answer.dataset.probability = '';
  if (!usable) {
    answer.textContent = regime.series[series]
      ? 'Give a price and a number of LF labels, at least zero.'
      : 'No run of this regime has the chosen metric and split.';
    return;
  }
  const names = data.arms.map((arm) => arm.name).filter((name) => !isCeiling(name) && ticked('arm').has(name));
  const run = new Set(regime.runs.map((one) => one.arm));
  const curves = armCurves(regime, series, names.filter((name) => run.has(name)));
  const found = choose(curves, { nHigh, nLow, highPrice, lowPrice });
  const [metric, split] = series.split('|');
  byId('budget-error').textContent = `expected ${axisTitle(series)}`;
  answer.textContent = '';
  answer.append(element('strong', found.arm === null ? 'None can be named. ' : `${found.arm}. `));
  answer.append(element('span', found.reason, { id: 'budget-reason' }));
  answer.append(` By ${metricOf[metric].label}, ${splitOf[split].label}.`);
  answer.dataset.arm = found.arm === null ? '' : found.arm;
  answer.dataset.probability = found.probability;
  const rank = ({ probability }) => (Number.isNaN(probability) ? -1 : Number(probability.toFixed(2)));
  const order = [...found.options].sort((a, b) => rank(b) - rank(a) || a.error - b.error || 0);
  for (const option of order) {
    const row = element('tr', undefined, { 'data-option': option.arm });
    const said = Number.isNaN(option.probability) ? MISSING : option.probability.toFixed(2);
    row.append(
      element('th', option.arm, { scope: 'row' }),
      element('td', option.n < 1e5 ? String(Math.floor(option.n + 1e-9)) : number(option.n), { class: 'number', 'data-value': option.n }),
      element('td', number(option.error), { class: 'number', 'data-value': option.error }),
      element('td', said, { class: 'number', 'data-value': option.probability }),
      element('td', REMARKS[option.state]),
    );
    if (option.arm === found.arm) row.classList.add('named');
    body.append(row);
  }
}

function startPanel() {
  if (!data.regimes.some((regime) => regime.sizes.length)) return;
  byId('budget').hidden = false;
  resetPanel();
  byId('budget-regime').addEventListener('change', () => {
    resetPanel();
    updatePanel();
    drawCharts('cost');
  });
  for (const id of ['budget-n', 'budget-price', 'budget-low', 'budget-n-low']) {
    byId(id).addEventListener('input', () => {
      updatePanel();
      if (chosen.cost === PANEL_COST && id !== 'budget-n') drawCharts('cost');
    });
  }
  byId('budget-form').addEventListener('submit', (event) => event.preventDefault());
}

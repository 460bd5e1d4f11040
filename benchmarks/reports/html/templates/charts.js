// Learning curves, error against cost, and paired ratios, one of each a regime; drawn when they come into view.
const dark = window.matchMedia('(prefers-color-scheme: dark)');
const chosen = { metric: '', split: '', cost: '', reference: '', size: '' };
const PANEL_COST = 'panel';
const PANEL_COST_TITLE = "label cost at the panel's price ratio (HF labels)";

function colours() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  return { paper: value('--paper'), ink: value('--ink'), soft: value('--soft'), rule: value('--rule') };
}

const colourOf = (arm) => (dark.matches ? armOf[arm].dark : armOf[arm].colour);
const axisTitle = (series) => `${metricOf[series.split('|')[0]].label} (${metricOf[series.split('|')[0]].unit})`;

function frame(height, extra) {
  const { paper, ink, soft } = colours();
  return {
    height,
    paper_bgcolor: 'rgba(0,0,0,0)',
    plot_bgcolor: 'rgba(0,0,0,0)',
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink },
    margin: { l: 64, r: 20, t: 28, b: 52 },
    modebar: { bgcolor: 'rgba(0,0,0,0)', color: soft, activecolor: ink },
    hovermode: 'closest',
    hoverlabel: { bgcolor: paper, bordercolor: ink, font: { size: 12, color: ink }, align: 'left' },
    showlegend: false,
    ...extra,
  };
}

function axis(title, extra) {
  const { rule, soft } = colours();
  return {
    title: { text: title, standoff: 10 },
    gridcolor: rule,
    linecolor: soft,
    zeroline: false,
    showline: true,
    ticks: 'outside',
    tickcolor: soft,
    ticklen: 4,
    ...extra,
  };
}

// Steps within a decade that ticks stand at, from few to many.
const STEPS = [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7], [1, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2, 2.2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9]];

// Ticks of a logarithmic axis over [low, high]: of these steps the first that make three or more.
function logTicks(low, high) {
  const decades = [];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade += 1) decades.push(decade);
  const ticks = (steps) =>
    decades
      .flatMap((decade) => steps.map((step) => Number((step * 10 ** decade).toPrecision(3))))
      .filter((value) => value >= low * 0.999 && value <= high * 1.001);
  const wide = Math.log10(high / low) > 3;
  const usable = wide ? STEPS : STEPS.slice(1);
  const seen = ticks(usable.find((steps) => ticks(steps).length >= 3) || usable[usable.length - 1]);
  const text = (value) => value.toLocaleString('en', { maximumSignificantDigits: 3 });
  return { tickmode: 'array', tickvals: seen, ticktext: seen.map(text) };
}

// Bars of two draws may be longer than any axis: the means set what is in view, with room around.
function logAxis(title, values, room = 1.6, extra = {}) {
  const [low, high] = [Math.min(...values) / room, Math.max(...values) * room];
  return axis(title, { type: 'log', range: [Math.log10(low), Math.log10(high)], ...logTicks(low, high), ...extra });
}

function bars(points) {
  return {
    type: 'data',
    symmetric: false,
    array: points.map(([estimate, , high]) => (high === null ? 0 : high - estimate)),
    arrayminus: points.map(([estimate, low]) => (low === null ? 0 : estimate - low)),
    thickness: 1,
    width: 0,
  };
}

function marker(arm, extra = {}) {
  return { symbol: armOf[arm].marker, color: colourOf(arm), size: 9, line: { width: 1.2, color: colourOf(arm) }, ...extra };
}

// HF set sizes in their order, "all" last.
function labelsOf(regime) {
  return Object.keys(regime.places).sort((a, b) => regime.places[a] - regime.places[b]);
}

function curveChart(regime, series, arms) {
  const { means, laws } = regime.series[series];
  const curved = arms.filter((arm) => !isCeiling(arm) && means[arm]);
  const labels = labelsOf(regime);
  const places = labels.map((label) => regime.places[label]);
  if (!labels.length) return null;
  const steps = places.slice(1).map((place, index) => Math.log(place / places[index]));
  const gap = (0.35 * (steps.length ? Math.min(...steps) : 1)) / Math.max(curved.length, 1);
  const traces = [];
  const seen = [];
  curved.forEach((arm, index) => {
    const shift = Math.exp(gap * (index - (curved.length - 1) / 2));
    const here = labels.filter((label) => means[arm][label]);
    const points = here.map((label) => means[arm][label]);
    const numbers = here.map(Number).filter(Number.isFinite);
    seen.push(...points.map(([estimate]) => estimate));
    if (laws[arm] && numbers.length) {
      const ends = [numbers[0], numbers[numbers.length - 1]];
      const [amplitude, exponent] = laws[arm];
      traces.push({
        x: ends.map((n) => n * shift),
        y: ends.map((n) => amplitude * n ** -exponent),
        mode: 'lines',
        line: { color: colourOf(arm), dash: armOf[arm].dash, width: 1.3 },
        hoverinfo: 'skip',
      });
    }
    traces.push({
      x: here.map((label) => regime.places[label] * shift),
      y: points.map(([estimate]) => estimate),
      error_y: { ...bars(points), color: `${colourOf(arm)}99` },
      mode: 'markers',
      marker: marker(arm),
      name: arm,
      hovertemplate: points.map((point, i) => `${meanText(regime, arm, here[i], series, point)}<extra></extra>`),
    });
  });
  const room = Math.exp(gap * curved.length + 0.08);
  const ends = [places[0] / room, places[places.length - 1] * room];
  for (const arm of arms.filter((name) => isCeiling(name) && means[name] && means[name].all)) {
    const ceiling = means[arm].all;
    seen.push(ceiling[0]);
    const steps = Array.from({ length: 25 }, (_, i) => ends[0] * (ends[1] / ends[0]) ** (i / 24)); // to rest on anywhere
    traces.unshift({
      x: steps,
      y: steps.map(() => ceiling[0]),
      mode: 'lines',
      line: { color: colourOf(arm), dash: armOf[arm].dash, width: 1.3 },
      name: arm,
      hovertemplate: `${meanText(regime, arm, 'all', series, ceiling)}<extra></extra>`,
    });
  }
  if (!seen.length) return null;
  const ticks = { tickmode: 'array', tickvals: places, ticktext: labels };
  const layout = frame(400, {
    xaxis: axis('HF labels n<sub>high</sub>', { type: 'log', range: ends.map(Math.log10), ...ticks }),
    yaxis: logAxis(axisTitle(series), seen),
  });
  return [traces, layout];
}

function costOf(regime, arm, size) {
  if (chosen.cost !== PANEL_COST) {
    const known = regime.costs[chosen.cost] && regime.costs[chosen.cost][arm];
    const { scale } = data.costs.find((cost) => cost.name === chosen.cost);
    return known && known[size] !== undefined ? scale * known[size] : NaN;
  }
  return panelCost(regime, arm, size);
}

function costTitle() {
  if (chosen.cost === PANEL_COST) return PANEL_COST_TITLE;
  const { title, unit } = data.costs.find((cost) => cost.name === chosen.cost);
  return `${title} (${unit})`;
}

function costChart(regime, series, arms) {
  const { means } = regime.series[series];
  const traces = [];
  const seen = { x: [], y: [] };
  for (const arm of arms.filter((name) => means[name])) {
    const here = Object.keys(means[arm]).filter((size) => costOf(regime, arm, size) > 0);
    if (!here.length) continue;
    here.sort((a, b) => Number(a) - Number(b));
    const points = here.map((size) => means[arm][size]);
    const costs = here.map((size) => costOf(regime, arm, size));
    seen.x.push(...costs);
    seen.y.push(...points.map(([estimate]) => estimate));
    traces.push({
      x: costs,
      y: points.map(([estimate]) => estimate),
      error_y: { ...bars(points), color: `${colourOf(arm)}99` },
      mode: 'lines+markers',
      line: { color: colourOf(arm), dash: armOf[arm].dash, width: 1 },
      marker: marker(arm),
      name: arm,
      hovertemplate: points.map(
        (point, i) => `${meanText(regime, arm, here[i], series, point)}<br>${plain(costTitle())}: ${number(costs[i])}<extra></extra>`,
      ),
    });
  }
  if (!traces.length) return null;
  const layout = frame(400, { xaxis: logAxis(costTitle(), seen.x, 1.3), yaxis: logAxis(axisTitle(series), seen.y) });
  return [traces, layout];
}

function forestChart(regime, series, arms) {
  const labels = labelsOf(regime);
  const size = labels.includes(chosen.size) ? chosen.size : labels[labels.length - 1];
  const lines = ((regime.series[series].ratios[size] || {})[chosen.reference]) || {};
  const shown = arms.filter((arm) => lines[arm]).reverse();
  if (!shown.length) return null;
  const { soft } = colours();
  const traces = shown.map((arm) => {
    const line = lines[arm];
    const [ratio, low, high, p] = line;
    const clear = p !== null && p < 0.05;
    return {
      x: [ratio],
      y: [arm],
      error_x: {
        type: 'data',
        visible: low !== null,
        symmetric: false,
        array: [high === null ? 0 : high - ratio],
        arrayminus: [ratio - low],
        thickness: 1.3,
        width: 3,
        color: colourOf(arm),
      },
      mode: 'markers',
      marker: marker(arm, { symbol: clear ? 'square' : 'square-open', size: 8 }),
      hovertemplate: `${ratioText(regime, arm, chosen.reference, size, series, line)}<extra></extra>`,
    };
  });
  const reachable = shown.flatMap((arm) => lines[arm].slice(0, 3)).filter((value) => value !== null && value > 1e-4 && value < 1e4);
  const title = `ratio to ${plain(chosen.reference)}, n<sub>high</sub> = ${size}`;
  const layout = frame(112 + 26 * shown.length, {
    margin: { l: 8, r: 20, t: 28, b: 56 },
    xaxis: logAxis(title, [...reachable, 1], 1.15),
    yaxis: axis('', { automargin: true, showgrid: false, type: 'category', title: undefined, ticks: '', range: [-0.6, shown.length - 0.4] }),
    shapes: [{ type: 'line', x0: 1, x1: 1, y0: 0, y1: 1, yref: 'paper', line: { color: soft, width: 1 } }],
  });
  return [traces, layout];
}

// The markers of the charts as characters, for the legends; the selector keeps them from turning into pictures.
const GLYPHS = {
  circle: '●',
  square: '■',
  diamond: '◆',
  'triangle-up': '▲',
  'triangle-down': '▼',
  'triangle-left': '◀',
  'triangle-right': '▶',
  cross: '✚',
  x: '✖',
  star: '★',
  hexagon: '⬢',
  pentagon: '⬟',
};

function paintGlyphs() {
  for (const glyph of all('.glyph')) {
    const line = glyph.closest('.legend') && isCeiling(glyph.dataset.glyph);
    // Drawn by the style sheet: a picture beside the arm's name, and no text of its own.
    glyph.dataset.sign = line ? '╌╌' : `${GLYPHS[armOf[glyph.dataset.glyph].marker]}\ufe0e`;
    glyph.style.color = colourOf(glyph.dataset.glyph);
  }
}

const DRAW = { curve: curveChart, cost: costChart, forest: forestChart };
const NOTHING = {
  curve: 'No run has this metric on this split.',
  cost: 'This cost is not known for these runs.',
  forest: 'No arm can be compared with this reference here.',
};

function drawChart(box) {
  const regime = regimeOf[box.dataset.regime];
  const series = `${chosen.metric}|${chosen.split}`;
  const arms = data.arms.map((arm) => arm.name).filter((name) => ticked('arm').has(name));
  const made = regime.series[series] ? DRAW[box.dataset.chart](regime, series, arms) : null;
  box.classList.toggle('empty', made === null);
  if (made === null) {
    Plotly.purge(box);
    box.textContent = NOTHING[box.dataset.chart];
    return;
  }
  if (!box.data) box.textContent = '';
  Plotly.react(box, made[0], made[1], {
    responsive: true,
    displayModeBar: 'hover',
    displaylogo: false,
    modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']], // and none that sends anything anywhere
    toImageButtonOptions: { format: 'svg', filename: `mfbench-${box.dataset.chart}` },
  });
  for (const drawing of all('svg.main-svg', box)) drawing.setAttribute('aria-hidden', 'true'); // ticks without their axes
}

const inView = new Set();

function drawCharts(kind) {
  for (const box of inView) {
    if ((!kind || box.dataset.chart === kind) && !box.closest('[hidden]')) drawChart(box);
  }
}

function startCharts() {
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting && !inView.has(target)) {
          inView.add(target);
          drawChart(target);
        }
      }
    },
    { rootMargin: '50%' },
  );
  for (const box of all('.chart')) observer.observe(box);
  paintGlyphs();
  dark.addEventListener('change', () => {
    paintGlyphs();
    drawCharts();
  });
  window.addEventListener('beforeprint', () => {
    for (const box of all('.chart')) inView.add(box);
    drawCharts();
  });
}

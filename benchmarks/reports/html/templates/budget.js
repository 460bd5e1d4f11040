// The budget rule. benchmarks/reports/html/budget.py is its definition and has its documentation.

function firstPrimes(n) {
  const found = [];
  for (let candidate = 2; found.length < n; candidate += 1) {
    if (found.every((prime) => candidate % prime !== 0)) found.push(candidate);
  }
  return found;
}

const madeNormals = new Map();

// Quasi-random standard normals: `n` columns of data.rule.points numbers.
function normals(n) {
  if (madeNormals.has(n)) return madeNormals.get(n);
  const pairs = Math.floor((n + 1) / 2);
  const roots = firstPrimes(2 * pairs).map(Math.sqrt);
  const columns = Array.from({ length: 2 * pairs }, () => new Float64Array(data.rule.points));
  for (let pair = 0; pair < pairs; pair += 1) {
    for (let i = 0; i < data.rule.points; i += 1) {
      const first = (i + 1) * roots[pair];
      const second = (i + 1) * roots[pairs + pair];
      const radius = Math.sqrt(-2 * Math.log(first - Math.floor(first)));
      const angle = 2 * Math.PI * (second - Math.floor(second));
      columns[pair][i] = radius * Math.cos(angle);
      columns[pairs + pair][i] = radius * Math.sin(angle);
    }
  }
  madeNormals.set(n, columns);
  return columns;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

// Probability of the smallest expected error, from mean log errors table[arm][draw].
function probabilities(table) {
  const arms = table.length;
  const units = table[0].length;
  const centre = table.map(mean);
  const columns = table[0].map((_, unit) => mean(table.map((row) => row[unit])));
  const overall = mean(centre);
  const interaction = table.map((row, arm) => row.map((value, unit) => value - centre[arm] - columns[unit] + overall));
  const own = units - 1;
  const borrowed = Math.min(data.rule.prior, (arms - 2) * own);
  const freedom = own + borrowed;
  const pooled = interaction.flat().reduce((sum, value) => sum + value * value, 0) / ((arms - 1) * own);
  const common = Math.sqrt((borrowed * pooled) / (freedom * units));
  const root = Math.sqrt(freedom * units);
  const z = normals(arms + units + freedom);
  const shares = new Array(arms).fill(0);
  const sample = new Float64Array(arms);
  for (let i = 0; i < data.rule.points; i += 1) {
    let squares = 0;
    for (let k = arms + units; k < arms + units + freedom; k += 1) squares += z[k][i] * z[k][i];
    const scale = Math.sqrt(squares / freedom);
    let smallest = Infinity;
    for (let arm = 0; arm < arms; arm += 1) {
      let noise = 0;
      for (let unit = 0; unit < units; unit += 1) noise += interaction[arm][unit] * z[arms + unit][i];
      sample[arm] = centre[arm] + (common * z[arm][i] + noise / root) / scale;
      if (sample[arm] < smallest) smallest = sample[arm];
    }
    const best = [];
    for (let arm = 0; arm < arms; arm += 1) if (sample[arm] <= smallest + 1e-12) best.push(arm);
    for (const arm of best) shares[arm] += 1 / best.length;
  }
  return shares.map((share) => share / data.rule.points);
}

// Where on a curve n labels are: state, and [size, weight] of the measured sizes; null if nowhere.
function placeOn(sizes, n) {
  if (!sizes.length || n < 1) return null;
  const first = sizes[0] / data.rule.reach;
  const last = sizes[sizes.length - 1] * data.rule.reach;
  const state = n < first ? 'fewer' : n > last ? 'more' : 'judged';
  if (sizes.length === 1) return { state, weights: [[sizes[0], 1]] };
  const at = Math.min(Math.max(n, first), last);
  let left = 0;
  for (let i = 0; i < sizes.length - 1; i += 1) if (sizes[i] <= at) left = i;
  const [start, end] = [sizes[left], sizes[left + 1]];
  const share = Math.log(at / start) / Math.log(end / start);
  if (Math.abs(share) < 1e-9) return { state, weights: [[start, 1]] };
  if (Math.abs(share - 1) < 1e-9) return { state, weights: [[end, 1]] };
  return { state, weights: [[start, 1 - share], [end, share]] };
}

// By arm: sizes, runs by size as a map from "draw,seed" to the error, failed runs by size, and needs.
function armCurves(regime, series, names) {
  const found = new Map();
  for (const name of names) {
    const perHigh = armOf[name].lowPerHigh && regime.regime.pairing === 'disjoint' ? 1 : 0;
    found.set(name, { runs: new Map(), failed: new Map(), usesLow: armOf[name].usesLow, perHigh });
  }
  regime.runs.forEach((run, index) => {
    const arm = found.get(run.arm);
    if (!arm || !/^\d+$/.test(run.n)) return;
    const size = Number(run.n);
    if (run.failed) arm.failed.set(size, (arm.failed.get(size) || 0) + 1);
    const value = regime.series[series].values[index];
    if (value === null || !(value > 0)) return;
    if (!arm.runs.has(size)) arm.runs.set(size, new Map());
    arm.runs.get(size).set(`${run.draw},${run.seed}`, value);
  });
  return found;
}

function choose(curves, { nHigh, nLow, highPrice, lowPrice }) {
  const options = [];
  const places = new Map();
  for (const [arm, known] of curves) {
    const money = nHigh * highPrice + (known.usesLow ? 0 : nLow * lowPrice);
    const n = money / (highPrice + known.perHigh * lowPrice);
    const place = placeOn([...known.runs.keys()].sort((a, b) => a - b), n);
    if (place) places.set(arm, place);
    options.push({ arm, n, state: place ? place.state : 'none', error: NaN, probability: NaN });
  }
  const abstain = (reason, probability = NaN) => ({ arm: null, probability, reason, options });
  if (places.size < 2) return abstain('Fewer than two arms can be judged: nothing can be compared.');
  const used = [];
  for (const [arm, place] of places) for (const [size] of place.weights) used.push(curves.get(arm).runs.get(size));
  const common = [...used[0].keys()].filter((key) => used.every((runs) => runs.has(key)));
  const draws = [...new Set(common.map((key) => Number(key.split(',')[0])))].sort((a, b) => a - b);
  if (draws.length < 2) {
    return abstain('The arms have fewer than two draws of the HF set in common: no probability can be given.');
  }
  const meanLog = (runs, draw) =>
    mean(common.filter((key) => Number(key.split(',')[0]) === draw).map((key) => Math.log(runs.get(key))));
  const judged = [...places.keys()];
  const table = judged.map((arm) =>
    draws.map((draw) =>
      places.get(arm).weights.reduce((sum, [size, weight]) => sum + weight * meanLog(curves.get(arm).runs.get(size), draw), 0)));
  const shares = probabilities(table);
  judged.forEach((arm, index) => {
    const option = options.find((one) => one.arm === arm);
    option.error = Math.exp(mean(table[index]));
    option.probability = shares[index];
  });
  const likely = ({ probability }) => (Number.isNaN(probability) ? -1 : probability);
  const best = options.reduce((a, b) => (likely(b) > likely(a) ? b : a));
  const chance = best.probability;
  const said = chance.toFixed(2);
  if (chance < data.rule.threshold) {
    return abstain(
      `No arm reaches a probability of ${data.rule.threshold.toFixed(2)} of having the smallest error; ` +
        `${best.arm} comes closest with ${said} over ${draws.length} draws.`,
      chance,
    );
  }
  if (places.get(best.arm).weights.some(([size]) => curves.get(best.arm).failed.get(size))) {
    return abstain(`${best.arm} would be best (probability ${said}), but some of its runs failed.`, chance);
  }
  if (best.state === 'fewer') {
    return abstain(
      `${best.arm} would be best with more HF labels than it can buy; with so few it was not measured.`,
      chance,
    );
  }
  const unknown = options.filter((option) => option.state === 'more' && option.arm !== best.arm);
  if (unknown.length) {
    return abstain(
      `${best.arm} would be best (probability ${said}), but ${unknown.map((option) => option.arm).join(', ')} ` +
        'could buy more HF labels than were measured.',
      chance,
    );
  }
  const reason =
    `${best.arm} has the smallest expected error with probability ${said} over ${draws.length} draws ` +
    `(${common.length} runs).`;
  return { arm: best.arm, probability: chance, reason, options };
}

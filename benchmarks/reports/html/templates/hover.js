// What a chart says where the pointer rests.
const KEYS_SHOWN = 8;
const KEY_DIGITS = 12;

// Plotly reads a little HTML in such texts, and %{...} as its own.
const plain = (text) =>
  String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/%\{/g, '%&#123;');

function keysOf(regime, arm, size, series) {
  const values = regime.series[series].values;
  return regime.runs
    .filter((run, index) => run.arm === arm && run.n === String(size) && values[index] !== null)
    .map((run) => run.key);
}

function keyLines(keys) {
  const shown = keys.slice(0, KEYS_SHOWN).map((key) => plain(key.slice(0, KEY_DIGITS)));
  const lines = [];
  for (let i = 0; i < shown.length; i += 2) lines.push(shown.slice(i, i + 2).join('  '));
  if (keys.length > KEYS_SHOWN) lines.push(`and ${keys.length - KEYS_SHOWN} more`);
  return `run keys ${lines.join('<br>')}`;
}

const counted = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;

function meanText(regime, arm, size, series, point) {
  const [estimate, low, high, runs, units, over] = point;
  const { unit } = metricOf[series.split('|')[0]];
  const interval =
    low === null
      ? 'no interval: one run'
      : `${100 * data.rule.level} % interval ${number(low)} to ${high === null ? '∞' : number(high)} ${plain(unit)}`;
  return [
    `<b>${plain(arm)}</b>, n<sub>high</sub> = ${plain(size)}`,
    `${number(estimate)} ${plain(unit)} (geometric mean)`,
    interval,
    units > 1 ? `${counted(runs, 'run')} on ${units} ${over}` : counted(runs, 'run'),
    keyLines(keysOf(regime, arm, size, series)),
  ].join('<br>');
}

function ratioText(regime, arm, reference, size, series, line) {
  const [ratio, low, high, p, runs, units, over, groups] = line;
  const interval = low === null ? 'no interval' : `95 % interval ${number(low)} to ${high === null ? '∞' : number(high)}`;
  return [
    `<b>${plain(arm)} / ${plain(reference)}</b>, n<sub>high</sub> = ${plain(size)}`,
    `ratio of errors ${number(ratio)}`,
    interval,
    p === null ? 'no test: one draw and seed' : `p (Holm) ${p < 0.001 ? '< 0.001' : p.toFixed(3)}`,
    `${counted(runs, 'pair')} of runs${units > 1 ? ` on ${units} ${over}` : ''}${groups ? `, ${groups} groups of test frames` : ', for these test frames'}`,
    keyLines(keysOf(regime, arm, size, series)),
  ].join('<br>');
}

// The page's data, and how numbers are written: as in the tables.
const data = JSON.parse(document.getElementById('data').textContent);
const armOf = Object.fromEntries(data.arms.map((arm) => [arm.name, arm]));
const isCeiling = (name) => armOf[name].role === 'ceiling';
const metricOf = Object.fromEntries(data.metrics.map((metric) => [metric.name, metric]));
const splitOf = Object.fromEntries(data.splits.map((split) => [split.name, split]));
const regimeOf = Object.fromEntries(data.regimes.map((regime) => [regime.id, regime]));
const byId = (id) => document.getElementById(id);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

const MISSING = '–';

function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  if (value === 0) return '0';
  const rounded = Number(value.toPrecision(digits));
  const magnitude = Math.floor(Math.log10(Math.abs(rounded)) + 1e-12);
  if (magnitude < -4 || magnitude >= 9) return value.toExponential(digits - 1);
  return value.toFixed(Math.max(digits - 1 - magnitude, 0));
}

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

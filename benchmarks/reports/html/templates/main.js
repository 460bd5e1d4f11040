// Puts the parts together.

function fillChoices() {
  const first = data.regimes[0];
  chosen.metric = byId('metric').value = first.metric;
  chosen.split = byId('split').value = first.split;
  const cost = byId('cost');
  const known = (name) => data.regimes.some((regime) => Object.keys(regime.costs[name] || {}).length);
  for (const one of data.costs.filter(({ name }) => known(name))) {
    cost.append(element('option', `${one.title} (${one.unit})`, { value: one.name }));
  }
  const priced = data.regimes.some((regime) => regime.budget.sizes.length);
  if (priced || !cost.options.length) cost.append(element('option', PANEL_COST_TITLE, { value: PANEL_COST }));
  const usual = known('label_cost_cpu_s') ? 'label_cost_cpu_s' : PANEL_COST;
  cost.value = usual;
  if (cost.selectedIndex < 0) cost.selectedIndex = 0;
  chosen.cost = cost.value;
  const labels = [...new Set(data.regimes.flatMap(labelsOf))];
  const sizes = [...labels.filter((label) => label !== 'all').sort((a, b) => a - b), ...labels.filter((label) => label === 'all')];
  for (const size of sizes) byId('size').append(element('option', size, { value: size }));
  chosen.size = byId('size').value = sizes.length ? sizes[Math.floor((sizes.length - 1) / 2)] : '';
  const reference = byId('reference');
  const names = [...reference.options].map((option) => option.value);
  chosen.reference = reference.value = names.find((name) => armOf[name].role === 'reference') || names[0];
}

function refilter() {
  filterTables(ticked('arm'), ticked('regime'), ticked('task'));
  if (!byId('budget').hidden) updatePanel();
  drawCharts();
}

byId('filters').hidden = false;
byId('filters').addEventListener('submit', (event) => event.preventDefault());
fillChoices();
startTables();
startRuns();
startPanel();
refilter();
startCharts();
byId('filters').addEventListener('change', (event) => {
  if (event.target.id in chosen) chosen[event.target.id] = event.target.value;
  refilter();
});

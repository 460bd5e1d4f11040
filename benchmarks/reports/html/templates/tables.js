// Sorting within each set size, and the filters that act on tables.

function sortTable(table, header) {
  const headers = all('thead th[aria-sort]', table);
  const column = headers.indexOf(header);
  const ascending = header.getAttribute('aria-sort') !== 'ascending';
  for (const other of headers) other.setAttribute('aria-sort', 'none');
  header.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
  const key = (row) => {
    const cell = row.children[column];
    if (header.dataset.key === 'arm') return cell.textContent;
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  for (const body of table.tBodies) {
    const rows = all('tr[data-arm]', body).map((row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null); // what is missing stands last either way
      const order = typeof a === 'string' ? a.localeCompare(b) : a - b;
      return ascending ? order : -order;
    });
    body.append(...rows.map(([, row]) => row), ...all('tr.reference', body)); // no arm: it stays below
  }
}

function startTables() {
  for (const table of all('table.sortable')) {
    for (const header of all('thead th[aria-sort]', table)) {
      header.querySelector('button').addEventListener('click', () => sortTable(table, header));
    }
  }
  // What scrolls sideways can be reached by the keyboard, and says what it is.
  const reach = ({ target }) => {
    const box = target.closest('.scroll');
    const scrolls = box.scrollWidth > box.clientWidth;
    const caption = box.querySelector('caption');
    const named = { tabindex: '0', role: 'group', 'aria-label': `${caption ? caption.textContent : 'table'}, scrolls sideways` };
    for (const [name, value] of Object.entries(named)) {
      if (scrolls) box.setAttribute(name, value);
      else box.removeAttribute(name);
    }
  };
  const observer = new ResizeObserver((entries) => entries.forEach(reach));
  for (const box of all('.scroll')) {
    observer.observe(box);
    observer.observe(box.querySelector('table'));
  }
}

function ticked(kind) {
  const boxes = all(`#filters [data-filter="${kind}"] input`);
  return boxes.length ? new Set(boxes.filter((box) => box.checked).map((box) => box.value)) : null;
}

function filterTables(arms, regimes, tasks) {
  for (const section of all('section.regime')) {
    const shown = (!regimes || regimes.has(section.dataset.regime)) && (!tasks || tasks.has(section.dataset.task));
    section.hidden = !shown;
  }
  for (const row of all('[data-arm]:not(#budget-answer)')) row.hidden = !arms.has(row.dataset.arm);
  for (const body of all('table.sortable tbody')) body.hidden = !all('tr[data-arm]', body).some((row) => !row.hidden);
}

function startRuns() {
  const box = byId('runs');
  box.hidden = false;
  box.addEventListener('toggle', () => {
    const body = box.querySelector('tbody');
    if (!box.open || body.children.length) return;
    for (const regime of data.regimes) {
      const title = byId(regime.id).querySelector('h3').textContent;
      for (const run of regime.runs) {
        const row = element('tr');
        const key = element('td');
        key.append(element('code', run.key));
        row.append(key, element('td', title), element('td', run.arm));
        for (const value of [run.n, run.draw, run.seed]) row.append(element('td', value, { class: 'number' }));
        row.append(element('td', run.failed ? 'failed' : 'finished'));
        body.append(row);
      }
    }
  });
}

// What the theme leaves out for keyboards and screen readers: stops at what scrolls, levels of heads, names of sidebars,
// lists of arguments that are written as definitions without a term.
function mend() {
  for (const caption of document.querySelectorAll('.caption[role="heading"]')) caption.setAttribute('aria-level', '2');
  const sides = [['aside.sidebar-drawer', 'Pages'], ['aside.toc-drawer', 'On this page']];
  for (const [selector, name] of sides) document.querySelector(selector)?.setAttribute('aria-label', name);
  for (const list of document.querySelectorAll('dt.sig dl')) {
    const items = [...list.children].map((argument) => {
      const item = document.createElement('li');
      item.append(...argument.childNodes);
      return item;
    });
    const plain = document.createElement('ul');
    plain.className = 'arguments';
    plain.append(...items);
    list.replaceWith(plain);
  }
  for (const box of document.querySelectorAll('article pre, article .table-wrapper')) {
    if (box.scrollWidth > box.clientWidth) box.setAttribute('tabindex', '0');
    else box.removeAttribute('tabindex');
  }
}
document.addEventListener('DOMContentLoaded', () => {
  mend();
  window.addEventListener('resize', mend);
});

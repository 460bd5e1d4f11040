// What the theme leaves out for keyboards and screen readers: stops at what scrolls, levels of heads, names of sidebars.
function mend() {
  for (const caption of document.querySelectorAll('.caption[role="heading"]')) caption.setAttribute('aria-level', '2');
  const sides = [['aside.sidebar-drawer', 'Pages'], ['aside.toc-drawer', 'On this page']];
  for (const [selector, name] of sides) document.querySelector(selector)?.setAttribute('aria-label', name);
  for (const box of document.querySelectorAll('article pre, article .table-wrapper')) {
    if (box.scrollWidth > box.clientWidth) box.setAttribute('tabindex', '0');
    else box.removeAttribute('tabindex');
  }
}
document.addEventListener('DOMContentLoaded', () => {
  mend();
  window.addEventListener('resize', mend);
});

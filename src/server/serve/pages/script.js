(() => {
  const doc = document, root = doc.documentElement;
  let theme;
  try { theme = localStorage.getItem('theme'); } catch { /* Not allowed here. */ }
  if (theme) root.dataset.theme = theme;
  doc.addEventListener('DOMContentLoaded', () => {
    const button = doc.getElementById('theme'), field = doc.getElementById('q');
    const isDark = () => root.dataset.theme
      ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    const name = () => { button.textContent = isDark() ? 'Light' : 'Dark'; };
    button.hidden = false;
    name();
    button.addEventListener('click', () => {
      root.dataset.theme = isDark() ? 'light' : 'dark';
      try { localStorage.setItem('theme', root.dataset.theme); } catch { /* Until the next page. */ }
      name();
    });
    for (const box of navigator.clipboard ? doc.querySelectorAll('.code') : []) {
      const copy = doc.createElement('button');
      copy.type = 'button';
      copy.textContent = 'Copy';
      copy.addEventListener('click', async () => {
        await navigator.clipboard.writeText(box.querySelector('code').textContent);
        copy.textContent = 'Copied';
        setTimeout(() => { copy.textContent = 'Copy'; }, 2000);
      });
      box.append(copy);
    }
    doc.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const at = doc.activeElement, links = [...doc.querySelectorAll('.results h3 a')];
      const place = links.indexOf(at);
      if (event.key === '/' && at !== field) {
        field.focus();
        field.select();
      } else if (event.key === 'ArrowDown' && links.length && (at === field || place >= 0)) {
        links[Math.min(place + 1, links.length - 1)].focus();
      } else if (event.key === 'ArrowUp' && place >= 0) {
        (links[place - 1] || field).focus();
      } else return;
      event.preventDefault();
    });
  });
})();

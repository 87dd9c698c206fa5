// Airflow's own theme, and a link that leads the page around the frame: see theme.js and segue.js.
(() => {
  "use strict";
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch (refused) {
    // storage is switched off: the system's theme
  }
  document.addEventListener("click", (event) => {
    const anchor = event.target.closest("a[data-opens]");
    if (!anchor || window.parent === window || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const outside = window.parent.document.createElement("a");
    outside.href = anchor.href;
    outside.click();
  });
})();

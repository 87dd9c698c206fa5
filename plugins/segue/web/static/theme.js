// Runs before the page is painted. Airflow keeps its theme in localStorage under "theme"
// (light, dark or system, by next-themes); this page has the same origin. Without it: the system's.
(() => {
  "use strict";
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    let chosen = null;
    try {
      chosen = localStorage.getItem("theme");
    } catch (refused) {
      chosen = null; // storage is switched off
    }
    const dark = chosen === "dark" || (chosen !== "light" && system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    document.dispatchEvent(new CustomEvent("segue:theme"));
  };
  apply();
  addEventListener("storage", (event) => event.key === "theme" && apply());
  system.addEventListener("change", apply);
})();

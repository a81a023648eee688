// Apply the chosen theme before the browser paints the page: load this in <head>, without defer.
(() => {
  document.documentElement.dataset.scripted = "";
  const chosen = localStorage.getItem("stencil-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();

// Runs before the first paint, so that a page that is set to dark never flashes white.
(() => {
  try {
    const chosen = localStorage.getItem("facepool.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // in a frame of another site, the browser may have nothing
  }
})();

// Runs before the first paint, so that a theme chosen by hand does not flash.
(() => {
  let t = null;
  try { t = localStorage.getItem("steno-theme"); } catch { /* storage is off: the system's theme it is */ }
  if (t === "light" || t === "dark") document.documentElement.classList.add(t);
})();

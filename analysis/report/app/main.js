// Starts the page: light and dark, sections that follow the state, printing.

const setTheme = (theme) => {
  document.documentElement.setAttribute("data-theme", theme);
  try { localStorage.setItem("nsbench-theme", theme); } catch { /* a private window */ }
  for (const button of document.querySelectorAll("[data-set-theme]")) {
    button.setAttribute("aria-pressed", String(button.dataset.setTheme === theme));
  }
};

// Go to a section and stay there while sections above it are drawn, until the reader moves.
let settling = () => {};
const settle = (name) => {
  settling();
  const target = byId(name);
  const watcher = new ResizeObserver(() => target.scrollIntoView());
  const stop = () => watcher.disconnect();
  settling = stop;
  watcher.observe(document.body); // calls back at once, too
  for (const kind of ["wheel", "touchstart", "pointerdown", "keydown"]) {
    addEventListener(kind, stop, { once: true, passive: true });
  }
  setTimeout(stop, 5000);
};

const start = () => {
  let theme = "auto";
  try { theme = localStorage.getItem("nsbench-theme") || "auto"; } catch { /* a private window */ }
  setTheme(theme);
  const redrawn = () => {
    redrawCharts();
    if (data.pools.length) renderBoard();
  };
  for (const button of document.querySelectorAll("[data-set-theme]")) {
    button.addEventListener("click", () => {
      setTheme(button.dataset.setTheme);
      redrawn();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawn);
  const section = readAddress();
  for (const link of document.querySelectorAll("nav a")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      const name = link.getAttribute("href").slice(1);
      writeAddress(name);
      settle(name);
      byId(name).focus({ preventScroll: true });
    });
  }
  const everything = () => {
    for (const listener of listeners) listener(Object.keys(START));
  };
  addEventListener("hashchange", () => {
    readAddress();
    everything();
  });
  if (data.pools.length) {
    const board = ["pool", "tab", "base", "q", "sort", "cols", "hide", "tasks", "task"];
    watch(board, renderBoard);
    watchLater("compare-body", ["pool", "base", "view", "a", "b", "tab"], renderCompare);
    watchLater("cost-body", ["pool", "tab", "base", "hide", "tasks", "cost"], renderCost);
    watch(["pool", "row"], renderRow);
  }
  watchLater("explorer-body", ["pool", "quantity", "nv", "lines"], renderExplorer);
  watchLater("negatives-body", ["pool", "na", "nb", "nv", "moment", "anchor"], renderNegatives);
  if (section && byId(section)) settle(section);
};

document.documentElement.classList.add("js");
start();

addEventListener("beforeprint", () => {
  for (const begin of [...pending.values()]) begin();
  for (const details of document.querySelectorAll("details:not(.panel)")) details.open = true;
});

// Controls above the leaderboard: pool, baseline, search, filters, columns, files.

const checks = (legend, values, name, off, onchange) => {
  const box = (value) => {
    const input = el("input", { type: "checkbox", checked: !off.has(name(value)) });
    input.addEventListener("change", () => onchange(value, input.checked));
    return el("label", {}, input, el("span", {}, value));
  };
  const all = (checked) => () => onchange(values, checked);
  return el("fieldset", {}, el("legend", {}, legend),
    values.length > 3 ? el("div", { class: "few" },
      el("button", { type: "button", class: "small", onclick: all(true) }, "All"),
      el("button", { type: "button", class: "small", onclick: all(false) }, "None")) : null,
    el("div", { class: "checks" }, values.map(box)));
};

const changed = (before, values, checked, name) => {
  const off = new Set(before);
  for (const value of [values].flat()) {
    if (checked) off.delete(name(value)); else off.add(name(value));
  }
  return asList([...off].sort());
};

const filterPanel = () => {
  const view = pool().views[viewName()];
  const off = hidden();
  const facets = varying(view).map((facet) => {
    const values = [...new Set(view.methods.map((m) => m[facet]))].filter(Boolean).sort();
    const name = (v) => hiddenName(facet, v);
    return checks(facet, values, name, off,
      (v, checked) => change({ hide: changed(off, v, checked, name) }));
  });
  const left = new Set(listed(state.tasks));
  const tasks = pool().tasks.length > 1 && view.scores ? checks("task", pool().tasks, (t) => t, left,
    (t, checked) => change({ tasks: changed(left, t, checked, (v) => v) })) : null;
  return el("details", { class: "panel", open: filterOpen, ontoggle: (e) => {
    filterOpen = e.target.open;
  } }, el("summary", {}, off.size || left.size ? `Filter (${off.size + left.size} off)` : "Filter"),
  el("p", { class: "soft" }, "Ranks, letters and verdicts are recomputed for the methods left. "
    + "The baseline stays, for others are compared with it."),
  el("div", { class: "facets" }, facets, tasks),
  el("button", { type: "button", onclick: () => change({ hide: "", tasks: "" }) }, "Show all again"));
};
let filterOpen = false;
let columnsOpen = false;

const columnPanel = (columns) => {
  const on = new Set(shownColumns(columns).map((c) => c.id));
  const free = columns.filter((c) => !c.always);
  const boxes = free.map((c) => {
    const input = el("input", { type: "checkbox", checked: on.has(c.id) });
    input.addEventListener("change", () => {
      if (input.checked) on.add(c.id); else on.delete(c.id);
      change({ cols: asList(columns.filter((k) => on.has(k.id)).map((k) => k.id)) });
    });
    return el("label", {}, input, el("span", {}, c.title));
  });
  return el("details", { class: "panel", open: columnsOpen, ontoggle: (e) => {
    columnsOpen = e.target.open;
  } }, el("summary", {}, "Columns"), el("div", { class: "checks" }, boxes),
  el("button", { type: "button", onclick: () => change({ cols: "" }) }, "Usual columns"));
};

const baselineChooser = () => {
  const names = [...new Set(pool().views.samplers.methods.map((m) => m.sampler))].sort();
  return chooser("Compared with", plainOptions(names), baselineOf(),
    (v) => change({ base: v === pool().baseline ? "" : v }), { "data-baseline": true });
};

const poolChooser = () => (data.pools.length < 2 ? null : chooser(
  "Encoder, data, budget", data.pools.map((p, i) => ({ value: String(i), label: p.title })),
  state.pool, (v) => change({ ...START, pool: v })));

// A text that no spreadsheet takes for a formula.
const csvField = (text) => {
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};
const LATEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
  "\u00d7": "$\\times$", "\u2212": "$-$", "\u00b1": "$\\pm$", "\u2013": "--" };
const latexField = (text) => text.replace(/[\\~^\u00d7\u2212\u00b1\u2013]|[&%$#_{}]/g,
  (c) => LATEX[c] || `\\${c}`);
const markdownField = (text) => text.replace(/([\\`*_|<>[\]])/g, "\\$1").replace(/\s+/g, " ");

const plainText = (c, row) => String((c.plain || c.text)(row) ?? "");
const csvOf = (columns, rows) => {
  const exact = (c, row) => {
    const value = c.value(row);
    return c.numeric && known(value) ? String(Number(value.toPrecision(9))) : c.numeric ? ""
      : csvField(c.text(row));
  };
  const wide = columns.flatMap((c) => (c.id === "difference"
    ? [c, { ...c, title: "difference_low", value: (r) => r.differenceLow },
      { ...c, title: "difference_high", value: (r) => r.differenceHigh }]
    : c.id === "mean" ? [c, { ...c, title: "ci_low", value: (r) => r.low },
      { ...c, title: "ci_high", value: (r) => r.high }] : [c]));
  return [wide.map((c) => csvField(c.title)), ...rows.map((r) => wide.map((c) => exact(c, r)))]
    .map((line) => line.join(",")).join("\n") + "\n";
};
const markdownOf = (columns, rows) => [columns.map((c) => markdownField(c.title)),
  columns.map((c) => (c.numeric ? "---:" : "---")),
  ...rows.map((r) => columns.map((c) => markdownField(plainText(c, r))))]
  .map((line) => `| ${line.join(" | ")} |`).join("\n") + "\n";
const latexOf = (columns, rows) => [
  `\\begin{tabular}{${columns.map((c) => (c.numeric ? "r" : "l")).join("")}}`, "\\toprule",
  `${columns.map((c) => latexField(c.title)).join(" & ")} \\\\`, "\\midrule",
  ...rows.map((r) => `${columns.map((c) => latexField(plainText(c, r))).join(" & ")} \\\\`),
  "\\bottomrule", "\\end{tabular}", ""].join("\n");

const takeAway = (columns, rows) => el("span", { class: "files", role: "group",
  "aria-label": "Take this table away" },
[["CSV", "leaderboard.csv", csvOf, "text/csv"],
  ["Markdown", "leaderboard.md", markdownOf, "text/markdown"],
  ["LaTeX", "leaderboard.tex", latexOf, "application/x-tex"]].map(([label, name, make, type]) => el(
  "button", { type: "button", onclick: () => download(name, make(columns, rows), type) }, label)));

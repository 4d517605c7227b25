// The leaderboard: tabs, filters that recompute, columns, sorting, search and files to take away.

const TABS = [["samplers", "Samplers"], ["axes", ""], ["rows", "All rows"], ["tasks", "Tasks"]];
const MOST_ROWS = 400;
let everyRow = false;

const cellText = (text) => () => text;
const column = (id, title, value, text, more = {}) => ({
  id, title, value, text, cell: (row) => text(row), numeric: true, way: -1, ...more,
});

const methodCell = (row) => el("button", {
  type: "button", class: "method", "aria-haspopup": "dialog",
  onclick: () => change({ row: row.id }),
}, swatch(row.method), el("span", {}, breakable(row.label)));

const rankText = (row) => (!known(row.rank) ? "\u2013"
  : known(row.rankLow) && row.rankLow !== row.rankHigh
    ? `${row.rank} (${row.rankLow}\u2013${row.rankHigh})` : String(row.rank));

const alarmWords = (a) => `${a.name.replaceAll("_", " ")} ${a.n}/${a.of}`;
const alarmNode = (row, shared) => {
  const own = row.alarms.filter((a) => !shared.has(a.name) || row.verdict === "baseline");
  const common = row.alarms.filter((a) => !own.includes(a));
  return [...own.map((a) => el("span", { class: "alarm" },
    el("span", { "aria-hidden": "true" }, "\u26a0 "), alarmWords(a))),
  common.length ? el("small", { class: "soft", title: common.map(alarmWords).join(", ") },
    `${common.length} as the baseline`) : null];
};

// Ends of the bars: wide enough for most, so that one method far off does not flatten the rest.
const barDomain = (rows, margin) => {
  const ends = rows.flatMap((r) => [r.differenceLow, r.differenceHigh]).filter(known);
  if (!ends.length) return [-margin, margin];
  const usual = 3 * quantile(rows.map((r) => Math.abs(r.difference)).filter(known), 0.5);
  const high = 1.05 * Math.max(...ends, 2 * margin);
  const low = 1.05 * Math.min(...ends, -2 * margin);
  const most = Math.max(2 * margin, usual);
  return [Math.max(low, -Math.max(most, 0.6 * high)), Math.min(high, Math.max(most, -0.6 * low))];
};

const barOf = (row, [low, high], margin) => {
  const width = 130;
  const x = (v) => 4 + (width - 8) * (Math.min(Math.max(v, low), high) - low) / (high - low);
  const bar = svg("svg", { class: "bar", viewBox: `0 0 ${width} 18`, width, height: 18,
    "aria-hidden": "true" },
  svg("rect", { class: "margin", x: x(-margin), width: x(margin) - x(-margin), y: 0, height: 18 }),
  svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: 18 }));
  if (!known(row.difference)) return bar;
  const group = svg("g", { class: row.verdict.replace(" ", "-") });
  if (known(row.differenceLow)) {
    group.append(svg("line", { class: "range", x1: x(row.differenceLow), x2: x(row.differenceHigh),
      y1: 9, y2: 9 }));
  }
  if (row.difference < low) group.append(svg("path", { d: "M1,9l6,-5v10z" }));
  else if (row.difference > high) group.append(svg("path", { d: `M${width - 1},9l-6,-5v10z` }));
  else group.append(svg("circle", { cx: x(row.difference), cy: 9, r: 3.5 }));
  bar.append(group);
  return bar;
};

const columnsOf = (found, tab) => {
  const { rows } = found;
  const shared = sharedAlarms(rows);
  const domain = barDomain(rows, pool().margin);
  const facets = varying(found.view).filter((f) => f !== "sampler" && f !== "augmentation");
  const stored = (id, title, places, more = {}) => column(
    id, title, (r) => r.stored(id), (r) => (known(r.stored(id)) ? fixed(r.stored(id), places) : ""),
    { extra: true, ...more });
  const cost = (id, title) => column(id, title, (r) => r.method.cost[id],
    (r) => brief(r.method.cost[id]), { extra: true, way: 1 });
  const costs = [["encodes", "encoder passes"], ["tokens_seen", "tokens"], ["wall_s", "seconds"]];
  return [
    column("rank", "rank", (r) => r.rank, rankText, { way: 1 }),
    column("method", tab === "rows" ? "method" : "sampler", (r) => r.label, (r) => r.label, {
      numeric: false, always: true, head: true, way: 1, cell: methodCell }),
    column("mean", "mean", (r) => r.mean, (r) => fixed(r.mean), { always: true,
      plain: (r) => (known(r.low) ? `${fixed(r.mean)} [${fixed(r.low)}, ${fixed(r.high)}]`
        : fixed(r.mean)),
      cell: (r) => [el("strong", {}, fixed(r.mean)), " ",
        known(r.low) ? el("small", {}, `\u00b1${fixed(r.high - r.mean)}`) : null] }),
    column("difference", `difference to ${baselineOf()}`, (r) => r.difference,
      (r) => signed(r.difference), { class: "gap",
        plain: (r) => (known(r.differenceLow)
          ? `${signed(r.difference)} [${signed(r.differenceLow)}, ${signed(r.differenceHigh)}]`
          : signed(r.difference)),
        cell: (r) => [el("span", { class: `number-${r.verdict.replace(" ", "-")}`,
          title: known(r.differenceLow)
            ? `${signed(r.differenceLow)} to ${signed(r.differenceHigh)}` : null },
        signed(r.difference)), barOf(r, domain, pool().margin)] }),
    column("verdict", "verdict", (r) => r.verdict, (r) => [r.verdict, moreText(r)]
      .filter(Boolean).join(": "), { numeric: false, way: 1, cell: verdictNode }),
    rows.some((r) => r.alarms.length) ? column("alarms", "alarms", (r) => r.alarms.length,
      (r) => r.alarms.map((a) => `${a.name} (${a.n} of ${a.of} cells)`).join(", "),
      { numeric: false, cell: (r) => alarmNode(r, shared) }) : null,
    column("group", "letters", (r) => r.group, (r) => r.group, { numeric: false, way: 1 }),
    column("seeds", "seeds", (r) => r.seeds, (r) => String(r.seeds)),
    column("p", "p", (r) => r.p, (r) => pText(r.p), { way: 1, extra: true }),
    ...facets.map((f) => column(f, f, (r) => r.method[f], (r) => r.method[f],
      { numeric: false, way: 1, extra: true })),
    ...pool().tasks.map((task, t) => column(`task:${task}`, task, (r) => taskMean(found.view, r, t),
      (r) => fixed(taskMean(found.view, r, t)), { extra: true })),
    found.asStored ? stored("iqm", "interquartile mean", 2) : null,
    found.asStored ? stored("borda", "Borda points", 1) : null,
    found.asStored ? stored("improvement", "wins against the baseline", 2) : null,
    stored("n_failed", "failed cells", 0), stored("n_missing", "missing cells", 0),
    ...costs.map(([id, title]) => cost(id, title)),
  ].filter(Boolean).filter((c) => !c.extra || rows.some((r) => c.text(r) !== ""));
};

const taskMean = (view, row, task) => (view.scores
  ? meanOf(view.scores[row.index].map((seed) => (seed[task] === null ? NaN : seed[task]))) : NaN);

const shownColumns = (columns) => {
  const picked = listed(state.cols);
  return columns.filter((c) => c.always || (picked.length ? picked.includes(c.id) : !c.extra));
};

const sorted = (rows, columns) => {
  const [id, way] = (state.sort || "rank,1").split(",");
  const by = columns.find((c) => c.id === id);
  if (!by) return rows;
  const absent = (v) => v === "" || v === null || v === undefined || Number.isNaN(v);
  return rows.slice().sort((a, b) => {
    const [x, y] = [by.value(a), by.value(b)];
    if (absent(x) || absent(y)) return absent(x) - absent(y);
    const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
    return Number(way) * order || a.place - b.place;
  });
};

const found = (rows) => {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (r) => [...FACETS.map((f) => r.method[f]), r.verdict, ...r.alarms.map((a) => a.name)]
    .join(" ").toLowerCase();
  return rows.filter((r) => words.every((w) => text(r).includes(w)));
};

const headOf = (c) => {
  const [id, way] = (state.sort || "rank,1").split(",");
  const mine = c.id === id;
  const arrow = mine ? (way === "1" ? " \u25b2" : " \u25bc") : " \u21c5";
  return el("th", { scope: "col", class: [c.numeric ? "number" : "", `c-${c.id.split(":")[0]}`]
    .join(" ").trim(), "aria-sort": mine ? (way === "1" ? "ascending" : "descending") : null },
  el("button", { type: "button", onclick: () => change(
    { sort: `${c.id},${mine ? -Number(way) : c.way}` }) },
  c.title, el("span", { class: mine ? "arrow" : "arrow idle", "aria-hidden": "true" }, arrow)));
};

const bodyRow = (columns, row) => el("tr", {
  class: [row.verdict.replace(" ", "-"), row.left ? "" : "kept"].join(" ").trim(),
  onclick: (event) => {
    if (!event.target.closest("button, a") && !String(getSelection())) change({ row: row.id });
  },
}, columns.map((c) => el(c.head ? "th" : "td", { scope: c.head ? "row" : null,
  class: [c.numeric ? "number" : "", c.class || "", `c-${c.id.split(":")[0]}`].join(" ").trim() },
c.cell(row))));

const boardTable = (caption, columns, rows) => {
  const few = everyRow ? rows : rows.slice(0, MOST_ROWS);
  const table = el("table", { class: "leaderboard" }, el("caption", {}, caption),
    el("thead", {}, el("tr", {}, columns.map(headOf))),
    el("tbody", {}, few.map((row) => bodyRow(columns, row))));
  const more = rows.length > few.length ? el("button", { type: "button", onclick: () => {
    everyRow = true;
    renderBoard();
  } }, `Show all ${rows.length} rows`) : null;
  return [region(`${caption} Scrolls sideways.`, table), more];
};

const statusText = (judgement, shownRows) => {
  const { left, of, asStored, many } = judgement;
  const parts = [`${shownRows} of ${count(of, "row")} shown`];
  if (many) parts.push("stored verdicts: too many methods to compare them again here");
  else if (!asStored) {
    const why = [left < of ? "the methods left" : "", chosenTasks() ? "the tasks left" : "",
      baselineOf() !== pool().baseline ? `baseline ${baselineOf()}` : ""].filter(Boolean);
    parts.push(`ranks, letters and verdicts are recomputed for ${why.join(", ")}`);
  }
  return parts.join("; ");
};

// The tabs of the leaderboard, and what each shows.

const axisNames = () => [...new Set(pool().axes.map((a) => a.axis))];
const AXIS_TITLES = { augmentation: "Augmentations", objective: "Objectives",
  candidates: "Candidate pools", encoder: "Encoders", data: "Data" };
const tabNames = () => [["samplers", "Samplers"],
  ...axisNames().map((a) => [`axis-${a}`, AXIS_TITLES[a] || a]),
  ["rows", "All rows"], ...(pool().views.samplers.scores ? [["tasks", "Tasks"]] : [])];

const tabList = () => {
  const names = tabNames();
  const buttons = names.map(([name, title]) => el("button", {
    type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "board-panel",
    "aria-selected": String(state.tab === name), tabindex: state.tab === name ? 0 : -1,
    onclick: () => change({ tab: name, sort: "" }),
  }, title));
  return el("div", { role: "tablist", "aria-label": "Leaderboards", onkeydown: (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = names.findIndex(([name]) => name === state.tab);
    const [next] = names[(at + step + names.length) % names.length];
    change({ tab: next, sort: "" });
    byId(`tab-${next}`).focus();
  } }, buttons);
};

// The methods that an axis is compared over, each with its setting, value and means by seed; of
// encoders and data, those of all comparison groups that share the rest.
const axisEntries = (axis) => {
  const facets = varying(pool().views.rows);
  const off = hidden();
  const left = (m) => !m.untrained && facets.every((f) => !off.has(hiddenName(f, m[f])));
  const groups = FACETS.includes(axis) ? [pool()] : data.pools.filter((p) => (
    Object.keys(p.shared).every((k) => k === axis || p.shared[k] === pool().shared[k])));
  const chosen = chosenTasks();
  const names = pool().tasks.filter((t, i) => (
    (!chosen || chosen.includes(i)) && groups.every((p) => p.tasks.includes(t))));
  const seeds = [...new Set(groups.flatMap((p) => p.seeds))].sort((a, b) => a - b);
  return groups.flatMap((p) => {
    const view = p.views.rows;
    const means = meansOver(view, names.map((t) => p.tasks.indexOf(t)));
    return view.methods.map((m, i) => ({
      left: left(m), value: FACETS.includes(axis) ? m[axis] : p.shared[axis],
      block: FACETS.filter((f) => f !== axis).map((f) => m[f]).join("|"),
      means: seeds.map((s) => (p.seeds.includes(s) ? means[i][p.seeds.indexOf(s)] : NaN)),
    })).filter((e) => e.left && countOf(e.means));
  });
};

// Values of an axis; computed anew where a filter or another choice of tasks is on.
const axisRows = (axis) => {
  const own = pool().axes.filter((a) => a.axis === axis);
  const whole_ = FACETS.includes(axis) || data.pools.every((p) => p.views.rows.scores);
  if ((!hidden().size && !chosenTasks()) || !whole_) return { rows: own, asStored: true };
  const blocks = new Map();
  for (const entry of axisEntries(axis)) {
    blocks.set(entry.block, { ...blocks.get(entry.block), [entry.value]: entry.means });
  }
  const base = own[0].baseline;
  const with_ = [...blocks.values()].filter((b) => base in b);
  const counts = {};
  for (const block of with_) for (const v of Object.keys(block)) counts[v] = (counts[v] || 0) + 1;
  const values = Object.keys(counts).sort(
    (a, b) => (a !== base) - (b !== base) || counts[b] - counts[a] || (a < b ? -1 : 1));
  let whole = [];
  while (values.length > 1 && !whole.length) {
    whole = with_.filter((b) => values.every((v) => v in b));
    if (!whole.length) values.pop();
  }
  if (values.length < 2 || !whole.length) return { rows: [], asStored: false };
  const average = values.map((v) => whole[0][v].map(
    (_, s) => whole.reduce((sum, b) => sum + b[v][s], 0) / whole.length));
  const found_ = judge(average, values.map(() => 0), { margin: pool().margin, alpha: data.alpha });
  const made = values.map((value, i) => ({
    value, baseline: base, n_blocks: whole.length, n_seeds: countOf(average[i]),
    mean: meanOf(average[i]), rank: found_.ranks[i], group: found_.letters[i],
    difference: i ? found_.difference[i] : null,
    difference_low: i ? found_.difference[i] - found_.width[i] : null,
    difference_high: i ? found_.difference[i] + found_.width[i] : null,
    p_adjusted: found_.p[i], verdict: found_.verdict[i], more_seeds: found_.more[i], alarms: "",
  }));
  return { rows: made.sort((a, b) => a.rank - b.rank), asStored: false };
};

const axisPanel = (axis) => {
  const { rows, asStored } = axisRows(axis);
  const asRow = (a) => ({
    verdict: a.verdict, more: a.more_seeds ?? -1, difference: a.difference,
    differenceLow: a.difference_low, differenceHigh: a.difference_high, alarms: alarmsOf(a.alarms),
  });
  const domain = barDomain(rows.map(asRow), pool().margin);
  const shared = sharedAlarms(rows.map(asRow));
  const depends = (a) => (known(a.interaction_p) ? (a.interaction_p <= 0.05
    ? `yes: ${signed(a.effect_low, 1)} with ${a.effect_low_sampler}, `
      + `${signed(a.effect_high, 1)} with ${a.effect_high_sampler}` : "not significantly") : "");
  const heads = ["rank", axis, "mean", `difference to ${rows[0] ? rows[0].baseline : ""}`, "verdict",
    "depends on the sampler", "best sampler", "letters", "settings", "seeds", "alarms"];
  const body = rows.map((a) => [a.rank ?? "\u2013", el("strong", {}, a.value), fixed(a.mean),
    [el("span", {}, signed(a.difference)), barOf(asRow(a), domain, pool().margin)],
    verdictNode(asRow(a)), depends(a), a.best_sampler || "", a.group, a.n_blocks, a.n_seeds,
    alarmNode(asRow(a), shared)]);
  const table = el("table", { class: "leaderboard axis" },
    el("caption", {}, `Effect of the ${axis}: mean over the settings that all values share.`),
    el("thead", {}, el("tr", {}, heads.map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, body.map((row) => el("tr", {}, row.map((cell, i) => el(
      i === 1 ? "th" : "td", { scope: i === 1 ? "row" : null, class: i === 3 ? "gap" : null },
      cell))))));
  return [el("p", { class: "soft", role: "status" }, asStored ? `${count(rows.length, "value")}.`
    : rows.length ? "Recomputed for the methods and tasks left."
      : "No setting left has two values to compare."), region(`Effect of the ${axis}`, table)];
};

const tasksPanel = () => {
  const { tasks } = pool();
  const choose = chooser("Task", [{ value: "", label: "all, as differences" }, ...plainOptions(tasks)],
    state.task, (v) => change({ task: v }), { "data-task": true });
  if (tasks.includes(state.task)) {
    return [el("div", { class: "controls" }, choose), listPanel([tasks.indexOf(state.task)])];
  }
  const { rows } = judged();
  const each = tasks.map((_, t) => judged({ tasks: [t] }).rows);
  const shownRows = sorted(found(rows), columnsOf(judged(), state.tab));
  const table = el("table", { class: "leaderboard heat" },
    el("caption", {}, `Difference to ${baselineOf()} on each task, in points. The sign before a `
      + "number says better (\u25b2) or worse (\u25bc) by more than chance."),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "sampler"),
      el("th", { scope: "col", class: "number" }, "all"), tasks.map((task) => el(
        "th", { scope: "col", class: "number" }, el("button", {
          type: "button", onclick: () => change({ task }) }, task))))),
    el("tbody", {}, shownRows.map((row) => el("tr", {},
      el("th", { scope: "row" }, methodCell(row)), heatCell(row),
      each.map((own) => heatCell(own[row.place]))))));
  return [el("div", { class: "controls" }, choose), region("Differences by task", table)];
};

const heatCell = (row) => {
  const strong = Math.min(Math.abs(row.difference || 0) / (6 * pool().margin), 1);
  const step = known(row.difference) ? Math.ceil(strong * 4) : 0;
  const side = row.difference < 0 ? "low" : "high";
  const sign = ["better", "worse"].includes(row.verdict) ? `${SIGNS[row.verdict]} ` : "";
  return el("td", { class: `number heat-${side}-${step}` },
    row.verdict === "baseline" ? fixed(row.mean) : sign + signed(row.difference));
};

const listPanel = (tasks = chosenTasks()) => {
  const judgement = judged({ tasks });
  const columns = columnsOf(judgement, state.tab);
  const rows = sorted(found(judgement.rows), columns);
  const on = shownColumns(columns);
  const caption = state.tab === "rows" ? "One row per sampler and augmentation."
    : "One row per sampler, mean over the augmentations that all samplers have.";
  return el("div", {},
    el("div", { class: "controls" }, columnPanel(columns), takeAway(on, rows),
      el("span", { class: "soft", role: "status", "data-shown": true },
        statusText(judgement, rows.length))),
    boardTable(caption, on, rows));
};

const renderBoard = () => {
  if (!tabNames().some(([name]) => name === state.tab)) state.tab = "samplers";
  const scrolled = byId("board").querySelector(".wide")?.scrollLeft || 0;
  const search = el("input", { type: "search", value: state.q, autocomplete: "off",
    "data-search": true });
  search.addEventListener("input", () => change({ q: search.value }));
  const axis = state.tab.startsWith("axis-") ? state.tab.slice(5) : "";
  const panel = axis ? axisPanel(axis) : state.tab === "tasks" ? tasksPanel() : listPanel();
  const parts = () => [...byId("board").querySelectorAll("button, input, select, summary")];
  const focused = parts().indexOf(document.activeElement);
  byId("board").replaceChildren(tabList(), el("div", { role: "tabpanel", id: "board-panel",
    "aria-labelledby": `tab-${state.tab}` },
  el("div", { class: "controls" }, poolChooser(), axis ? null : baselineChooser(),
    axis ? null : el("label", {}, el("span", {}, "Search"), search), filterPanel()), panel));
  const wide = byId("board").querySelector(".wide");
  if (wide) wide.scrollLeft = scrolled;
  if (focused >= 0) {
    parts()[focused]?.focus();
    if (document.activeElement === search) search.setSelectionRange(1e6, 1e6);
  }
};

// A row's own page: scores by seed, loss, cells with their alarms, logs, and how to run them again.

const lossOf = (curves, method) => {
  const own = curves.pools.find((p) => p.title === pool().title);
  const quantity = own?.quantities.find((q) => q.name === "loss");
  if (!quantity) return [];
  const names = Object.keys(quantity.series).filter(
    (a) => a === method.augmentation || method.augmentation.startsWith("mean of"));
  return names.flatMap((augmentation) => {
    const series = quantity.series[augmentation][method.sampler];
    return series ? series[0].map((step, i) => ({ step, augmentation, mean: series[1][i],
      low: series[2][i], high: series[3][i] })) : [];
  });
};

const lossChart = (place, values) => {
  const names = [...new Set(values.map((v) => v.augmentation))];
  draw(place, {
    height: 220, data: { values }, usermeta: { entries: names.length > 1 ? names.length : 0 },
    encoding: { x: { field: "step", type: "quantitative", title: "step (optimizer updates)" },
      color: { field: "augmentation", type: "nominal", legend: names.length > 1 ? {} : null,
        scale: { range: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"].map(shade) } } },
    layer: [
      { mark: { type: "area", opacity: 0.15 }, encoding: {
        y: { field: "low", type: "quantitative", title: "loss (nats)" }, y2: { field: "high" } } },
      { params: [ZOOM], mark: { type: "line", point: true }, encoding: {
        y: { field: "mean", type: "quantitative", scale: { zero: false } },
        tooltip: ["augmentation", "step", "mean", "low", "high"].map((field) => ({ field })) } },
    ],
  }, `Loss over training, ${names.join(", ")}. Mean over seeds, from the lowest to the highest.`);
};

const keysNode = (keys) => (keys.length === 1 ? el("code", {}, keys[0])
  : keys.length ? count(keys.length, "cell") : "none");

const seedTable = (row, view) => {
  const { tasks, seeds } = pool();
  const lines = seeds.map((seed, s) => [
    `seed ${seed}`, keysNode(row.method.keys[seed] || []),
    ...(view.scores ? tasks.map((_, t) => fixed(view.scores[row.index][s][t])) : []),
    fixed(row.means[s]),
  ]);
  return region("Scores by seed", dataTable("Points by seed and task", ["seed", "cell",
    ...(view.scores ? tasks : []), "mean"], lines));
};

const cellDetails = (key, cell, again, seed) => {
  const text = again.replace(/^seeds = \[[^\]]*\]/m, `seeds = [\n    ${seed},\n]`);
  return el("details", {}, el("summary", {}, `seed ${seed}, ${cell.augmentation}: `,
    el("code", {}, key), ` ${cell.status}`,
    known(cell.seconds) ? `, ${cell.seconds.toFixed(1)} s` : "",
    cell.alarms.length ? ` \u26a0 ${count(cell.alarms.length, "alarm")}` : ""),
  cell.info ? el("p", { class: "bad" }, cell.info) : null,
  cell.alarms.length ? el("ul", {}, cell.alarms.map((a) => el("li", {}, a))) : null,
  el("h4", {}, "Run it again"), el("p", {}, "Save this as ", el("code", {}, "again.toml"), ":"),
  code(text, `Matrix file of ${key}`),
  code("nsbench run again.toml --out again", `Command that runs ${key} again`),
  el("h4", {}, "Take the model home"),
  code(`nsbench export ${data.root} --cell ${key} --to model --retrain`,
    `Command that exports ${key}`),
  el("p", { class: "soft" }, "--retrain trains it again where no weights were kept."),
  el("h4", {}, "Log"), cell.log ? code(cell.log, `Log of ${key}`)
    : el("p", { class: "soft" }, "Its log is not in these results."));
};

const renderRow = async () => {
  if (!state.row) {
    for (const open of document.querySelectorAll("dialog.row")) open.close();
    return;
  }
  const tab = state.tab === "rows" ? "rows" : "samplers";
  const all = ["rows", "samplers"].map((t) => judged({ tab: t, all: true, tasks: null }));
  const judgement = [tab === "rows" ? all[0] : all[1], ...all].find(
    (j) => j.rows.some((r) => r.id === state.row));
  if (!judgement) return;
  const row = judgement.rows.find((r) => r.id === state.row);
  const content = el("div", { class: "content" });
  const about = el("ul", { class: "facts" });
  const fact = (name, ...value) => about.append(el("li", {}, el("span", {}, name), ...value));
  fact("mean", `${fixed(row.mean)} points`, known(row.low)
    ? ` (${fixed(row.low)} to ${fixed(row.high)})` : "");
  if (known(row.difference)) {
    fact(`against ${baselineOf()}`, signed(row.difference), known(row.differenceLow)
      ? ` (${signed(row.differenceLow)} to ${signed(row.differenceHigh)})` : "");
  }
  fact("verdict", verdictNode(row));
  fact("rank", rankText(row));
  for (const f of FACETS) if (row.method[f]) fact(f, row.method[f]);
  for (const [name, value] of Object.entries(row.method.cost)) {
    if (known(value)) fact(name.replaceAll("_", " "), brief(value));
  }
  const loss = el("div", {});
  const cells = el("div", {}, el("p", { class: "soft" }, "Reading the cells ..."));
  content.append(about, el("p", {}, el("button", { type: "button", onclick: () => {
    const id = state.row;
    change({ row: "", a: id, view: judgement === all[0] ? "rows" : "samplers" }, "compare");
    settle("compare");
  } }, "Compare with another")), seedTable(row, judgement.view), el("h3", {}, "Loss"), loss,
  el("h3", {}, "Cells"), cells);
  showDialog(row.label, () => { if (state.row === row.id) change({ row: "" }); }, content)
    .classList.add("row");
  const [told, curves] = await Promise.all([unpack("cells"), unpack("curves")]);
  const values = lossOf(curves, row.method);
  if (values.length) lossChart(loss, values);
  else loss.append(el("p", { class: "soft" }, "No loss is recorded for it."));
  cells.replaceChildren(...Object.entries(row.method.keys).flatMap(([seed, keys]) => keys
    .filter((k) => told.cells[k]).map((k) => cellDetails(
      k, told.cells[k], told.again[told.cells[k].again], seed))));
};

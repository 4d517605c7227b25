// Two methods side by side: by task, by seed, and how often one wins.

const compareView = () => (state.view || (state.tab === "rows" ? "rows" : "samplers"));

const pairOf = (rows) => {
  const rated = rows.filter((r) => known(r.mean)).sort((x, y) => x.rank - y.rank);
  const by = (id) => rows.find((r) => r.id === id);
  const base = rows.find((r) => r.verdict === "baseline") || rated[rated.length - 1];
  const a = by(state.a) || rated.find((r) => r !== base) || rated[0];
  const b = by(state.b) || (a === base ? rated.find((r) => r !== a) : base);
  return [a, b || a];
};

const wins = (view, a, b) => {
  let [won, of] = [0, 0];
  view.scores[a.index].forEach((seed, s) => seed.forEach((x, t) => {
    const y = view.scores[b.index][s][t];
    if (x === null || y === null) return;
    won += x > y ? 1 : x === y ? 0.5 : 0;
    of += 1;
  }));
  return { won, of };
};

const sharedMeans = (view, a, b, task) => {
  const pairs = view.scores[a.index].map((seed, s) => [seed[task], view.scores[b.index][s][task]])
    .filter(([x, y]) => x !== null && y !== null);
  return { n: pairs.length, a: meanOf(pairs.map(([x]) => x)), b: meanOf(pairs.map(([, y]) => y)),
    won: pairs.filter(([x, y]) => x > y).length, each: pairs.map(([x, y]) => x - y) };
};

const compareText = (judgement, a, b) => {
  const { verdicts, rows } = judgement;
  const [gap, half] = [verdicts.gap(a.place, b.place), verdicts.half(a.place, b.place)];
  const verdict = verdictOf(gap, half, pool().margin);
  const among = `All ${rows.length} methods are compared at once, so the interval is wide.`;
  if (verdict === "no verdict") {
    return `${a.label} is ${signed(gap)} points from ${b.label}. There is no interval: under `
      + `${LEAST_SEEDS} seeds in common, or too many methods.`;
  }
  const words = { better: `${a.label} is better than ${b.label}`,
    worse: `${a.label} is worse than ${b.label}`,
    equivalent: `${a.label} and ${b.label} are equivalent within ${pool().margin} points`,
    undecided: `Nothing is decided between ${a.label} and ${b.label}` }[verdict];
  return `${words}: ${signed(gap)} points (${signed(gap - half)} to ${signed(gap + half)}). ${among}`;
};

const renderCompare = () => {
  const place = byId("compare-body");
  if (!data.pools.length) return;
  const tab = compareView();
  const judgement = judged({ tab, all: true, tasks: null });
  const { rows, view } = judgement;
  const [a, b] = pairOf(rows);
  if (!a) {
    place.replaceChildren(el("p", {}, "No method has a score yet."));
    return;
  }
  const options = rows.map((r) => ({ value: r.id, label: r.label }));
  const controls = el("div", { class: "controls" },
    chooser("Of", [{ value: "samplers", label: "samplers" },
      { value: "rows", label: "samplers with augmentations" }], tab,
    (v) => change({ view: v, a: "", b: "" })),
    chooser("A", options, a.id, (v) => change({ a: v }), { "data-a": true }),
    chooser("B", options, b.id, (v) => change({ b: v }), { "data-b": true }),
    el("button", { type: "button", onclick: () => change({ a: b.id, b: a.id }) }, "Swap"));
  const content = [controls, el("p", { class: "answer", role: "status" },
    compareText(judgement, a, b))];
  if (view.scores && a !== b) {
    const { tasks, seeds } = pool();
    const { won, of } = wins(view, a, b);
    const each = tasks.map((_, t) => sharedMeans(view, a, b, t));
    content.push(el("p", {}, of ? `A wins ${brief(won)} of ${of} pairs of scores of one seed and `
      + `task: ${Math.round(100 * won / of)} %.` : "They share no score."));
    const chart = el("div", {});
    content.push(chart, el("div", { class: "two" },
      region("By task", dataTable("By task, in points, over seeds of both",
        ["task", "A", "B", "A less B", "seeds won by A"], tasks.map((task, t) => [task,
          fixed(each[t].a), fixed(each[t].b), signed(each[t].a - each[t].b),
          `${each[t].won} of ${each[t].n}`]))),
      region("By seed", dataTable("By seed, mean over tasks", ["seed", "A", "B", "A less B"],
        seeds.map((seed, s) => [String(seed), fixed(a.means[s]), fixed(b.means[s]),
          signed(a.means[s] - b.means[s])])))));
    const values = tasks.flatMap((task, t) => each[t].each.map((gap, s) => ({ task, gap,
      seed: String(seeds[s]) })));
    draw(chart, {
      height: Math.max(120, 34 * tasks.length), data: { values },
      encoding: { y: { field: "task", type: "nominal", title: null, sort: tasks } },
      layer: [
        { mark: { type: "rule", strokeDash: [4, 3] }, encoding: { x: { datum: 0 },
          y: { value: 0 }, y2: { value: "height" } } },
        { params: [{ ...ZOOM, select: { ...ZOOM.select, encodings: ["x"] } }],
          mark: { type: "point", filled: true, size: 55, opacity: 0.75 },
          encoding: { x: { field: "gap", type: "quantitative", title: "A less B (points)" },
            color: { condition: { test: "datum.gap >= 0", value: colourOf("--good") },
              value: colourOf("--bad") },
            shape: { condition: { test: "datum.gap >= 0", value: "triangle-up" },
              value: "triangle-down" },
            tooltip: [{ field: "task" }, { field: "seed" },
              { field: "gap", title: "A less B", format: "+.2f" }] } },
        { mark: { type: "tick", thickness: 3, size: 22, color: colourOf("--ink") },
          encoding: { x: { aggregate: "mean", field: "gap", type: "quantitative" } } },
      ],
    }, `Differences of A and B by task. A point is a seed, the bar their mean.`);
  }
  place.replaceChildren(...content);
};

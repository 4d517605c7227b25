// Cost against quality, with the methods that nothing cheaper beats.

const COST_NAMES = {
  encodes: "encoder passes", tokens_seen: "tokens seen", wall_s: "seconds",
  seconds_train: "seconds of training", negatives_per_anchor: "negatives per anchor",
};

const paretoOf = (points) => {
  let best = -Infinity;
  return points.slice().sort((a, b) => a.cost - b.cost || b.mean - a.mean)
    .filter((p) => p.mean > best && ((best = p.mean), true));
};

// Where the head of an arrow points: the charts' axes have different units, so up or down.
const headAngle = (arrow) => (arrow.to >= arrow.from ? 0 : 180);

const renderCost = () => {
  const place = byId("cost-body");
  if (!data.pools.length) return;
  const { rows } = judged({ tab: state.tab === "rows" ? "rows" : "samplers" });
  const told = Object.keys(COST_NAMES).filter((name) => (
    new Set(rows.map((r) => r.method.cost[name]).filter(known)).size > 1));
  if (!told.length) {
    place.replaceChildren(el("p", {}, "All methods cost the same, or no cost is recorded."));
    return;
  }
  const name = told.includes(state.cost) ? state.cost : told.includes("wall_s") ? "wall_s" : told[0];
  const points = rows.filter((r) => known(r.mean) && known(r.method.cost[name]) && (
    r.method.cost[name] > 0)).map((r) => ({ label: r.label, sampler: r.method.sampler,
    cost: r.method.cost[name], mean: r.mean, verdict: r.verdict,
    alarms: r.alarms.map((a) => a.name).join(", ") || "none" }));
  const front = paretoOf(points);
  const on = new Set(front.map((p) => p.label));
  const floor = quantile(points.map((p) => p.mean), 0.5) - 4 * Math.max(
    quantile(points.map((p) => p.mean), 0.95) - quantile(points.map((p) => p.mean), 0.5), 0.5);
  const far = points.filter((p) => p.mean < floor);
  const near = points.filter((p) => p.mean >= floor);
  const looks = looksOf([...new Set(near.map((p) => p.sampler))]);
  const arrows = data.tuned.filter((t) => Number(state.pool) === t.pool).flatMap((t) => {
    const row = rows.find((r) => r.left && Object.values(r.method.keys).flat().some(
      (key) => t.keys.includes(key)));
    const [from, to] = [t.default, t.tuned];
    return row && from.cost[name] > 0 && to.cost[name] > 0 ? [{ sampler: row.method.sampler,
      label: row.label, cost: from.cost[name], toCost: to.cost[name], from: from.mean,
      to: to.mean }] : [];
  }).filter((t) => t.from >= floor && t.to >= floor);
  const chart = el("div", {});
  const y = { field: "mean", type: "quantitative", title: "mean (points)",
    scale: { zero: false, padding: 28 } };
  const x = { field: "cost", type: "quantitative", title: COST_NAMES[name],
    scale: { type: "log", nice: false, padding: 24 }, axis: { format: "~s", tickCount: 6 } };
  const colour = { field: "sampler", type: "nominal", scale: looks.color, legend: null };
  draw(chart, {
    height: 380, data: { values: near.map((p) => ({ ...p, front: on.has(p.label) })) },
    layer: [
      { data: { values: front.filter((p) => p.mean >= floor) },
        mark: { type: "line", interpolate: "step-after", strokeDash: [5, 3],
          color: colourOf("--soft") }, encoding: { x, y, order: { field: "cost" } } },
      { params: [ZOOM], mark: { type: "point", filled: true, size: 80, opacity: 1 },
        encoding: { x, y, color: colour, shape: { field: "sampler", scale: looks.shape,
          legend: null }, tooltip: [{ field: "label", title: "method" },
          { field: "mean", format: ".2f" }, { field: "cost", title: COST_NAMES[name],
            format: ".4~s" }, { field: "verdict" }, { field: "alarms" }] } },
      { transform: [{ filter: "datum.front" }], mark: { type: "text", dy: -9, dx: 8, align: "left",
        fontSize: 12, limit: 200, color: colourOf("--ink") }, encoding: { x, y, text: { field: "label" } } },
      ...(arrows.length ? [
        { data: { values: arrows }, mark: { type: "rule", strokeWidth: 2 }, encoding: { x,
          x2: { field: "toCost" }, y: { field: "from", type: "quantitative" }, y2: { field: "to" },
          color: colour } },
        { data: { values: arrows.map((t) => ({ ...t, angle: headAngle(t) })) },
          mark: { type: "point", shape: "triangle", filled: true, size: 90 },
          encoding: { x: { ...x, field: "toCost" }, y: { field: "to", type: "quantitative" },
            color: colour, angle: { field: "angle", type: "quantitative", scale: null },
            tooltip: [{ field: "label", title: "method" },
              { field: "from", title: "default", format: ".2f" },
              { field: "to", title: "tuned", format: ".2f" }] } }] : []),
    ],
  }, `Mean against ${COST_NAMES[name]}, ${points.length} methods. On the Pareto line, from cheap to `
    + `costly: ${front.map((p) => p.label).join(", ")}.`);
  place.replaceChildren(el("div", { class: "controls" }, chooser("Cost",
    told.map((value) => ({ value, label: COST_NAMES[value] })), name, (v) => change({ cost: v }))),
  chart, el("p", {}, "Nothing cheaper has a higher mean than: ",
    front.map((p) => `${p.label} (${fixed(p.mean)})`).join(", "), "."),
  far.length ? el("p", { class: "soft" }, "Far below and not drawn: ",
    far.map((p) => `${p.label} (${fixed(p.mean)})`).join(", "), ".") : "",
  name.includes("second") || name === "wall_s" ? el("p", { class: "soft" },
    "Seconds depend on the machine, and on what else ran on it.") : "",
  arrows.length ? el("p", { class: "soft", "data-arrows": arrows.length },
    "Arrows lead from default to tuned settings: ", arrows.map((t) => (
      `${t.label} ${fixed(t.from)} to ${fixed(t.to)}`)).join(", "), ".") : "");
};

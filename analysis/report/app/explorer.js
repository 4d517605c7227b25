// The difficulty explorer: what each sampler fed the model over training.

const NONE = "-"; // no sampler ticked

const nearest = (steps, step) => steps.reduce(
  (best, s, i) => (Math.abs(s - step) < Math.abs(steps[best] - step) ? i : best), 0);

let curvesData = null;
let moment = Infinity;

const quantityNow = () => {
  const own = curvesData.pools.find((p) => p.title === pool().title) || curvesData.pools[0];
  const quantity = own.quantities.find((q) => q.name === state.quantity) || own.quantities[0];
  const augmentations = Object.keys(quantity.series);
  const augmentation = [state.nv, "none", ...augmentations].find((a) => augmentations.includes(a));
  return { own, quantity, series: quantity.series[augmentation], augmentation };
};

const startLines = (names) => {
  const usual = data.started.filter((n) => names.includes(n));
  const byRank = judged({ tab: "samplers", all: true, tasks: null }).rows
    .map((r) => r.method.sampler).filter((n) => names.includes(n) && !usual.includes(n));
  return [...usual, ...byRank, ...names.filter((n) => !usual.includes(n) && !byRank.includes(n))]
    .slice(0, 5);
};

const ticked = (names) => {
  if (state.lines === NONE) return [];
  const picked = listed(state.lines).filter((n) => names.includes(n));
  return picked.length ? picked : startLines(names);
};

const tickBoxes = (names, on) => {
  const set = (values) => change({ lines: values.length ? asList(values) : NONE });
  return el("fieldset", { class: "picks" }, el("legend", {}, "Samplers"),
    el("div", { class: "few" },
      el("button", { type: "button", class: "small", onclick: () => set(names) }, "All samplers"),
      el("button", { type: "button", class: "small", onclick: () => set([]) }, "None")),
    el("div", { class: "checks" }, names.map((name) => {
      const input = el("input", { type: "checkbox", value: name, checked: on.includes(name) });
      input.addEventListener("change", () => set(
        names.filter((n) => (n === name ? input.checked : on.includes(n)))));
      return el("label", {}, input, swatch(data.looks[name]), el("span", {}, name));
    })));
};

const curveSpec = (quantity, series, on) => {
  const values = on.flatMap((sampler) => series[sampler][0].map((step, i) => ({ sampler, step,
    mean: series[sampler][1][i], low: series[sampler][2][i], high: series[sampler][3][i] })));
  const looks = looksOf(on);
  const by = (channel, scale) => ({ [channel]: { field: "sampler", type: "nominal", scale } });
  const number = (field) => ({ field, format: ".4~g" });
  const title = quantity.unit ? [quantity.title, `(${quantity.unit})`] : quantity.title;
  return {
    height: 380, data: { values }, usermeta: { entries: on.length },
    encoding: { x: { field: "step", type: "quantitative", title: "step (optimizer updates)" },
      ...by("color", looks.color), opacity: FADED(1) },
    layer: [
      { mark: "area", encoding: { y: { field: "low", type: "quantitative", title,
        scale: { zero: false } }, y2: { field: "high" }, opacity: FADED(0.14) } },
      { params: [PICK("sampler"), ZOOM], mark: { type: "line", strokeWidth: 2 }, encoding: {
        y: { field: "mean", type: "quantitative" },
        ...by("strokeDash", looks.dash) } },
      { mark: { type: "point", filled: true, size: 45 }, encoding: {
        y: { field: "mean", type: "quantitative" }, ...by("shape", looks.shape),
        tooltip: [{ field: "sampler" }, { field: "step" }, number("mean"),
          { ...number("low"), title: "lowest seed" },
          { ...number("high"), title: "highest seed" }] } },
    ],
  };
};

const valueTable = (quantity, series, on) => {
  const steps = [...new Set(on.flatMap((n) => series[n][0]))].sort((x, y) => x - y);
  const holder = el("div", {});
  const show = (at) => {
    const step = steps[at];
    const lines = on.map((n) => {
      const i = nearest(series[n][0], step);
      return [n, series[n][1][i], series[n][2][i], series[n][3][i]];
    }).sort((x, y) => y[1] - x[1]);
    holder.replaceChildren(region("Values at the chosen step", dataTable(
      `${quantity.title} at step ${step}, highest first`,
      ["sampler", "mean", "lowest seed", "highest seed"],
      lines.map((line) => line.map((v, i) => (i ? brief(v) : v))))));
    slider.setAttribute("aria-valuetext", `step ${step}`);
    output.textContent = step;
  };
  const at = nearest(steps, Math.min(moment, steps[steps.length - 1]));
  const slider = el("input", { type: "range", min: 0, max: steps.length - 1, value: at });
  const output = el("output", {});
  slider.addEventListener("input", () => {
    moment = steps[Number(slider.value)];
    show(Number(slider.value));
  });
  show(at);
  return [el("label", { class: "slider" }, el("span", {}, "Values at step ", output), slider), holder];
};

const renderExplorer = async () => {
  const place = byId("explorer-body");
  curvesData ||= await unpack("curves");
  if (!curvesData.pools.length) {
    place.replaceChildren(el("p", {}, "No finished cell has difficulty statistics."));
    return;
  }
  const focused = place.contains(document.activeElement)
    ? [...place.querySelectorAll("input, select, button")].indexOf(document.activeElement) : -1;
  const { own, quantity, series, augmentation } = quantityNow();
  const names = Object.keys(series);
  const on = ticked(names);
  const asOption = (q) => ({ value: q.name, label: q.title });
  const [named, more] = [true, false].map(
    (n) => own.quantities.filter((q) => q.named === n).map(asOption));
  const controls = el("div", { class: "controls" },
    chooser("Quantity", [...named, ...(more.length ? [{ label: "more", options: more }] : [])],
      quantity.name, (v) => change({ quantity: v }), { "data-quantity": true }),
    Object.keys(quantity.series).length > 1 ? chooser("Augmentation",
      plainOptions(Object.keys(quantity.series)), augmentation, (v) => change({ nv: v }),
      { "data-augmentation": true }) : null);
  const chart = el("div", {});
  place.replaceChildren(controls,
    el("p", { class: "explained" }, quantity.text || `Stored as ${quantity.name}.`,
      quantity.unit ? el("span", { class: "soft" }, ` Unit: ${quantity.unit}.`) : null),
    chart, tickBoxes(names, on),
    ...(on.length ? valueTable(quantity, series, on) : [el("p", {}, "No sampler is ticked.")]),
    curvesData.left_out.length ? el("p", { class: "soft" },
      `Left out to keep this file small: ${curvesData.left_out.join(", ")}.`) : "");
  if (on.length) {
    draw(chart, curveSpec(quantity, series, on), `${quantity.title} over training, ${on.length} `
      + `samplers: ${on.join(", ")}. The values are in the table below.`);
  }
  if (focused >= 0) place.querySelectorAll("input, select, button")[focused]?.focus();
};

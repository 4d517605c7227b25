// See the negatives: what two samplers chose for the same anchors, as texts.

const MADE = -1;
const textNode = (texts, place) => (place === MADE ? el("em", {}, "made, no text")
  : place < 0 ? el("em", {}, `text ${-2 - place}`) : texts[place]);

const negativeItem = (told, negative, other) => {
  const [place, similarity, rank, weight, marks] = negative;
  const names = Object.keys(told.marks);
  return el("li", { class: marks.length ? "suspect" : null },
    el("div", { class: "numbers" },
      el("span", { title: "cosine with the anchor" }, `similarity ${similarity.toFixed(2)}`),
      el("span", { title: "1 is the hardest candidate" }, `rank ${rank}`),
      el("span", { class: "weight", title: "share of the anchor's gradient" },
        svg("svg", { viewBox: "0 0 50 8", width: 50, height: 8, "aria-hidden": "true" },
          svg("rect", { class: "track", width: 50, height: 8 }),
          svg("rect", { class: "fill", width: Math.max(0.5, 50 * Math.min(weight, 1)), height: 8 })),
        ` weight ${(100 * weight).toFixed(1)} %`),
      other.has(place) && place !== MADE ? el("span", { class: "soft" }, "both") : null),
    el("div", { class: "text" }, textNode(told.texts, place)),
    marks.map((m) => el("div", { class: "mark", title: told.marks[names[m]] },
      `\u26a0 probably false: ${names[m]}`)));
};

const negativeList = (told, name, anchor, other, which) => el("section", {
  class: "list", "aria-label": `Negatives of ${name}` },
el("h3", {}, swatch(data.looks[name]), ` ${name}`),
anchor ? [el("p", { class: "soft" }, `chose ${anchor[5]} of ${count(anchor[4], "candidate")}`
  + (anchor[6].length < anchor[5] ? `; the ${anchor[6].length} heaviest:` : ":")),
el("ol", { "data-list": which }, anchor[6].map((n) => negativeItem(told, n, other)))]
  : el("p", {}, "It chose nothing for this anchor, or the anchor is not in its batch."));

const renderNegatives = async () => {
  const place = byId("negatives-body");
  const told = await unpack("negatives");
  const own = told.seen.filter((s) => s.pool === Number(state.pool));
  if (!own.length) {
    place.replaceChildren(el("p", {}, "No cell of this setting has kept its choices with their "
      + "similarity. Cells that run now keep them; ", el("code", {}, "nsbench negatives"),
    " shows them too."));
    return;
  }
  const augmentations = [...new Set(own.map((s) => s.augmentation))];
  const augmentation = augmentations.includes(state.nv) ? state.nv
    : augmentations.includes("none") ? "none" : augmentations[0];
  const here = own.filter((s) => s.augmentation === augmentation && s.moment === state.moment);
  const names = [...new Set(here.map((s) => s.sampler))];
  const usual = (wanted, not) => wanted.find((n) => names.includes(n) && n !== not)
    || names.find((n) => n !== not) || names[0];
  const a = names.includes(state.na) ? state.na : usual(["in_batch"], "");
  const b = names.includes(state.nb) ? state.nb
    : usual(["hard", ...judged({ tab: "samplers", all: true, tasks: null }).rows
      .map((r) => r.method.sampler)], a);
  const [one, two] = [a, b].map((n) => here.find((s) => s.sampler === n));
  const places = [...new Set([...one.anchors, ...two.anchors].map((x) => x[0]))]
    .sort((x, y) => x - y);
  const at = Math.min(Number(state.anchor) || 0, places.length - 1);
  const [left, right] = [one, two].map((s) => s.anchors.find((x) => x[0] === places[at]));
  const anchor = left || right;
  const set = (x) => new Set(x ? x[6].map((n) => n[0]) : []);
  const step = (by) => el("button", { type: "button", disabled: !(at + by in places),
    onclick: () => change({ anchor: String(at + by) }) }, by < 0 ? "Previous anchor" : "Next anchor");
  const focused = place.contains(document.activeElement)
    ? [...place.querySelectorAll("select, button")].indexOf(document.activeElement) : -1;
  place.replaceChildren(
    el("div", { class: "controls" },
      chooser("Sampler", plainOptions(names), a, (v) => change({ na: v }), { "data-na": true }),
      chooser("next to", plainOptions(names), b, (v) => change({ nb: v }), { "data-nb": true }),
      augmentations.length > 1 ? chooser("Augmentation", plainOptions(augmentations), augmentation,
        (v) => change({ nv: v })) : null,
      chooser("Batch", [{ value: "first", label: "first: before any training" },
        { value: "last", label: "last: ranked by its own model" }], state.moment,
      (v) => change({ moment: v }), { "data-moment": true }),
      step(-1), step(1)),
    el("div", { class: "anchor" },
      el("p", {}, el("span", {}, `Anchor ${at + 1} of ${places.length} `),
        el("strong", { "data-anchor": true }, textNode(told.texts, anchor[1]))),
      el("p", {}, el("span", {}, `Positive, similarity ${anchor[3].toFixed(2)} `),
        anchor[2] === anchor[1] ? el("em", {}, "the same text, in another view")
          : el("strong", {}, textNode(told.texts, anchor[2])))),
    el("div", { class: "two" }, negativeList(told, a, left, set(right), "a"),
      negativeList(told, b, right, set(left), "b")),
    el("p", { class: "soft" }, `Seed ${one.seed}, augmentation ${augmentation}. In the first batch `
      + "all samplers see the same similarities; in the last each is ranked by the model that its "
      + "own negatives made. Weight is the share of the anchor's gradient."));
  if (focused >= 0) place.querySelectorAll("select, button")[focused]?.focus();
};

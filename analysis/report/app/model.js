// The methods that are left by the filters, with verdicts computed anew for them.

const data = JSON.parse(byId("data").textContent, (_, value) => value);
const FACETS = ["sampler", "augmentation", "objective", "candidates", "budget"];
const MOST_METHODS = 800; // above, stored verdicts are shown and filters only hide rows

const numbers = (rows) => rows.map((row) => row.map((v) => (v === null ? NaN : v)));
for (const pool of data.pools) {
  for (const view of Object.values(pool.views)) view.means = numbers(view.means);
}

const pool = () => data.pools[Number(state.pool)] || data.pools[0];
const viewName = (tab = state.tab) => (tab === "rows" ? "rows" : "samplers");
const baselineOf = () => state.base || pool().baseline;

const varying = (view) => FACETS.filter((facet) => (
  new Set(view.methods.filter((m) => !m.untrained).map((m) => m[facet])).size > 1));

// A method in words: its sampler, and what else tells it from others of this view.
const labelOf = (method, name) => (
  name !== "rows" || method.untrained || method.augmentation === "none" ? method.label
    : `${method.label} \u00d7 ${method.augmentation}`);
const idOf = (method) => FACETS.map((f) => method[f]).join(" | ");

// Index of each method's baseline: same augmentation, then the most alike, then the one with the
// highest mean; -1 without one.
const referencesOf = (methods, name, means) => {
  const fits = (m) => m.sampler === name || m.name === name;
  const kind = (label) => label.split("(")[0];
  const alike = (a, b) => [
    FACETS.every((f) => a[f] === b[f]) && a.name === b.name,
    ...["objective", "candidates"].flatMap((f) => [kind(a[f]) === kind(b[f]), a[f] === b[f]]),
    a.budget === b.budget];
  const bases = methods.map((_, k) => k).filter((k) => fits(methods[k]));
  const strength = means.map((row) => (row.some(there) ? meanOf(row) : -Infinity));
  return methods.map((method) => {
    let [best, rating] = [-1, null];
    bases.forEach((k) => {
      const other = methods[k];
      if (!other.untrained && other.augmentation !== method.augmentation) return;
      const mine = [...alike(method, other), strength[k]];
      const first = rating === null ? 1 : mine.map(
        (v, i) => (v === rating[i] ? 0 : Number(v) - Number(rating[i]))).find(Boolean) || 0;
      if (first > 0) [best, rating] = [k, mine];
    });
    return best;
  });
};

const meansOver = (view, tasks) => {
  if (!tasks || !view.scores) return view.means;
  return view.scores.map((seeds) => seeds.map((scores) => {
    let sum = 0;
    for (const t of tasks) sum += scores[t] === null ? NaN : scores[t];
    return sum / tasks.length;
  }));
};

const chosenTasks = () => {
  const left = listed(state.tasks);
  if (!left.length) return null;
  const places = pool().tasks.map((t, i) => [t, i]).filter(([t]) => !left.includes(t));
  return places.length && places.length < pool().tasks.length ? places.map(([, i]) => i) : null;
};

const studentHalf = (row) => {
  const values = row.filter(there);
  if (values.length < 2) return NaN;
  const centre = meanOf(row);
  const sd = Math.sqrt(values.reduce((s, v) => s + (v - centre) ** 2, 0) / (values.length - 1));
  return quantileOf(values.length - 1) * sd / Math.sqrt(values.length);
};
const quantiles = new Map();
const quantileOf = (df) => {
  if (!quantiles.has(df)) quantiles.set(df, studentQuantile(0.95, df));
  return quantiles.get(df);
};

const hidden = () => new Set(listed(state.hide));
const hiddenName = (facet, value) => `${facet}:${value}`;

// Rows of a table with their verdicts: of all methods that the filters leave, and their baselines.
const judgedCache = new Map();
const judged = ({ tab = state.tab, tasks = chosenTasks(), all = false } = {}) => {
  const key = JSON.stringify(
    [state.pool, viewName(tab), baselineOf(), tasks, all ? "" : state.hide]);
  if (!judgedCache.has(key)) {
    if (judgedCache.size > 40) judgedCache.clear();
    judgedCache.set(key, judgeView(tab, tasks, all));
  }
  return judgedCache.get(key);
};

const judgeView = (tab, tasks, all) => {
  const view = pool().views[viewName(tab)];
  const { methods } = view;
  const means = meansOver(view, tasks);
  const reference = referencesOf(methods, baselineOf(), means);
  const off = all ? new Set() : hidden();
  const facets = varying(view);
  const left = methods.map((m) => (
    facets.every((f) => m[f] === "" || !off.has(hiddenName(f, m[f])))));
  const kept = new Set(methods.map((_, i) => i).filter((i) => left[i]));
  for (const i of [...kept]) if (reference[i] >= 0) kept.add(reference[i]);
  const order = [...kept].sort((a, b) => a - b);
  const asStored = order.length === methods.length && !tasks && baselineOf() === pool().baseline;
  const many = order.length > MOST_METHODS;
  const place = new Map(order.map((i, k) => [i, k]));
  const verdicts = many ? storedVerdicts(view, order) : judge(
    order.map((i) => means[i]),
    order.map((i) => (place.has(reference[i]) ? place.get(reference[i]) : -1)),
    { margin: pool().margin, alpha: data.alpha, critical: asStored ? view.critical : null });
  const rows = order.map((i, k) => rowOf(view, viewName(tab), i, k, means[i], verdicts, left[i]));
  return { rows, verdicts, asStored, many, left: rows.length, of: methods.length, view };
};

const rowOf = (view, name, index, place, means, verdicts, left) => {
  const method = view.methods[index];
  const [mean, half] = [meanOf(means), studentHalf(means)];
  const [gap, width] = [verdicts.difference[place], verdicts.width[place]];
  const at = (column) => (view.stored[column] ? view.stored[column][index] : null);
  return {
    index, place, method, means, mean, left,
    label: labelOf(method, name), id: idOf(method),
    low: mean - half, high: mean + half,
    rank: verdicts.ranks[place],
    rankLow: verdicts.judged[place] ? verdicts.rankLow[place] : NaN,
    rankHigh: verdicts.judged[place] ? verdicts.rankHigh[place] : NaN,
    group: verdicts.letters[place],
    difference: gap, differenceLow: gap - width, differenceHigh: gap + width,
    p: verdicts.p[place], verdict: verdicts.verdict[place], more: verdicts.more[place],
    seeds: countOf(means),
    alarms: alarmsOf(at("alarms")),
    stored: at,
  };
};

const storedVerdicts = (view, order) => {
  const of = (column, none = NaN) => order.map((i) => view.stored[column]?.[i] ?? none);
  const [low, high] = [of("difference_low"), of("difference_high")];
  return {
    difference: of("difference"), width: low.map((v, k) => (high[k] - v) / 2), p: of("p_adjusted"),
    verdict: of("verdict", "no verdict"), more: of("more_seeds", -1), ranks: of("rank"),
    rankLow: of("rank_lo"), rankHigh: of("rank_hi"), letters: of("group", ""),
    judged: of("rank_lo").map(Number.isFinite), critical: view.critical,
    gap: (i, j) => view.stored.mean_ranked[order[i]] - view.stored.mean_ranked[order[j]],
    half: () => NaN,
  };
};

// "collapse (2 of 5 cells), untrained (5 of 5 cells)" as a list of names and counts.
const alarmsOf = (text) => [...String(text || "").matchAll(/([^,()]+) \((\d+) of (\d+) cells\)/g)]
  .map(([, name, n, of]) => ({ name: name.trim(), n: Number(n), of: Number(of) }));

// Alarms that the baseline rings as well say nothing about a method.
const sharedAlarms = (rows) => new Set(rows.filter((r) => r.verdict === "baseline")
  .flatMap((r) => r.alarms.map((a) => a.name)));

const SIGNS = {
  better: "\u25b2", worse: "\u25bc", equivalent: "=", undecided: "?", baseline: "\u2022",
  "no verdict": "\u2013",
};
const moreText = (row) => {
  if (row.verdict !== "undecided") return "";
  return row.more < 0 ? `over ${MOST_SEEDS} more seeds` : count(row.more, "more seed");
};
const verdictNode = (row) => el("span", { class: `verdict ${row.verdict.replace(" ", "-")}` },
  el("span", { "aria-hidden": "true" }, SIGNS[row.verdict]), ` ${row.verdict}`,
  moreText(row) ? el("small", { title: `${moreText(row)} would decide` }, moreText(row)) : null);

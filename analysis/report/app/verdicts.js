// Verdicts in the browser: the procedure of analysis/statistics/verdicts.py for the methods left.
// Critical scores come from the file for the methods that it was written with; for any others they
// are simulated here, with random numbers of this file's own.

const LEAST_SEEDS = 3;
const MOST_SEEDS = 1000;
const DRAWS = 5000;
const SIMULATED = 150;
const CARE = 0.9; // share of alpha, of three methods or more

const stretch = (df) => (8 * df + 1) / (8 * df + 3);
const normalScore = (t, df) => stretch(df) * Math.sqrt(df * Math.log1p(t * t / df));
const tValue = (score, df) => {
  const shrunk = score / stretch(df);
  return Math.sqrt(df * Math.expm1(shrunk * shrunk / df));
};

const claimsP = (score, critical, alpha) => {
  const one = Math.log1p(-Math.min(2 * normalTail(critical), 1 - 1e-12));
  const worth = Math.log1p(-alpha) / one;
  const tail = Math.min(2 * normalTail(score), 1 - 1e-12);
  return Math.min(-Math.expm1(worth * Math.log1p(-tail)), 1);
};

// Estimates' covariance, and the same as sparse rows whose products it is.
const roots = (lines, value, rows, seeds) => {
  const root = rows.map((i) => new Map([...lines[i]].map(
    ([place, weight]) => [place, weight * Math.sqrt(value[Math.floor(place / seeds)] || 0)])));
  const dot = (a, b) => {
    const [few, many] = a.size < b.size ? [a, b] : [b, a];
    let sum = 0;
    for (const [place, v] of few) {
      const w = many.get(place);
      if (w !== undefined) sum += v * w;
    }
    return sum;
  };
  const owners = root.map((line) => new Set([...line.keys()].map((p) => Math.floor(p / seeds))));
  const diagonal = owners.every((own, k) => own.size <= 1 && (!own.size || own.has(rows[k])));
  const variance = root.map((line) => dot(line, line));
  const covariance = (a, b) => (a === b ? variance[a] : diagonal ? 0 : dot(root[a], root[b]));
  return { root, variance, covariance, diagonal };
};

// Pairs that claim something, as columns: their members, shares of noise and degrees of freedom.
const columnsOfPairs = ({ variance, covariance, pairDf }, pairs) => {
  const top = Math.max(...variance);
  const apart = ([i, j]) => variance[i] + variance[j] - 2 * covariance(i, j);
  const use = pairs.filter((pair) => apart(pair) > 1e-20 * Math.max(top, 1e-300));
  const column = (f) => Float64Array.from(use, f);
  const freedom = column(([i, j]) => pairDf(i, j));
  return {
    size: use.length,
    one: Int32Array.from(use, ([i]) => i),
    two: Int32Array.from(use, ([, j]) => j),
    share: column(([i, j]) => variance[i] / (variance[i] + variance[j])),
    over: column((pair) => 1 / apart(pair)),
    freedom,
    factor: freedom.map((df) => stretch(df) ** 2),
  };
};

// The largest normal score of any pair of each family, in every draw of a group whose methods are
// alike.
const largestScores = (group, families, draws) => {
  const { variance, diagonal, root, df } = group;
  const size = variance.length;
  const columns = families.map((pairs) => columnsOfPairs(group, pairs));
  const out = families.map(() => new Float64Array(draws));
  const uniform = uniformDraws(20260101);
  const normal = normalDraws(uniform);
  const places = diagonal ? [] : [...new Set(root.flatMap((line) => [...line.keys()]))];
  const at = new Map(places.map((p, k) => [p, k]));
  const sparse = diagonal ? [] : root.map((line) => [...line].map(([p, v]) => [at.get(p), v]));
  const sd = variance.map(Math.sqrt);
  const [value, luck] = [new Float64Array(size), new Float64Array(size)];
  const base = new Float64Array(places.length);
  for (let draw = 0; draw < draws; draw += 1) {
    for (let k = 0; k < base.length; k += 1) base[k] = normal();
    for (let i = 0; i < size; i += 1) {
      value[i] = diagonal ? sd[i] * normal() : sparse[i].reduce((s, [k, v]) => s + v * base[k], 0);
    }
    for (let i = 0; i < size; i += 1) luck[i] = meanSquareDraw(df[i], uniform, normal);
    columns.forEach((pairs, family) => {
      out[family][draw] = Math.sqrt(largestSquare(pairs, value, luck));
    });
  }
  return out;
};

const largestSquare = ({ size, one, two, share, over, freedom, factor }, value, luck) => {
  let best = 0;
  for (let k = 0; k < size; k += 1) {
    const i = one[k];
    const j = two[k];
    const apart = value[i] - value[j];
    const squared = apart * apart * over[k]
      / Math.max(share[k] * luck[i] + (1 - share[k]) * luck[j], 1e-30);
    if (squared * factor[k] > best) { // a score is at most its t, stretched
      const score = factor[k] * freedom[k] * Math.log1p(squared / freedom[k]);
      if (score > best) best = score;
    }
  }
  return best;
};

const rounded = (score) => Math.round(score * 1000) / 1000;

const tukeyScore = (size, alpha) => {
  const steps = 4000;
  const missed = (width) => {
    let inside = 0;
    for (let k = 0; k < steps; k += 1) {
      const x = -10 + 20 * (k + 0.5) / steps;
      const within = normalTail(x) - normalTail(x + width);
      inside += normalDensity(x) * within ** (size - 1);
    }
    return 1 - size * inside * 20 / steps - alpha;
  };
  return rounded(rootOf(missed, 0.1, 20) / Math.SQRT2);
};

const shareAbove = (family) => {
  const order = Float64Array.from(family).sort();
  return family.map((v) => {
    let [low, high] = [0, order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (order[middle] < v) low = middle + 1; else high = middle;
    }
    return 1 - low / order.length;
  });
};

const criticalScores = (group, reference, nominal) => {
  const size = group.variance.length;
  const alpha = size > 2 ? CARE * nominal : nominal;
  const ours = reference.flatMap((b, i) => (b >= 0 && b !== i ? [[i, b]] : []));
  const single = normalAbove(alpha / 2);
  if (size < 2) return { baseline: single, pairs: single };
  if (size > SIMULATED) {
    const bound = tukeyScore(size, alpha / 2);
    const own = quantile(largestScores(group, [ours], DRAWS)[0], 1 - alpha / 2);
    return { baseline: ours.length ? rounded(Math.min(own, bound)) : bound, pairs: bound };
  }
  const every = [];
  for (let i = 0; i < size; i += 1) for (let j = i + 1; j < size; j += 1) every.push([i, j]);
  const [pairs, base] = largestScores(group, ours.length ? [every, ours] : [every], DRAWS);
  if (!ours.length) {
    const score = rounded(quantile(pairs, 1 - alpha));
    return { baseline: score, pairs: score };
  }
  const [one, two] = [shareAbove(base), shareAbove(pairs)];
  const level = quantile(one.map((v, k) => Math.min(v, two[k])), alpha);
  const scores = [base, pairs].map((family) => rounded(quantile(family, 1 - level)));
  return { baseline: Math.min(...scores), pairs: scores[1] };
};

const verdictOf = (difference, half, margin) => {
  if (!Number.isFinite(half) || !Number.isFinite(difference)) return "no verdict";
  if (Math.abs(difference) + half < margin) return "equivalent";
  if (Math.abs(difference) > half) return difference > 0 ? "better" : "worse";
  return "undecided";
};

// Sets of methods without a significant difference that hold every such pair (Piepho 2004).
const cliques = (alike) => {
  const size = alike.length;
  const covered = alike.map(() => new Uint8Array(size));
  const found = new Map();
  for (let first = 0; first < size; first += 1) {
    for (;;) {
      let wanted = -1;
      for (let k = first; k < size && wanted < 0; k += 1) {
        if (alike[first][k] && !covered[first][k]) wanted = k;
      }
      if (wanted < 0) break;
      const members = [...new Set([first, wanted])];
      const last = members[members.length - 1];
      const order = [];
      for (let k = last + 1; k < size; k += 1) order.push(k);
      for (let k = 0; k < last; k += 1) order.push(k);
      for (const place of order) {
        if (!members.includes(place) && members.every((m) => alike[m][place])) members.push(place);
      }
      for (const a of members) for (const b of members) covered[a][b] = 1;
      const sorted = members.sort((a, b) => a - b);
      found.set(sorted.join(), sorted);
    }
  }
  return [...found.values()].sort((a, b) => {
    const keys = [a[0] - b[0], a[a.length - 1] - b[b.length - 1]];
    for (let k = 0; k < Math.min(a.length, b.length); k += 1) keys.push(a[k] - b[k]);
    return keys.find(Boolean) || a.length - b.length;
  });
};

const letterOf = (index) => String.fromCharCode(97 + index % 26)
  + (index >= 26 ? Math.floor(index / 26) : "");

// means: rows of methods by seed in points; reference: each method's baseline, -1 without one.
const judge = (means, reference, { margin, alpha, critical = null }) => {
  const size = means.length;
  const seeds = size ? means[0].length : 0;
  const { lines, n } = size ? contrasts(means, reference) : { lines: [], n: [] };
  const level = levelsOf(means, lines, n);
  const scale = Math.max(1, largestOf(means));
  const gap = (i, j) => {
    const value = level[i] - level[j];
    return Math.abs(value) < 1e-9 * scale ? 0 : value;
  };
  const found = size ? variances(means) : { value: [], freedom: [], own: [] };
  const rows = means.map((_, i) => i).filter(
    (i) => n[i] >= LEAST_SEEDS && Number.isFinite(found.value[i]));
  const group = rows.length > 1
    ? groupOf(lines, found, { n, reference, rows, seeds, alpha, critical }) : null;
  const place = new Map(rows.map((i, k) => [i, k]));
  const inGroup = (i, j) => group && i !== j && place.has(i) && place.has(j);
  const half = (i, j) => (inGroup(i, j) ? group.half(place.get(i), place.get(j)) : NaN);
  const p = (i, j) => (inGroup(i, j) ? group.p(place.get(i), place.get(j), gap(i, j)) : NaN);
  const of = (f) => reference.map((b, i) => (b >= 0 && b !== i ? f(i, b) : NaN));
  const [difference, width] = [of(gap), of(half)];
  const verdict = reference.map(
    (b, i) => (b === i ? "baseline" : verdictOf(difference[i], width[i], margin)));
  const more = verdict.map((v, i) => (v === "undecided" ? group.more(place.get(i), margin) : 0));
  const ranks = level.map((v) => (
    there(v) ? 1 + level.filter((w) => w > v).length : NaN));
  const judged = means.map((_, i) => group !== null && place.has(i));
  const apart = (i, j) => Math.abs(gap(i, j)) > half(i, j);
  const rated = level.filter(there).length;
  const rankLow = means.map((_, i) => 1 + rows.filter((j) => apart(i, j) && gap(i, j) < 0).length);
  const rankHigh = means.map(
    (_, i) => rated - rows.filter((j) => apart(i, j) && gap(i, j) > 0).length);
  const letters = means.map(() => "");
  if (group) {
    const order = rows.slice().sort((a, b) => level[b] - level[a] || a - b);
    cliques(order.map((i) => order.map((j) => !apart(i, j)))).forEach((members, number) => {
      for (const m of members) letters[order[m]] += letterOf(number);
    });
  }
  return {
    level, difference, width, p: of(p), verdict, more, ranks, rankLow, rankHigh, judged, letters, n,
    gap, half, pair: p, reference, margin, critical: group ? group.critical : null,
  };
};

const groupOf = (lines, found, { n, reference, rows, seeds, alpha, critical }) => {
  const value = rows.map((i) => found.value[i]);
  const made = roots(lines, found.value, rows, seeds);
  const own = rows.map((i, k) => value[k] / n[i]);
  const df = rows.map((i) => found.freedom[i]);
  const pairDf = (i, j) => {
    const both = df[i] + df[j];
    const parts = own[i] ** 2 / df[i] + own[j] ** 2 / df[j];
    return Math.min(parts > 0 ? (own[i] + own[j]) ** 2 / parts : both, both);
  };
  const error = (i, j) => Math.sqrt(
    Math.max(made.variance[i] + made.variance[j] - 2 * made.covariance(i, j), 0));
  const place = new Map(rows.map((i, k) => [i, k]));
  const base = rows.map((i) => (place.has(reference[i]) ? place.get(reference[i]) : -1));
  const used = critical || criticalScores({ ...made, df, pairDf }, base, alpha);
  const score = (i, j) => (base[i] === j || base[j] === i ? used.baseline : used.pairs);
  const half = (i, j) => tValue(score(i, j), pairDf(i, j)) * error(i, j);
  const p = (i, j, gap) => {
    const sd = error(i, j);
    let out = gap === 0 ? 1 : 0;
    if (sd > 0) {
      out = claimsP(normalScore(Math.abs(gap) / sd, pairDf(i, j)), score(i, j), alpha);
    }
    return Math.abs(gap) > half(i, j) ? Math.min(out, alpha) : Math.max(out, alpha * (1 + 2e-16));
  };
  const more = (i, margin) => {
    const b = base[i];
    const now = Math.min(n[rows[i]], n[rows[b]]);
    const perSeed = error(i, b) * Math.sqrt(now);
    const width = (count) => {
      const grown = [i, b].map((k) => df[k] + (count - now) * found.own[rows[k]]);
      const parts = own[i] ** 2 / grown[0] + own[b] ** 2 / grown[1];
      const whole = grown[0] + grown[1];
      const freedom = parts ? (own[i] + own[b]) ** 2 / parts : whole;
      return tValue(used.baseline, Math.min(freedom, whole)) * perSeed / Math.sqrt(count);
    };
    if (width(now + MOST_SEEDS) > margin / 2) return -1;
    let [low, high] = [0, MOST_SEEDS];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (width(now + middle) <= margin / 2) high = middle; else low = middle + 1;
    }
    return Math.max(low, 1);
  };
  return { half, p, more, critical: used };
};

// Moderated variances and one footing for unequal seeds: analysis/statistics/variances.py and
// footing.py in the browser. Rows are methods, columns are seeds, NaN is a missing seed.

const there = (value) => !Number.isNaN(value);
const countOf = (row) => row.reduce((n, v) => n + there(v), 0);
const sumOf = (row) => row.reduce((sum, v) => sum + (there(v) ? v : 0), 0);
const meanOf = (row) => (countOf(row) ? sumOf(row) / countOf(row) : NaN);
const largestOf = (means) => Math.max(0, ...means.map(
  (row) => Math.max(0, ...row.filter(there).map(Math.abs))));

const variances = (means) => {
  const n = means.map(countOf);
  const seen = n.map((k) => k >= 2);
  const rows = means.map((_, i) => i).filter((i) => seen[i]);
  if (!rows.length) {
    const nothing = means.map(() => NaN);
    return { value: nothing, freedom: means.map(() => 0), own: means.map(() => 1) };
  }
  const floor = (1e-12 * Math.max(1, largestOf(means))) ** 2;
  const apart = rows.map((i) => means[i].map((v) => v - meanOf(means[i])));
  let effects = means[0].map((_, s) => {
    const held = apart.map((row) => row[s]).filter(there);
    return held.length ? median(held) : 0;
  });
  let weight = means.map(() => 1);
  for (let round = 0; round < 12; round += 1) {
    const { raw, own } = rawVariances(means, effects, weight, seen);
    const found = moderated(raw, own, n, floor);
    const trusted = found.value.map((v, i) => (seen[i] ? v : Infinity));
    const least = Math.max(median(rows.map((i) => trusted[i])) / 4, floor);
    weight = trusted.map((v) => 1 / Math.max(v, least));
    effects = seedEffects(means, weight);
  }
  const { raw, own } = rawVariances(means, effects, weight, seen);
  return moderated(raw, own, n, floor);
};

const seedEffects = (means, weight) => {
  const seeds = means[0].map((_, s) => s);
  const total = seeds.map((s) => means.reduce((t, r, i) => t + (there(r[s]) ? weight[i] : 0), 0));
  const whole = means.every((row) => row.every(there));
  let effects = seeds.map(() => 0);
  for (let fit = 0; fit < (whole ? 1 : 30); fit += 1) {
    const level = means.map((row) => row.reduce(
      (sum, v, s) => sum + (there(v) ? v - effects[s] : 0), 0) / Math.max(countOf(row), 1));
    effects = seeds.map((s) => (total[s] > 0 ? means.reduce(
      (sum, r, i) => sum + (there(r[s]) ? weight[i] * (r[s] - level[i]) : 0), 0) / total[s] : 0));
  }
  return effects;
};

const rawVariances = (means, effects, weight, seen) => {
  const total = effects.map((_, s) => means.reduce(
    (t, row, i) => t + (there(row[s]) ? weight[i] : 0), 0));
  const own = means.map((row, i) => {
    if (means.length < 2) return 1;
    const share = row.reduce(
      (sum, v, s) => sum + (there(v) && total[s] > 0 ? weight[i] / total[s] : 0), 0);
    return Math.max(1 - share / Math.max(countOf(row), 1), 0.25);
  });
  const raw = means.map((row, i) => {
    if (!seen[i]) return NaN;
    const rest = row.map((v, s) => v - effects[s]);
    const centre = meanOf(rest);
    const squares = rest.reduce((sum, v) => sum + (there(v) ? (v - centre) ** 2 : 0), 0);
    return squares / (Math.max(countOf(row) - 1, 1) * own[i]);
  });
  return { raw, own };
};

const moderated = (raw, own, n, floor) => {
  const freedom = own.map((o, i) => Math.max(n[i] - 1, 0) * o);
  const known = raw.map((_, i) => i).filter((i) => raw[i] > floor);
  if (!known.length) {
    return { value: n.map((k) => (k > 0 ? 0 : NaN)), freedom, own };
  }
  const plain = known.map((i) => {
    const half = freedom[i] / 2;
    return Math.log(raw[i]) - digamma(half) + Math.log(half);
  });
  const noise = known.map((i) => trigamma(freedom[i] / 2));
  const scale = noise.map((v) => Math.sqrt(v + 0.8));
  const middle = median(plain);
  const logs = plain.map((v, k) => Math.min(
    Math.max(v, middle - 2 * scale[k]), middle + 2 * scale[k]));
  const average = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const centreLog = average(logs);
  const excess = logs.reduce((sum, v) => sum + (v - centreLog) ** 2, 0)
    - (known.length - 1) * average(noise);
  const trust = 2 * (0.8 + average(noise)) ** 2 / 0.8 ** 2;
  let between = (trust * 0.8 + excess) / (trust + known.length - 1);
  between = Math.max(between, 0.1);
  between += (between + average(noise)) / known.length;
  let prior = 2 * trigammaInverse(between);
  const centre = Math.exp(centreLog + between / 8);
  prior *= Math.max(known.length - 2, 0) / known.length;
  const worth = raw.map(() => prior);
  known.forEach((i, k) => {
    const above = (plain[k] - middle) / scale[k];
    worth[i] *= Math.min(Math.max(3 - above, 0), 1);
  });
  const most = Math.max(freedom.reduce((a, b) => a + b, 0) / 2, 0.5);
  const value = raw.map((r, i) => {
    const total = worth[i] + freedom[i];
    if (!(n[i] > 0) || !(total > 0)) return NaN;
    return (worth[i] * centre + freedom[i] * (Number.isFinite(r) ? r : 0)) / total;
  });
  return { value, freedom: worth.map((w, i) => Math.min(w + freedom[i], most)), own };
};

// Weights of the scores in each method's level, as a Map of place (row * seeds + seed) to weight.
const contrasts = (means, base) => {
  const seeds = means[0].length;
  const held = means.map((row) => row.map(there));
  const count = held.map((row) => row.filter(Boolean).length);
  const n = means.map(() => 0);
  const lines = means.map(() => new Map());
  if (!count.some(Boolean)) return { lines, n };
  let bases = [...new Set(base)].filter((b) => b >= 0 && count[b]).sort((a, b) => a - b);
  if (!bases.length) bases = means.map((_, i) => i);
  const root = bases.reduce((best, i) => (count[i] > count[best] ? i : best), bases[0]);
  const both = (i, k) => held[i].map((h, s) => h && held[k][s]);
  const sharedSeeds = (i, k) => both(i, k).filter(Boolean).length;
  const line = (row, seedsThere, sign) => {
    const number = seedsThere.filter(Boolean).length;
    return seedsThere.flatMap((h, s) => (h ? [[row * seeds + s, sign / number]] : []));
  };
  lines[root] = new Map(line(root, held[root], 1));
  n[root] = count[root];
  const placed = new Set([root]);
  let waiting = means.map((_, i) => i).filter((i) => i !== root && count[i]);
  waiting.sort((a, b) => (base[a] !== a) - (base[b] !== b) || a - b);
  let patient = true;
  while (waiting.length) {
    const left = [];
    for (const i of waiting) {
      let best = root;
      if (!sharedSeeds(i, root)) {
        for (const k of [...placed].sort((a, b) => a - b)) {
          if (sharedSeeds(i, k) > sharedSeeds(i, best)) best = k;
        }
      }
      const own = base[i];
      if (own >= 0 && own !== i && sharedSeeds(i, own)) {
        best = placed.has(own) ? own : patient ? -1 : best;
      }
      if (best < 0 || !sharedSeeds(i, best)) {
        left.push(i);
        continue;
      }
      placed.add(i);
      patient = true;
      const common = both(i, best);
      n[i] = Math.min(common.filter(Boolean).length, n[best]);
      const sum = new Map(line(i, common, 1));
      for (const [place, value] of [...line(best, common, -1), ...lines[best]]) {
        sum.set(place, (sum.get(place) || 0) + value);
      }
      lines[i] = new Map([...sum].filter(([, value]) => value));
    }
    if (left.length === waiting.length) {
      if (!patient) break;
      patient = false;
    }
    waiting = left;
  }
  return { lines, n };
};

const levelsOf = (means, lines, n) => means.map((row, i) => {
  if (!n[i]) return NaN;
  const seeds = row.length;
  const alone = [...lines[i].keys()].every((p) => Math.floor(p / seeds) === i);
  if (alone && lines[i].size === countOf(row)) return sumOf(row) / Math.max(countOf(row), 1);
  let level = 0;
  for (const [place, weight] of lines[i]) {
    level += weight * means[Math.floor(place / seeds)][place % seeds];
  }
  return level;
});

// Numbers that the verdicts need: tails of distributions and random draws with a fixed seed.

const erfc = (x) => {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2.5) { // series of erf
    let [term, sum] = [x, x];
    for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n += 1) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
      if (n > 200) break;
    }
    return 1 - sum * 2 / Math.sqrt(Math.PI);
  }
  let value = 0; // continued fraction
  for (let n = 120; n > 0; n -= 1) value = n / 2 / (x + value);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + value);
};

const normalTail = (x) => 0.5 * erfc(x / Math.SQRT2);
const normalDensity = (x) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);

// Where a continuous function that changes its sign between two points is 0.
const rootOf = (f, low, high) => {
  const sign = Math.sign(f(low));
  for (let i = 0; i < 200 && high - low > 1e-14 * Math.max(1, Math.abs(high)); i += 1) {
    const middle = (low + high) / 2;
    if (Math.sign(f(middle)) === sign) low = middle; else high = middle;
  }
  return (low + high) / 2;
};

const normalAbove = (share) => rootOf((x) => normalTail(x) - share, -40, 40);

const logGamma = (x) => {
  let shift = 0;
  for (; x < 10; x += 1) shift += Math.log(x);
  const y = 1 / (x * x);
  const series = (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y / 1680))) / x;
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series - shift;
};

const digamma = (x) => {
  let shift = 0;
  for (; x < 10; x += 1) shift += 1 / x;
  const y = 1 / (x * x);
  const series = y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y * (1 / 240 - y / 132))));
  return Math.log(x) - 0.5 / x - series - shift;
};

const trigamma = (x) => {
  let shift = 0;
  for (; x < 15; x += 1) shift += 1 / (x * x);
  const y = 1 / (x * x);
  const series = y * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y * (1 / 30 - y * 5 / 66))));
  return 1 / x + y / 2 + series / x + shift;
};

const trigammaInverse = (value) => Math.exp(
  rootOf((x) => trigamma(Math.exp(x)) - value, Math.log(1e-3), Math.log(1e6)));

// Share of Student's t beyond t, both sides, by the incomplete beta function.
const studentTails = (t, df) => {
  const x = df / (df + t * t);
  const beta = (a, b, z) => {
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b)
      + a * Math.log(z) + b * Math.log1p(-z));
    let [c, d, h] = [1, 1 / (1 - (a + b) * z / (a + 1)), 0];
    h = d;
    for (let m = 1; m < 500; m += 1) {
      let factor = m * (b - m) * z / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / (1 + factor * d);
      c = 1 + factor / c;
      h *= d * c;
      factor = -(a + m) * (a + b + m) * z / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / (1 + factor * d);
      c = 1 + factor / c;
      h *= d * c;
      if (Math.abs(d * c - 1) < 1e-15) break;
    }
    return front * h / a;
  };
  if (!(t > 0)) return 1;
  return x < (df / 2 + 1) / (df / 2 + 2.5) ? beta(df / 2, 0.5, x) : 1 - beta(0.5, df / 2, 1 - x);
};

const studentQuantile = (level, df) => rootOf((t) => studentTails(t, df) - (1 - level), 0, 1e4);

// Uniform numbers in (0, 1): the same seed gives the same numbers in every browser.
const uniformDraws = (seed) => {
  let [a, b, c, d] = [0x9e3779b9, seed >>> 0, 0x243f6a88, 1];
  const next = () => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum | 0;
    return ((sum >>> 0) + 0.5) / 4294967296;
  };
  for (let i = 0; i < 15; i += 1) next();
  return next;
};

const normalDraws = (uniform) => {
  let kept = NaN;
  return () => {
    if (!Number.isNaN(kept)) {
      const value = kept;
      kept = NaN;
      return value;
    }
    const [radius, angle] = [Math.sqrt(-2 * Math.log(uniform())), 2 * Math.PI * uniform()];
    kept = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  };
};

// A chi-square variable over its degrees of freedom (Marsaglia and Tsang 2000).
const meanSquareDraw = (df, uniform, normal) => {
  const shape = df / 2;
  const boosted = shape < 1 ? shape + 1 : shape;
  const d = boosted - 1 / 3;
  for (;;) {
    const x = normal();
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) {
      const scale = shape < 1 ? uniform() ** (1 / shape) : 1;
      return d * v * scale / shape;
    }
  }
};

const median = (values) => {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  if (!sorted.length) return NaN;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

// As numpy's quantile: between the two neighbours in order.
const quantile = (values, share) => {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
};

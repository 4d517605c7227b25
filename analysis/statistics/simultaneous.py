"""Distances between means at which all claims of a table hold at once.

Each pair's t is put on the scale of a normal variable by its own degrees of freedom, so that pairs
known well and badly weigh alike; the largest of all pairs is then simulated, with the group's own
variances and with those estimated. Pairs with the baseline (Dunnett's family) and all pairs
(Tukey's) are one family: both get the same share of the error, and the chance that any of
their claims is wrong is at most alpha.

Source: Dunnett 1955, A multiple comparison procedure for comparing several treatments with a
control. https://doi.org/10.1080/01621459.1955.10501294
Source: Games, Howell 1976, Pairwise multiple comparison procedures with unequal n's and variances.
https://doi.org/10.3102/10769986001002113
Source: Beran 1988, Balanced simultaneous confidence sets. https://doi.org/10.2307/2289284
Source: Wallace 1959, Bounds on normal approximations to Student's and the chi-square
distributions, equation 2.4 (t as a normal variable). https://doi.org/10.1214/aoms/1177706087
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special
from scipy import stats as scipy_stats

from nsbench.analysis.statistics.stats import Array

DRAWS = 5_000
SIMULATED = 150
"""Methods up to which all pairs are simulated; above, Tukey and Kramer's bound and half of alpha
for each family."""
CARE = 0.9
"""Share of alpha that is spent where three or more methods are compared: chosen by
``tools.calibration`` so that false claims keep to 5 % with very unequal noise, too."""
_NUMBERS = 40_000_000  # pairs times draws, at most
_NORMALS = 20_000_000  # drawn at once, at most
_AT_ONCE = 2_000_000
_SEED = 20_260_101


@dataclass(frozen=True)
class Critical:
    """Normal scores that a pair must pass.

    Attributes:
        baseline: Of a pair of a method and its baseline.
        pairs: Of any other pair.
    """

    baseline: float
    pairs: float


def normal_score(t: Array, freedom: Array) -> Array:
    """The normal score of a t value, Wallace's approximation; the same sign of order as t.

    Args:
        t: At least 0.
        freedom: Degrees of freedom, above 0; broadcast against ``t``.
    """
    return np.asarray(_stretch(freedom) * np.sqrt(freedom * np.log1p(t * t / freedom)))


def t_value(score: Array | float, freedom: Array) -> Array:
    """The t value of a normal score: undoes `normal_score`."""
    shrunk = np.asarray(score) / _stretch(freedom)
    with np.errstate(over="ignore"):
        return np.asarray(np.sqrt(freedom * np.expm1(shrunk * shrunk / freedom)))


def claims_p(score: Array, critical: float, alpha: float) -> Array:
    """Corrected p of a normal score: alpha at the critical one, as of independent claims.

    The critical score says how many independent claims the family is worth; p is the chance that
    the largest of so many passes ``score``.
    """
    one = np.log1p(-np.minimum(2 * scipy_stats.norm.sf(critical), 1 - 1e-12))
    worth = np.log1p(-alpha) / one
    tail = np.minimum(2 * scipy_stats.norm.sf(score), 1 - 1e-12)
    return np.asarray(np.minimum(-np.expm1(worth * np.log1p(-tail)), 1.0))


def critical_scores(
    root: Array,
    freedom: Array,
    pair_freedom: Array,
    reference: NDArray[np.int64],
    *,
    alpha: float = 0.05,
) -> Critical:
    """Normal scores that no pair passes, in 1 - alpha of groups whose methods are all alike.

    Args:
        root: The estimates' covariance as a product with its own transpose, shape (M, K).
        freedom: Degrees of freedom of each method's variance, shape (M,).
        pair_freedom: Degrees of freedom of each pair, shape (M, M).
        reference: Index of each method's baseline, itself or -1 without one, shape (M,).
        alpha: Chance that any claim is wrong, in (0, 1).
    """
    size = len(root)
    rows, columns = np.triu_indices(size, 1)
    ours = np.flatnonzero((reference >= 0) & (reference != np.arange(size)))
    if not len(rows):
        return Critical(_single(alpha), _single(alpha))
    alpha *= CARE if size > 2 else 1.0
    if size > SIMULATED:
        own = np.quantile(
            _largest(root, freedom, pair_freedom, (ours, reference[ours])), 1 - alpha / 2
        )
        bound = _tukey(size, alpha / 2)
        return Critical(_rounded(min(float(own), bound)) if len(ours) else bound, bound)
    pairs = _largest(root, freedom, pair_freedom, (rows, columns))
    if not len(ours):
        return Critical(*[_rounded(float(np.quantile(pairs, 1 - alpha)))] * 2)
    base = _largest(root, freedom, pair_freedom, (ours, reference[ours]), draws=len(pairs))
    # Of each draw, how rare its rarer family is; the alpha rarest draws are the error.
    rarer = np.minimum(*(_share_above(family) for family in (base, pairs)))
    level = float(np.quantile(rarer, alpha))
    scores = [_rounded(float(np.quantile(family, 1 - level))) for family in (base, pairs)]
    return Critical(min(scores), scores[1])


def _largest(
    root: Array,
    freedom: Array,
    pair_freedom: Array,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    draws: int = 0,
) -> Array:
    """The largest normal score of any pair, in every draw of a group whose methods are alike."""
    one, two = pairs
    most = min(DRAWS, _NORMALS // root.shape[1])
    draws = draws or int(np.clip(_NUMBERS // max(len(one), 1), 2000, max(most, 2000)))
    if not len(one):
        return np.zeros(draws)
    variance = (root * root).sum(axis=1)
    spread = ((root[one] - root[two]) ** 2).sum(axis=1)
    moves = spread > 1e-20 * max(float(variance.max()), 1e-300)  # other pairs claim nothing
    whole = np.where(moves, variance[one] + variance[two], 1.0)
    share = np.where(moves, variance[one] / whole, 0.5)[:, None].astype(np.float32)
    scale = (np.where(moves, 1.0, 0.0) / np.sqrt(np.where(moves, spread, 1.0)))[:, None]
    df = pair_freedom[one, two][:, None].astype(np.float32)
    stretch = _stretch(pair_freedom[one, two])[:, None].astype(np.float32)
    out = np.zeros(draws)
    step = max(1, min(draws, _AT_ONCE // len(one)))
    # Every draw has numbers of its own, whatever the pairs, so that families can be compared.
    normal = np.random.default_rng(_SEED).standard_normal((draws, root.shape[1]))
    luck = _luck(freedom, draws)
    for start in range(0, draws, step):
        part = slice(start, start + step)
        value = root @ normal[part].T  # (M, step)
        noise = luck[part].T.astype(np.float32)
        estimated = share * noise[one] + (1 - share) * noise[two]
        apart = ((value[one] - value[two]) * scale).astype(np.float32)
        squared = np.square(apart) / np.maximum(estimated, 1e-30)
        score = np.sqrt(df * np.log1p(squared / df)) * stretch
        out[part] = score.max(axis=0)
    return out


def _luck(freedom: Array, draws: int) -> Array:
    """Estimated over true variance in every draw, shape (draws, M).

    By quantiles of the same uniform draws, so that a last bit of the freedom moves the last bit of
    the answer: a sampler that rejects would go on with other draws.
    """
    grid = np.linspace(-14.0, 14.0, 449)  # log odds
    odds = np.random.default_rng(_SEED + 1).logistic(size=(draws, len(freedom)))
    out = np.empty_like(odds)
    for row, df in enumerate(freedom):
        quantiles = np.log(np.maximum(scipy_stats.chi2.ppf(special.expit(grid), df), 1e-300))
        out[:, row] = np.exp(np.interp(odds[:, row], grid, quantiles)) / df
    return out


def _share_above(family: Array) -> Array:
    """Of each draw, the share of draws that are as large or larger."""
    order = np.sort(family)
    return np.asarray(1.0 - np.searchsorted(order, family, side="left") / len(family))


def _stretch(freedom: Array) -> Array:
    return np.asarray((8 * freedom + 1) / (8 * freedom + 3))


def _single(alpha: float) -> float:
    return float(scipy_stats.norm.isf(alpha / 2))


def _tukey(size: int, alpha: float) -> float:
    """Largest difference of independent normal variables, as a normal score.

    Their range by its own integral, which scipy's studentized range does not reach for thousands.
    """
    points, weights = np.polynomial.legendre.leggauss(400)
    x = 10 * points

    def missed(width: float) -> float:
        inside = scipy_stats.norm.cdf(x + width) - scipy_stats.norm.cdf(x)
        kept = size * scipy_stats.norm.pdf(x) * inside ** (size - 1)
        return float(1 - 10 * (weights * kept).sum()) - alpha

    return _rounded(optimize.brentq(missed, 0.1, 20.0) / np.sqrt(2))


def _rounded(score: float) -> float:
    """To three places, so that the last bits of a simulation show nowhere."""
    return float(np.round(score, 3))

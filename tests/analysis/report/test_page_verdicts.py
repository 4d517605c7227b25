"""The page's verdicts, computed by its scripts in node, are those of the Python procedure."""

import json
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.special import digamma, polygamma

from nsbench.analysis.statistics.verdicts import judge

NODE = shutil.which("node") or ""
pytestmark = pytest.mark.skipif(not NODE, reason="node is not installed")
SCRIPTS = ("numerics", "variances", "verdicts")
CASES = 40


def run(script, given, scripts=SCRIPTS, before=""):
    """The JSON that a script prints, after those of the page; missing numbers are ``null``."""
    folder = resources.files("nsbench.analysis.report").joinpath("app")
    code = "\n".join(folder.joinpath(f"{name}.js").read_text("utf-8") for name in scripts)
    code = before + code
    read = 'const given = JSON.parse(require("fs").readFileSync(0, "utf8"));\n'
    text = json.dumps(given).replace("NaN", "null")
    done = subprocess.run(
        [NODE, "-e", code + read + f"console.log(JSON.stringify({script}));"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


JUDGE = """given.map(({means, reference, critical}) => {
  const rows = means.map((row) => row.map((v) => (v === null ? NaN : v)));
  const v = judge(rows, reference, {margin: 0.5, alpha: 0.05, critical});
  const pairs = rows.map((_, i) => rows.map((_, j) => v.half(i, j)));
  return {...v, pairs, gap: null, half: null};
})"""


def random_matrix(draw, number):
    """Methods by seed: quiet and noisy ones, a collapsed one, twins, and missing seeds."""
    size, seeds = int(draw.integers(2, 16)), int(draw.integers(2, 8))
    means = 60 + draw.normal(0, draw.choice([0.1, 0.5, 2.0]), (size, 1))
    noise = draw.choice([0.05, 0.4, 1.5], (size, 1)) if number % 2 else 0.05
    means = means + draw.normal(0, 0.5, seeds) + noise * draw.normal(0, 1, (size, seeds))
    if number % 3 == 1:
        means[draw.random(means.shape) < 0.2] = np.nan
    if number % 4 == 2 and size > 3:
        means[3] = means[2]
    if number % 5 == 3:
        means[-1] += draw.normal(-25, 5, seeds)
    reference = [int(draw.integers(0, 2)) if number % 2 else 0 for _ in range(size)]
    return means, [None if draw.random() < 0.1 else r for r in reference]


@pytest.fixture(scope="module")
def cases():
    draw = np.random.default_rng(7)
    made = [random_matrix(draw, n) for n in range(CASES)]
    return [(means, reference, judge(means, reference)) for means, reference in made]


def given(cases, *, critical):
    return [
        {
            "means": means.tolist(),
            "reference": [-1 if r is None else r for r in reference],
            "critical": {"baseline": v.critical.baseline, "pairs": v.critical.pairs}
            if critical and v.critical
            else None,
        }
        for means, reference, v in cases
    ]


def numbers(values):
    return np.array(values, dtype=float)


def test_verdicts_are_those_of_the_stored_tables(cases):
    """With the critical scores of the file, every number and word is Python's."""
    seen = set()
    for (_, _, v), found in zip(cases, run(JUDGE, given(cases, critical=True)), strict=True):
        np.testing.assert_allclose(numbers(found["level"]), v.level, rtol=1e-12)
        np.testing.assert_allclose(numbers(found["difference"]), v.gap, atol=1e-9)
        np.testing.assert_allclose(numbers(found["width"]), v.gap_half, rtol=1e-9)
        np.testing.assert_allclose(numbers(found["p"]), v.gap_p, rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(numbers(found["pairs"]), v.half, rtol=1e-9)
        assert found["verdict"] == v.verdict()
        assert found["more"] == v.more.tolist()
        assert found["letters"] == v.letters()
        np.testing.assert_array_equal(numbers(found["ranks"]), v.ranks())
        low, high = v.rank_intervals()
        assert (found["rankLow"], found["rankHigh"]) == (low.tolist(), high.tolist())
        seen |= set(found["verdict"])
    assert seen == {"better", "worse", "equivalent", "undecided", "baseline", "no verdict"}


def test_simulated_critical_scores_are_those_of_python(cases):
    """With draws of its own, the page finds the critical scores up to the draws' luck.

    A 95 % quantile of 5,000 draws of a largest normal score has a standard error of about 0.03, of
    Python's and of the page's draws alike: five of both is 0.2.
    """
    found = run(JUDGE, given(cases, critical=False))
    apart, verdicts, total = [], 0, 0
    for (_, _, v), one in zip(cases, found, strict=True):
        if v.critical is None:
            assert one["critical"] is None
            continue
        apart.append(one["critical"]["baseline"] - v.critical.baseline)
        apart.append(one["critical"]["pairs"] - v.critical.pairs)
        verdicts += sum(a == b for a, b in zip(one["verdict"], v.verdict(), strict=True))
        total += len(one["verdict"])
    assert np.abs(apart).max() < 0.2
    assert abs(np.mean(apart)) < 0.03
    assert verdicts / total > 0.97  # others lie at an edge


def test_many_methods_take_tukeys_bound():
    draw = np.random.default_rng(3)
    means = 60 + draw.normal(0, 1, (160, 5))
    reference = [0] * len(means)
    v = judge(means, reference)
    (found,) = run(JUDGE, given([(means, reference, v)], critical=False))
    assert found["critical"]["pairs"] == pytest.approx(v.critical.pairs, abs=2e-3)
    assert found["critical"]["baseline"] == pytest.approx(v.critical.baseline, abs=0.2)


def test_special_functions_are_scipys():
    x = [0.05, 0.3, 0.9, 2.0, 4.5, 17.0, 120.0]
    script = "given.map((x) => [digamma(x), trigamma(x), normalTail(x), logGamma(x)])"
    found = numbers(run(script, x))
    np.testing.assert_allclose(found[:, 0], digamma(x), rtol=1e-10)
    np.testing.assert_allclose(found[:, 1], polygamma(1, x), rtol=1e-10)
    np.testing.assert_allclose(found[:, 2], scipy_stats.norm.sf(x), rtol=1e-9)
    quantiles = run("given.map((df) => studentQuantile(0.95, df))", [1, 2, 4, 30])
    np.testing.assert_allclose(quantiles, scipy_stats.t.ppf(0.975, [1, 2, 4, 30]), rtol=1e-9)


def test_the_page_compares_with_the_strongest_of_baselines_that_are_equally_alike():
    """As `nsbench.analysis.tables.leaderboard.baselines` does."""
    plain = {"sampler": "in_batch", "name": "in_batch", "augmentation": "none", "candidates": ""}
    plain |= {"budget": "", "untrained": False}
    methods = [{**plain, "objective": o} for o in ("a", "b", "c", "d")]
    methods.append({**plain, "sampler": "map", "name": "map", "objective": "", "untrained": True})
    methods.append({**plain, "sampler": "hard", "name": "hard", "objective": "a"})
    methods.append({**plain, "sampler": "hard", "name": "hard", "objective": "e"})
    methods.append(
        {**plain, "sampler": "hard", "name": "hard", "objective": "c(t=1)", "budget": "x"}
    )
    means = [[50, 51], [70, None], [60, 61], [None, None], *[[55, 56]] * 4]
    found = run(
        "referencesOf(given.methods, 'in_batch',"
        " given.means.map((row) => row.map((v) => (v === null ? NaN : v))))",
        {"methods": methods, "means": means},
        (*SCRIPTS, "model"),
        "const byId = () => ({textContent: '{\"pools\": []}'});\n",
    )
    assert found == [0, 1, 2, 3, 1, 0, 1, 2]

"""The script that checks and times search on a GPU works, here at a tiny size on a CPU."""

import sys

import pytest
import torch

from tools.timing import gpu_search

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or torch.cuda.is_available(), reason="Triton's interpreter, on Linux"
)


def test_search_checks_see_what_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = gpu_search.search_checks(CPU, small=True)
    for name, act in checks.items():
        assert act(), name
    from nsbench.benchmarks.search import kernel

    real = kernel.scan

    def wrong(q, x, bound, words, config):  # type: ignore[no-untyped-def]
        real(q, x, bound, words, config)
        words[:, ::5] = 0

    monkeypatch.setattr(kernel, "scan", wrong)
    for name in ("fused search = reference", "search of close points = reference"):
        with pytest.raises(AssertionError, match="queries have other neighbours"):
            checks[name]()


def test_search_rows_say_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from nsbench.benchmarks.search import kernel

    monkeypatch.setattr(kernel, "_chosen", {})
    rows = list(gpu_search.search_rows(CPU, small=True, repeat=1))
    assert [row["how"] for row in rows] == [
        "product alone, fp16",
        "blocked torch, bf16",
        "backend fused",
        "backend torch, auto",
        "backend fused",
        "backend fused",
    ]
    shares = rows.pop()
    assert "%" in shares["note"]
    work = 2 * 64 * 600 * 32
    for row in rows:
        assert row["job"] == "top 10, 64 x 600 x 32"
        done = work / (float(row["ms_per_step"]) / 1e3) / 1e12
        assert float(row["tflops"]) == pytest.approx(done, rel=0.1) or done > 1e-3
    assert float(rows[1]["times_eager"]) == 1.0
    assert "cut 128 x 256 x 64" in rows[2]["note"] or "cut 256 x 128 x 64" in rows[2]["note"]
    assert kernel._chosen.keys() == {CPU}

"""A negative-sampling research benchmark suite for text embeddings.

What ``nsbench run``, ``mine``, ``evaluate``, ``audit`` and ``recommend`` do, as functions, and the
tables that they leave::

    import nsbench

    if __name__ == "__main__":
        outcome = nsbench.run("smoke", "out/smoke")
        print(nsbench.load_results(outcome.folder.root).scores)
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsbench.analysis.read.load import load_results
    from nsbench.analysis.recommend.calls import audit, recommend
    from nsbench.benchmarks.cli.calls import mine
    from nsbench.benchmarks.runs.external import evaluate
    from nsbench.benchmarks.runs.matrix_run import run

    __version__: str

__all__ = ["__version__", "audit", "evaluate", "load_results", "mine", "recommend", "run"]

_HOMES = {
    "audit": "nsbench.analysis.recommend.calls",
    "evaluate": "nsbench.benchmarks.runs.external",
    "load_results": "nsbench.analysis.read.load",
    "mine": "nsbench.benchmarks.cli.calls",
    "recommend": "nsbench.analysis.recommend.calls",
    "run": "nsbench.benchmarks.runs.matrix_run",
}
"""Modules of the functions, imported on first use: they need torch or pandas."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # a tenth of a second

        try:
            return version("nsbench")
        except PackageNotFoundError:
            return ""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__

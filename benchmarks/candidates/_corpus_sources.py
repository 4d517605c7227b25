"""Sources of mined candidates by name, and which settings fit them."""

from typing import Any

from nsbench.samplers import one_of

SOURCES = ("model", "guide", "bm25", "random")
CHANGING = {"model", "random"}
"""Sources that a refresh changes."""


def check_sources(pool: Any) -> None:
    """Raise ``ValueError`` if the settings of a `CorpusPool` do not fit its sources."""
    for part in pool.sources:
        one_of("corpus", "source", part, SOURCES)
    if len(set(pool.sources)) < len(pool.sources):
        raise ValueError(f"corpus: source is {pool.source!r}, which names a source twice")
    if pool.shares and (len(pool.sources) < 2 or len(pool.shares) != len(pool.sources)):
        raise ValueError(
            f"corpus: shares has {len(pool.shares)} weights, but source is {pool.source!r}; "
            "give one for each of several sources, or none"
        )
    if pool.blend != "fusion" and len(pool.sources) < 2:
        raise ValueError(
            f"corpus: blend is {pool.blend!r}, but source is {pool.source!r}, a single one"
        )
    for name in ("margin", "relative_margin"):
        if pool.source not in ("model", "guide", "bm25") and getattr(pool, name) != -1:
            raise ValueError(
                f"corpus: {name} is {getattr(pool, name)!r}, but the source {pool.source} "
                "gives places, not scores; leave it at -1"
            )
    if pool.source not in ("model", "guide") and pool.max_score != 1:
        raise ValueError(
            f"corpus: max_score is {pool.max_score!r}, but the source {pool.source} gives no "
            "cosines; leave it at 1"
        )

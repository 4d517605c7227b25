"""The commands ``audit`` and ``recommend`` as functions, for the public names of `nsbench`."""

from pathlib import Path
from typing import Any

from nsbench.analysis.recommend.audit_page import write_audit
from nsbench.analysis.recommend.given import Given, RecommendGiven, material
from nsbench.analysis.recommend.recommendation import recommended
from nsbench.analysis.recommend.story import Told


def audit(data: str | Path, to: str | Path | None = None, **options: Any) -> dict[str, Any]:
    """Audit pairs: facts, difficulty of candidates, false negatives, suspicious texts.

    Args:
        data: Pairs: a file, a BEIR folder, or a data set by name, ``planted[rows=200]``.
        to: Folder of the pages and figures; nothing is written without one.
        **options: Further options of ``nsbench audit``, such as ``model`` or ``seed``.

    Returns:
        The content of ``audit.json``.

    Raises:
        ValueError: If an option is not legal, or data are missing.
    """
    given = Given(data=str(data), **options)
    made = material(given).audited(given.seed)
    if to is not None:
        write_audit(made, Path(to), given.name)
    return made.plain()


def recommend(data: str | Path, to: str | Path | None = None, **options: Any) -> Told:
    """Find the recipe for pairs: audit, race, decide, and hand over; it can be resumed.

    Args:
        data: Pairs, as `audit` takes them.
        to: Folder of everything; ``out/recommend-NAME`` by default.
        **options: Further options of ``nsbench recommend``, such as ``minutes`` or ``model``.

    Returns:
        The recommendation in one sentence, its outcome, and the files.

    Raises:
        ValueError: If an option is not legal, data are missing, or the time is too short.
    """
    place = None if to is None else Path(to)
    return recommended(RecommendGiven(data=str(data), to=place, **options))

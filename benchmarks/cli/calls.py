"""Commands as functions, for the public names of `nsbench`."""

from pathlib import Path
from typing import Any

from nsbench.benchmarks.cli.console import err
from nsbench.benchmarks.cli.mine import MineCommand, mined


def mine(data: str | Path, to: str | Path, *, model: str = "", **options: Any) -> dict[str, Any]:
    """Mine negatives as a data set, with a difficulty report and a card.

    A folder that holds the same set already is left as it is.

    Args:
        data: Pairs: a file, a BEIR folder, or a data set by name, ``planted[rows=200]``.
        to: Folder of the mined set.
        model: Model that ranks the texts: a folder or hub name.
        **options: Further options of ``nsbench mine``, such as ``shortage``, ``negatives`` or
            ``source``.

    Returns:
        The content of ``mined.json``: settings, files with their hashes, and the report.

    Raises:
        ValueError: If an option is not legal, or data are missing.
    """
    given = MineCommand(data=str(data), to=Path(to), model=model, **options)
    before, err.quiet = err.quiet, True
    try:
        return mined(given)[0]
    finally:
        err.quiet = before

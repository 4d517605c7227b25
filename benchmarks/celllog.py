"""A cell's own log: what it warned of and what the libraries under it said."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Quiet(logging.FileHandler):
    """A full disk costs a line of the log, and no traceback on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # logging's name
        pass


@contextmanager
def cell_log(path: Path, title: str) -> Iterator[logging.Logger]:
    """Send warnings and log records of this process to a file while a cell runs.

    Args:
        path: The file; a rerun of the cell adds to it.
        title: What the cell is, for the first line.
    """
    if path.is_symlink():  # never add to a file elsewhere
        path.unlink()
    handler = _Quiet(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.setLevel(logging.INFO)
    root = logging.getLogger()
    mine = logging.getLogger("nsbench.cell")
    level = mine.level
    mine.setLevel(logging.INFO)
    root.addHandler(handler)
    shown = warnings.showwarning
    logging.captureWarnings(True)
    try:
        mine.info("start: %s", title)
        yield mine
    finally:
        logging.captureWarnings(False)
        warnings.showwarning = shown
        root.removeHandler(handler)
        mine.setLevel(level)
        with suppress(OSError):
            handler.close()

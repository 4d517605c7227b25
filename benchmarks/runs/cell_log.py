"""A log per cell: its warnings and those of the libraries it calls."""

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nsbench.benchmarks.files import in_the_way
from nsbench.benchmarks.keys import visible

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_open: dict[int, Path] = {}  # by thread: interleaved cells have one each
_before: dict[str, Any] = {}


class _Quiet(logging.FileHandler):
    """A full disk costs a line of the log, and no traceback on the terminal."""

    def handleError(self, record: logging.LogRecord) -> None:  # logging's name
        pass


class _Visible(logging.Formatter):
    """Control characters are written as escapes: logs are read with ``cat``."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


@contextmanager
def cell_log(path: Path, title: str) -> Iterator[logging.Logger]:
    """Send warnings and log records of this process to a file while a cell runs.

    Records of a thread that runs another cell go to that cell's file.
    """
    if in_the_way(path) not in (
        "",
        "a directory",
    ):  # no file elsewhere, no FIFO
        path.unlink()
    handler = _Quiet(path, encoding="utf-8")
    handler.setFormatter(_Visible(FORMAT))
    handler.setLevel(logging.INFO)
    here = threading.get_ident()
    handler.addFilter(lambda record: record.thread == here or record.thread not in _open)
    root = logging.getLogger()
    mine = logging.getLogger("nsbench.cell")
    root.addHandler(handler)
    if not _open:
        _before.update(level=mine.level, shown=warnings.showwarning)
        mine.setLevel(logging.INFO)
        logging.captureWarnings(True)
    _open[here] = path
    try:
        mine.info("start: %s", title)
        yield mine
    finally:
        del _open[here]
        if not _open:  # the last of the interleaved cells
            logging.captureWarnings(False)
            warnings.showwarning = _before["shown"]
            mine.setLevel(_before["level"])
        root.removeHandler(handler)
        with suppress(OSError):
            handler.close()

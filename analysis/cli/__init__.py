"""The command line of the analysis: leaderboard, plot, report, pack, merge, publish."""

import os
import signal
import sys
from contextlib import suppress
from typing import Any


def command() -> None:
    """Run ``nsbench``; Ctrl-C ends it at any moment, with one sentence and exit code 130.

    Libraries that are imported swallow a `KeyboardInterrupt` here and there, or print tracebacks.
    So the process ends without one. What a command leaves then is what a kill leaves, from which
    every command resumes; one that has more to do (``run``) has its own answer meanwhile.
    """
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else a shell ignores it
            signal.signal(signal.SIGINT, _end)
    except KeyboardInterrupt:  # pressed before the line above was through
        _end()
    from nsbench.analysis.cli.main import main

    main()


def _end(*_: Any) -> None:
    with suppress(OSError, ValueError, RuntimeError):  # closed, or in the middle of a write
        sys.stdout.flush()
    with suppress(OSError):
        if os.isatty(2):  # a spinner hides the cursor
            os.write(2, b"\r\x1b[K\x1b[?25h")
        os.write(2, b"interrupted; run the same command again to continue\n")
    os._exit(130)

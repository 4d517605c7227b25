"""The command line of the analysis: leaderboard, plot, report, pack, merge, publish."""

import os
import sys
from types import TracebackType


def _interrupted(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Answer Ctrl-C while the command is still being imported, by one sentence and exit code 130.

    Later ones are answered by `nsbench.benchmarks.cli.main.run_app`.
    """
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    sys.stderr.write("interrupted; run the same command again to continue\n")
    sys.stderr.flush()
    os._exit(130)


if os.path.basename(sys.argv[0]) in ("nsbench", "-c") or sys.argv[0] == "":  # noqa: PTH119 (early)
    sys.excepthook = _interrupted

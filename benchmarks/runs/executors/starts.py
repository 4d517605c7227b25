"""Workers that died before they could take a cell: when a run gives up on starting more."""

import signal
import time

START_TRIES = 20
"""Workers in a row that may die before they take a cell, until the run gives up."""
START_SECONDS = 300.0
"""Seconds without any worker that came up, until the run gives up; kills from outside pass sooner.
"""
ASKED_TO_STOP = (-signal.SIGTERM, 255)
"""Exit codes of a worker that a scheduler or a person ended, not its cell: SIGTERM, or unknown
because the server it was forked from has died."""
KILLED = (*ASKED_TO_STOP, -signal.SIGKILL)
"""Exit codes of a worker that did not end by its own fault, as long as it had no cell."""


class Starts:
    """Counts workers that died before they could take a cell, until one comes up.

    One that was killed, or whose server was, is no sign that none can be started: such ones are
    waited out, longer each time, for `START_SECONDS` in a row.
    """

    def __init__(self) -> None:
        self.came_up()

    def came_up(self) -> None:
        """Forget what was counted."""
        self._died = self._killed = 0
        self._since = time.monotonic()

    def failed(self, code: int) -> None:
        """Count a worker that ended with this exit code."""
        if code in KILLED:
            self._killed += 1
            time.sleep(min(0.05 * self._killed, 1.0))
        else:
            self._died += 1

    def check(self) -> None:
        """Give up if nothing speaks for another try.

        Raises:
            RuntimeError: With the number of workers that died.
        """
        late = time.monotonic() - self._since > START_SECONDS and self._killed >= START_TRIES
        if self._died >= START_TRIES or late:
            raise RuntimeError(
                f"{self._died + self._killed} workers in a row died before they could take a cell"
            )

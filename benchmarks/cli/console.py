"""The consoles, the exit codes and the notices that all commands share."""

import os
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from rich import markup
from rich.console import Console
from rich.segment import Segment

from nsbench.benchmarks import hub
from nsbench.benchmarks.keys import visible

OK, SOME_FAILED, USAGE, UNFINISHED, INTERRUPTED = 0, 1, 2, 3, 130
"""All well; some cells failed; wrong usage or a place that cannot be written; stopped by a budget;
stopped by a signal."""


class SafeConsole(Console):
    """A console on which no text acts: control characters and bidi marks are shown as escapes.

    Names come from matrix files, records and models of other people. Only the console's own
    sequences, for colours and live views, reach the terminal as they are.
    """

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Yield the segments of what is printed, each with `visible` text."""
        for part in super().render(renderable, options):
            text = part.text if part.control else visible(part.text)
            yield part if text == part.text else Segment(text, part.style)


def escaped(text: str) -> str:
    """Return a text that is shown as it is: neither markup nor the terminal acts on it."""
    return markup.escape(visible(text))


def echo(text: str, *, to_err: bool = False, nl: bool = True) -> None:
    """Print plain text, without colours; see `visible`."""
    typer.echo(visible(text), err=to_err, nl=nl)


out = SafeConsole(highlight=False)
err = SafeConsole(stderr=True, highlight=False)


def hide_hub_bars() -> None:
    """Draw no progress bars of the hub where there is no terminal."""
    if not err.is_terminal:  # huggingface_hub draws its bars into files too
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def settle_hub() -> None:
    """Ask the hub before it is needed, and say so if it does not answer."""
    hide_hub_bars()
    hub.settle(lambda text: err.print(escaped(text), soft_wrap=True))


def say_left_out(names: Sequence[str]) -> None:
    """Print which evaluation tasks are not here and are left out."""
    if names:
        text = f"{len(names)} evaluation tasks are not here and are left out: {', '.join(names)}"
        err.print(text, soft_wrap=True)

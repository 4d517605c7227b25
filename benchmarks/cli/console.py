"""The consoles, the exit codes and the notices that all commands share."""

import os
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape as escaped

from nsbench.benchmarks import hub

__all__ = [
    "INTERRUPTED",
    "OK",
    "SOME_FAILED",
    "UNFINISHED",
    "USAGE",
    "err",
    "escaped",
    "hide_hub_bars",
    "out",
    "say_left_out",
    "settle_hub",
]

OK, SOME_FAILED, USAGE, UNFINISHED, INTERRUPTED = 0, 1, 2, 3, 130
"""All well; some cells failed; wrong usage; stopped by a budget; stopped by a signal."""

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


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

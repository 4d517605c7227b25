"""Labels: short names that a matrix file gives its entries."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nsbench.benchmarks.records.cell import Choice

LONGEST = 40
"""Characters of a label."""


def label_of(params: dict[str, Any], kind: str, name: str) -> str:
    """Take ``label`` out of the parameters of an entry and return it; empty without one.

    Raises:
        ValueError: If it is no short text without brackets.
    """
    label = params.pop("label", "")
    if label == "":
        return ""
    fits = isinstance(label, str) and len(label) <= LONGEST and label.strip() == label
    if not fits or re.search(r"[()|\x00-\x1f]", label):
        raise ValueError(
            f"{kind} {name}: label must be a text of at most {LONGEST} characters without "
            f"brackets and |, got {label!r}"
        )
    return str(label)


def labelled(choices: Sequence[Choice], label: str) -> list[Choice]:
    """Give the choices of one entry its label; those of a grid add what differs between them."""
    if not label or len(choices) == 1:
        return [replace(choice, label=label) for choice in choices]
    varying = [
        name
        for name in choices[0].params
        if len({repr(choice.params.get(name)) for choice in choices}) > 1
    ]
    return [
        replace(choice, label=f"{label}({', '.join(f'{n}={choice.params[n]}' for n in varying)})")
        for choice in choices
    ]

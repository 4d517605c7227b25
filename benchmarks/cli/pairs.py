"""Options of the commands that read pairs, each defined once, and what they mean."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from nsbench.benchmarks import hub
from nsbench.benchmarks.cli.console import settle_hub
from nsbench.benchmarks.cli.options import Argument, Option

Pairs = Annotated[
    str,
    Argument(),
    Field(description="Pairs: a file, a BEIR folder, or a data set by name, planted[rows=200]."),
]
Columns = Annotated[
    tuple[str, ...], Field(description="anchor=question: names of the columns; repeatable.")
]
Split = Annotated[str, Field(description="Of a BEIR folder or hub data set.")]
Read = Annotated[
    tuple[str, ...],
    Option(metavar="OPTION=VALUE"),
    Field(
        description="How the data are read: header, quotes, delimiter, encoding, ragged, bad_rows; "
        "repeatable."
    ),
]
Device = Annotated[str, Field(description="Device of the models: auto, cpu, cuda, cuda:0.")]


def columns_of(words: Sequence[str], command: str = "") -> dict[str, str]:
    """Names of the columns by their role, from ``anchor=question``; errors begin with the command.

    Raises:
        ValueError: If one has another form.
    """
    for word in words:
        if "=" not in word:
            raise ValueError(f"{command}cannot read the column {word!r}: write anchor=question")
    return dict(word.split("=", 1) for word in words)


def settle_hub_for(data: str, *models: str) -> None:
    """Ask the hub before it is needed, where a data set or a model comes from it."""
    of_hub = data.partition("[")[0] in ("hub", "sts_unlabelled")
    if of_hub or not all(map(hub.is_local, models)):
        settle_hub()

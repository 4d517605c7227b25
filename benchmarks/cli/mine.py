"""The command ``nsbench mine``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from nsbench.benchmarks.cli import pairs
from nsbench.benchmarks.cli.console import err, escaped, out
from nsbench.benchmarks.cli.options import Option, command_from
from nsbench.benchmarks.cli.progress import texts_shown
from nsbench.benchmarks.mining.settings import MinedFiles, MineSettings
from nsbench.benchmarks.records.shared import no_collection

if TYPE_CHECKING:
    from nsbench.benchmarks.mining.dataset.mined_set import Mining

PROMPTS = ("query_prompt", "corpus_prompt")
"""Settings that can also be given by the name of one of the model's prompts."""


class MineCommand(MinedFiles, MineSettings):
    """Arguments and options of ``nsbench mine``."""

    data: pairs.Pairs
    to: Annotated[Path, Option(("--out", "-o"))] = Field(description="Folder of the mined set.")
    model: Annotated[str, Option(("--model", "-m"))] = Field(
        "", description="Ranks the texts: a folder or hub name."
    )
    sampler: str = Field(
        "in_batch", description="Chooses in the window: name[parameter=value,...]."
    )
    negatives: Annotated[int, Option(("--negatives", "-n"))] = Field(
        3, ge=1, description="Negatives per row."
    )
    form: Annotated[str, Option(("--format",))] = Field(
        "triplet", description=MinedFiles.model_fields["form"].description
    )
    devices: Annotated[str, Option(("--search-devices",))] = Field(
        "", description=MineSettings.model_fields["devices"].description
    )
    corpus: Path | None = Field(None, description="Further texts to mine from.")
    column: pairs.Columns = ()
    split: pairs.Split = ""
    read: pairs.Read = ()
    read_corpus: Annotated[tuple[str, ...], Option(metavar="OPTION=VALUE")] = Field(
        (), description="How --corpus is read; repeatable."
    )
    query_prompt_name: str = Field("", description="A prompt of the model.")
    corpus_prompt_name: str = Field("", description="A prompt of the model.")
    cross_encoder: str = Field("", description="Scores the window again.")
    judge: str = Field(
        "", description="A second model: for the report, and for samplers with a guide."
    )
    cache: Path | None = Field(None, description="Folder of embeddings; default: OUT/.cache.")
    device: pairs.Device = "auto"
    batch_size: int = Field(64, ge=1, description="Texts encoded at once.")
    revision: str = Field("", description="Hub revision of the model.")
    overwrite: bool = Field(False, description="Replace another mined set in the folder.")

    @model_validator(mode="after")
    def _can_start(self) -> Self:
        self.check(self)
        if self.source == "model" and not self.model:
            raise ValueError("mine: name a model with --model, or choose --source bm25")
        if self.read_corpus and self.corpus is None:
            raise ValueError("mine: --read-corpus is given without --corpus")
        for kind in PROMPTS:
            name = getattr(self, f"{kind}_name")
            option = f"--{kind}-name".replace("_", "-")
            if name and self.source == "bm25":
                raise ValueError(
                    f"mine: {option} is {name!r}, but bm25 reads texts without prompts"
                )
            if name and getattr(self, kind) is not None:
                raise ValueError(
                    f"mine: {option} is {name!r}, but the text of this prompt is given, too: "
                    "give one of them"
                )
        pairs.columns_of(self.column, "mine: ")
        return self

    @property
    def columns(self) -> dict[str, str]:
        """Names of the columns by their role."""
        return pairs.columns_of(self.column)


def mined(given: MineCommand) -> tuple[dict[str, Any], bool]:
    """Mine a set into its folder.

    Returns:
        The content of ``mined.json``, and whether the set was there before.
    """
    with no_collection():  # of libraries and data, which stay
        mining = _mining(given)
    from nsbench.benchmarks.mining.dataset.write import mine_to

    with texts_shown("encoding and ranking"):
        return mine_to(given.to, mining, given, overwrite=given.overwrite, empty=False)


def _mining(given: MineCommand) -> "Mining":
    """Read the data and load the models."""
    from nsbench.benchmarks.data._reading import parse_reading
    from nsbench.benchmarks.device import pick_device
    from nsbench.benchmarks.encoders.pretrained import load_model
    from nsbench.benchmarks.mining.dataset.cache import EmbeddingCache
    from nsbench.benchmarks.mining.dataset.mined_set import Mining
    from nsbench.benchmarks.mining.dataset.rescore import load_rescorer
    from nsbench.benchmarks.mining.dataset.write import read_data, with_corpus

    pairs.settle_hub_for(given.data, given.model, given.judge, given.cross_encoder)
    reading = parse_reading(given.read, "--read")
    of_corpus = parse_reading(given.read_corpus, "--read-corpus")
    rows = read_data(given.data, given.columns, given.split, reading)
    rows, documents = with_corpus(rows, given.corpus, of_corpus)
    device = str(pick_device(given.device))
    loading: dict[str, Any] = {"device": device, "batch_size": given.batch_size, "own": True}
    settings, ranker = MineSettings(**given.plain()), None
    with err.status("loading models"):
        if settings.source == "model":
            ranker = load_model(given.model, revision=given.revision, **loading)
            settings = settings.replace(**_prompts(given, ranker))
        judge = load_model(given.judge, **loading) if given.judge else None
        rescorer = (
            load_rescorer(given.cross_encoder, device=device, batch_size=given.batch_size)
            if given.cross_encoder
            else None
        )

    def say(text: str) -> None:
        err.print(escaped(text), soft_wrap=True)

    cache = EmbeddingCache(given.cache or given.to / ".cache", say)
    return Mining(rows, settings, ranker, judge, rescorer, documents, cache)


@command_from(MineCommand)
def mine(given: MineCommand) -> None:
    """Mine negatives as a data set, with a difficulty report and a card; it can be resumed."""
    made, before = mined(given)
    _show(given.to, made, before)


def _prompts(given: MineCommand, model: Any) -> dict[str, str]:
    """Texts of the prompts that are given by name; one may be empty."""
    named = {kind: getattr(given, f"{kind}_name") for kind in PROMPTS}
    return {kind: model.prompt(name) for kind, name in named.items() if name}


def _show(to: Path, made: dict[str, Any], before: bool) -> None:
    from nsbench.benchmarks.data._reading import sentences

    for text in sentences(made.get("read")):
        out.print(escaped(text), soft_wrap=True)
    found = made["report"]
    counts, false = found["counts"], found["false_negatives"]
    if before:
        out.print(f"already there, made with the same settings: {to}", soft_wrap=True)
    out.print(
        f"{counts['rows_written']} of {counts['rows']} rows, {counts['negatives']} negatives "
        f"({counts['rows_short']} rows found too few, {counts['padded']} places padded)",
        soft_wrap=True,
    )
    if found.get("short_by"):
        by = ", ".join(f"{name} {count}" for name, count in found["short_by"].items())
        out.print(escaped(f"short rows by what left them short: {by}"), soft_wrap=True)
    for name in ("positive_score", "negative_score", "margin"):
        values = found["difficulty"][name]
        if values["mean"] is not None:
            out.print(
                f"{name:15} mean {values['mean']:7.4f}   5 % {values['q05']:7.4f}   "
                f"median {values['q50']:7.4f}   95 % {values['q95']:7.4f}"
            )
    signs = [f"{k} {v:.2%}" for k, v in false.items() if v is not None]
    out.print(f"false negatives? {', '.join(signs) or 'nothing known'}", soft_wrap=True)
    names = [*made["files"], "README.md", "report.json", "provenance.parquet"]
    out.print(f"wrote {', '.join(names)} in {to}{os.sep}", soft_wrap=True)

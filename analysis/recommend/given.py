"""Options of an audit and of a recommendation, and the data and models that they name."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nsbench.benchmarks.cli.options import Option
from nsbench.benchmarks.cli.pairs import (
    Columns,
    Device,
    Pairs,
    Read,
    Split,
    columns_of,
    settle_hub_for,
)

if TYPE_CHECKING:
    from nsbench.benchmarks.audit.audit import Audit
    from nsbench.benchmarks.data import TrainingData
    from nsbench.benchmarks.encoders.pretrained import TextModel
    from nsbench.benchmarks.mining.dataset.rescore import Rescorer

USUAL = "static[source=sentence-transformers/all-MiniLM-L6-v2]"
"""Model without ``--model``, where its weights are here: a table that trains in seconds."""
WORDS = "words"
ONE_TEXT = (
    "Every row is one text, which is its own positive. Columns sentence1, sentence2 and score or "
    "label are read as pairs if it is said from which score on they are: "
    "'file[path=pairs.csv, min_score=4]'."
)


class Given(BaseModel):
    """Arguments and options of ``nsbench audit``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Pairs
    to: Annotated[Path | None, Option(("--out", "-o"))] = Field(
        None, description="Folder of the pages and figures; default out/COMMAND-NAME."
    )
    model: Annotated[str, Option(("--model", "-m"))] = Field(
        "",
        description="A folder, a hub name or an encoder, static[source=...]; default: the token "
        "table of all-MiniLM-L6-v2 if it is here, otherwise words.",
    )
    guide: str = Field("", description="A second model, a further source of candidates.")
    judge: str = Field("", description="A cross-encoder, a second opinion on false negatives.")
    corpus: Path | None = Field(None, description="Further texts to choose negatives from.")
    column: Columns = ()
    split: Split = ""
    read: Read = ()
    device: Device = "auto"
    seed: int = Field(0, ge=0, description="Of samples, parts and trainings.")

    @model_validator(mode="after")
    def _columns_can_be_read(self) -> Self:
        columns_of(self.column)
        return self

    @property
    def name(self) -> str:
        """Name of the data, for titles and folders: that of the file where one is named."""
        from nsbench.benchmarks.mining.dataset.write import named_source

        kind, given = named_source(self.data)
        return Path(str(given.get("path", kind))).name.partition(".")[0] or "data"

    def folder(self, command: str) -> Path:
        """Folder of the results."""
        from nsbench.benchmarks.keys import slug

        return self.to or Path("out", slug(f"{command}-{self.name}"))


class RecommendGiven(Given):
    """Arguments and options of ``nsbench recommend``."""

    minutes: float = Field(
        20.0, ge=1, le=100_000, description="Time for everything; the plan keeps to it."
    )
    least: float = Field(
        5.0,
        ge=0.1,
        le=100,
        description="Difference in points that the test part must be able to show; where it "
        "cannot, nothing is recommended.",
    )


@dataclass(frozen=True, eq=False)
class Material:
    """The data and models that were named.

    Attributes:
        data: The rows; texts with classes have another text of their class as positive.
        told: The rows as they were read.
        model: Whose similarity is read; ``None`` for words.
        guide: The second model.
        judge: The cross-encoder.
        encoder: The model as an entry of a matrix file.
        notes: What a reader of the pages should know.
    """

    data: "TrainingData"
    told: "TrainingData"
    model: "TextModel | None"
    guide: "TextModel | None"
    judge: "Rescorer | None"
    encoder: dict[str, Any]
    notes: tuple[str, ...]

    @property
    def one_text(self) -> bool:
        """True if every row is one text, which is its own positive."""
        return bool((self.data.anchor == self.data.positive).all())

    def audited(self, seed: int) -> "Audit":
        """Audit the rows; the seed is that of samples, folds and parts."""
        from nsbench.benchmarks.audit.audit import audit

        return audit(self.data, self.model, self.guide, judge=self.judge, told=self.told, seed=seed)


def material(given: Given) -> Material:
    """Read the data and load the models.

    Raises:
        ValueError: If the data cannot be read or a model cannot be had.
        FileNotFoundError: If a file is missing.
    """
    from nsbench.benchmarks.audit.parts import has_classes, paired_by_class
    from nsbench.benchmarks.data._reading import parse_reading
    from nsbench.benchmarks.data._rows import without_repeats
    from nsbench.benchmarks.device import pick_device
    from nsbench.benchmarks.encoders.pretrained import load_model
    from nsbench.benchmarks.mining.dataset.rescore import load_rescorer
    from nsbench.benchmarks.mining.dataset.write import read_data, with_corpus

    settle_hub_for(given.data, given.model, given.guide, given.judge)
    reading = parse_reading(given.read, "--read")
    rows = read_data(given.data, columns_of(given.column), given.split, reading)
    told, _ = with_corpus(rows, given.corpus)
    if told.grade is not None:
        raise ValueError(
            f"{given.data}: rows with grades are no pairs; say with min_score from which score on "
            "two texts are a pair, in place of views = 'graded'"
        )
    device = str(pick_device(given.device))
    name, notes = given.model or _usual(), []
    if name == WORDS and not given.model:
        notes.append(
            "The weights of all-MiniLM-L6-v2 are not here, so words alone are compared, and an "
            "encoder of random word vectors is trained; name your model with --model."
        )
    model = None if name == WORDS else load_model(name, device=device)
    guide = load_model(given.guide, device=device) if given.guide else None
    judge = load_rescorer(given.judge, device=device) if given.judge else None
    data = without_repeats(told)
    if has_classes(data):
        data = paired_by_class(data, given.seed)
        notes.append("The texts have classes: the texts of a class are each other's positives.")
    found = Material(data, told, model, guide, judge, _entry(name), tuple(notes))
    return replace(found, notes=(*notes, ONE_TEXT)) if found.one_text else found


def graded_pairs(given: Given) -> "TrainingData | None":
    """Return all pairs with their grades, where the rows of `material` are those above a grade.

    Raises:
        ValueError: If a grade is not finite.
    """
    from nsbench.benchmarks.data._reading import parse_reading
    from nsbench.benchmarks.mining.dataset.write import read_graded

    reading = parse_reading(given.read, "--read")
    return read_graded(given.data, columns_of(given.column), given.split, reading)


def _usual() -> str:
    """The usual model if its weights are here, otherwise words."""
    from nsbench.benchmarks.encoders import encoders

    try:
        encoders.read(USUAL).check()
    except (ValueError, OSError):
        return WORDS
    return USUAL


def _entry(name: str) -> dict[str, Any]:
    """A model as an entry of a matrix file."""
    from nsbench.benchmarks.encoders.pretrained import guide_spec

    if name == WORDS:
        return {"name": "static"}
    kind, params = guide_spec(name)
    return {"name": kind} | dict(params)

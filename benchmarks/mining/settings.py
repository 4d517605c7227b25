"""Settings of mining: a window of a ranking, and all of a mined data set. No torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from nsbench.benchmarks.search import BACKENDS
from nsbench.samplers import at_least, one_of, samplers

if TYPE_CHECKING:
    from nsbench.samplers import Sampler

AMONG = ("documents", "all")
AGAINST = ("own", "lowest")
SHORTAGE = ("drop", "fewer", "pad_random", "error")
PICKS = ("top", "random")
SOURCES = ("model", "bm25")
STOPWORDS = (
    *("none", "english", "chinese", "danish", "dutch", "french", "german", "italian", "korean"),
    *("norwegian", "portuguese", "russian", "spanish", "swedish", "turkish"),
)
"""Languages whose stop words bm25s has."""
STEMMERS = (
    *("none", "english", "arabic", "armenian", "basque", "catalan", "danish", "dutch", "finnish"),
    *("french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian"),
    *("lithuanian", "nepali", "norwegian", "portuguese", "romanian", "russian", "serbian"),
    *("spanish", "swedish", "tamil", "turkish", "yiddish"),
)
"""Languages of the stemmers of PyStemmer (Snowball)."""
YOUNGER = ("stopwords",)
"""Settings that came later: at their defaults they are left out of cards and keys."""
FORMATS = (
    "triplet",
    "n-tuple",
    "labeled-pair",
    "labeled-list",
    "flagembedding",
    "tevatron",
    "beir",
)
FILE_TYPES = ("jsonl", "parquet")
CAN_BUILD = frozenset({"truth", "own_negative", "guide_similarity"})
"""Extras of a sampler's context that mining can build."""


@dataclass(frozen=True)
class Window:
    """The wanted places of a ranking.

    Args:
        depth: Most candidates per row, M, >= 1.
        need: Candidates without which a row is short, at most ``depth``; 0 means ``depth``.
        start: Places skipped at the top, >= 0; known positives do not count as places.
        stop: Place after the last, above ``start``.
        margin: Keep scores <= s_pos - margin, >= 0; ``None`` for any.
        relative_margin: Keep scores <= s_pos - |s_pos| * relative_margin, >= 0.
        max_score: Keep scores <= max_score.
        min_score: Keep scores >= min_score.
        against: s_pos of an anchor with several positives: the score of the row's ``own``, or the
            ``lowest`` of them all.
    """

    depth: int
    need: int = 0
    start: int = 0
    stop: int = 200
    margin: float | None = None
    relative_margin: float | None = None
    max_score: float | None = None
    min_score: float | None = None
    against: str = "own"

    def __post_init__(self) -> None:
        one_of("mining", "against", self.against, AGAINST)
        at_least("mining", "depth", self.depth, 1)
        at_least("mining", "need", self.need, 0)
        if self.need > self.depth:
            raise ValueError(f"mining: need is {self.need}, above depth, which is {self.depth}")
        at_least("mining", "start", self.start, 0)
        at_least("mining", "stop", self.stop, self.start + 1)
        for name in ("margin", "relative_margin"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ValueError(f"mining: {name} must be at least 0, got {value!r}")
        if self.stop - self.start < self.depth:
            raise ValueError(
                f"mining: depth is {self.depth}, but the window has only "
                f"{self.stop - self.start} places"
            )
        low, high = self.min_score, self.max_score
        if low is not None and high is not None and not low <= high:
            raise ValueError(f"mining: max_score {high!r} is below min_score {low!r}")


class MineSettings(BaseModel):
    """Settings for choosing the negatives of every row.

    A candidate's place in the anchor's ranking and its score decide whether it is in the window;
    the sampler chooses in the window; ``pick`` keeps ``negatives`` of what the sampler chose.
    A sampler that is paired with the pool ``corpus`` (``mined``, ``bm25``) sets negatives, window,
    source and shortage where these are not given.

    Raises:
        ValueError: If a setting is not legal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shortage: str = Field(
        "",
        description="If a row finds too few: drop, fewer, pad_random or error. No default.",
    )
    negatives: int = Field(3, ge=1, description="Negatives per row.")
    sampler: str = Field(
        "in_batch", description="Chooses in the window: name[parameter=value,...]; in_batch: all."
    )
    pick: str = Field(
        "top",
        description="Of what the sampler chose: top, or random (by its weights).",
    )
    source: str = Field("model", description="Ranking: cosines of the model, or bm25.")
    range_min: int = Field(
        0, ge=0, description="Places skipped at the top; known positives are no places."
    )
    range_max: int = Field(
        0,
        ge=0,
        description="Place after the last; 0: as many as negatives and filters need, row by row.",
    )
    margin: float | None = Field(None, ge=0, description="Keep s_neg <= s_pos - margin.")
    relative_margin: float | None = Field(
        None, ge=0, description="Keep s_neg <= s_pos - |s_pos| * margin."
    )
    max_score: float | None = Field(None, description="Keep s_neg <= max_score.")
    min_score: float | None = Field(None, description="Keep s_neg >= min_score.")
    against: str = Field(
        "own",
        description="s_pos, if an anchor has several positives: the row's own, or lowest.",
    )
    among: str = Field(
        "documents", description="Candidates: documents (no text that is only an anchor) or all."
    )
    query_prompt: str | None = Field(
        None, description="Put before every anchor; default: the model's own prompt, if any."
    )
    corpus_prompt: str | None = Field(None, description="Put before every other text.")
    backend: str = Field("torch", description="torch, faiss or fused (CUDA); same answer.")
    devices: str = Field("", description="Devices of the search: cuda:0,cuda:1; default: the CPU.")
    seed: int = Field(0, ge=0, description="Of padding, draws and samplers.")
    k1: float = Field(0.9, ge=0, le=10, description="BM25: saturation of term counts.")
    b: float = Field(0.4, ge=0, le=1, description="BM25: share of length normalisation.")
    stopwords: str = Field("english", description="BM25: language of the stop words, or none.")
    stemmer: str = Field("none", description="BM25: language of the stemmer, or none.")

    temperature: ClassVar[float] = 0.05

    @model_validator(mode="before")
    @classmethod
    def _add_those_of_the_sampler(cls, given: dict[str, Any]) -> dict[str, Any]:
        sampler = str(given.get("sampler", "in_batch"))
        pool = getattr(samplers.read(sampler), "pool", "in_batch")
        if not (isinstance(pool, tuple) and pool[0] == "corpus"):
            return given
        said = dict(pool[1])
        start, depth, kept = (
            int(said.get(key, default))
            for key, default in (("start", 0), ("depth", 20), ("negatives", 1))
        )
        source = str(said.get("source", "model"))
        if source not in SOURCES and (source, said.get("guide", "")) != ("guide", ""):
            raise ValueError(
                f"mine: the sampler {sampler} ranks by {source!r}, which is for training; here a "
                f"source is {' or '.join(SOURCES)}"
            )
        found = {
            "negatives": kept,
            "range_min": start,
            "range_max": int(said.get("stop", 0)) or start + depth,
            "pick": "random" if depth > kept else "top",
            "source": "bm25" if said.get("source") == "bm25" else "model",
        }
        more = {key: said.get(key) for key in ("shortage", "k1", "b", "stopwords", "stemmer")}
        for key, any_score in (("margin", -1), ("relative_margin", -1), ("max_score", 1)):
            more[key] = None if said.get(key, any_score) == any_score else said[key]
        return found | {k: v for k, v in more.items() if v is not None} | given

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if not self.shortage:
            raise ValueError(
                "mine: say with --shortage what to do with a row that finds too few negatives: "
                f"{', '.join(SHORTAGE)}"
            )
        for name, legal in (
            ("shortage", SHORTAGE),
            ("pick", PICKS),
            ("source", SOURCES),
            ("against", AGAINST),
            ("among", AMONG),
            ("backend", BACKENDS),
            ("stopwords", STOPWORDS),
            ("stemmer", STEMMERS),
        ):
            one_of("mine", name, getattr(self, name), legal)
        places = self.range_max - self.range_min
        if self.range_max and places < self.negatives:
            raise ValueError(
                f"mine: {self.negatives} negatives are wanted, but range_max {self.range_max} less "
                f"range_min {self.range_min} leaves {places} places"
            )
        prompted = self.query_prompt is not None or self.corpus_prompt is not None
        if self.source == "bm25" and prompted:
            raise ValueError("mine: a prompt is given, but bm25 reads texts without one")
        for name in ("k1", "b", "stopwords", "stemmer"):
            value = getattr(self, name)
            if self.source != "bm25" and value != MineSettings.model_fields[name].default:
                raise ValueError(f"mine: {name} is {value!r}, but only the source bm25 reads words")
        chooser = self.chooser()
        missing = frozenset(getattr(chooser, "needs", ())) - CAN_BUILD
        if missing or hasattr(chooser, "synthesize"):
            what = ", ".join(sorted(missing)) or "made-up candidates"
            raise ValueError(f"mine: the sampler {self.sampler} needs {what}: only in training")
        assert self.window(1)
        return self

    def replace(self, **changes: Any) -> "MineSettings":
        """Return a copy with some settings changed, checked again."""
        return MineSettings(**self.plain() | changes)

    def chooser(self) -> "Sampler":
        """Make the sampler."""
        return samplers.read(self.sampler)

    @property
    def places(self) -> tuple[str, ...]:
        """Devices of the search by name."""
        return tuple(name.strip() for name in self.devices.split(",") if name.strip())

    @property
    def filtered(self) -> bool:
        """True if scores decide what may be taken from the window."""
        bounds = (self.margin, self.relative_margin, self.max_score, self.min_score)
        return any(bound is not None for bound in bounds)

    @property
    def widens(self) -> bool:
        """True if the window grows for rows that filters leave with too few."""
        return self.filtered and not self.range_max

    def window(self, most_positives: int) -> Window:
        """Return the places of a ranking that are wanted.

        Args:
            most_positives: Of any anchor.
        """
        times = 10 if self.filtered else 1  # a filter takes some away
        stop = self.range_max or self.range_min + self.negatives * times + most_positives
        return Window(
            depth=stop - self.range_min,
            need=self.negatives,
            start=self.range_min,
            stop=stop,
            margin=self.margin,
            relative_margin=self.relative_margin,
            max_score=self.max_score,
            min_score=self.min_score,
            against=self.against,
        )

    def plain(self) -> dict[str, Any]:
        """Return the settings as plain data, for cards and keys."""
        found = {name: getattr(self, name) for name in MineSettings.model_fields}
        fields = MineSettings.model_fields
        return {k: v for k, v in found.items() if k not in YOUNGER or v != fields[k].default}


class MinedFiles(BaseModel):
    """The form in which a mined set is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    form: str = Field("triplet", description=f"{', '.join(FORMATS)}.")
    scores: bool = Field(False, description="Write similarities, too.")
    file_type: str = Field("jsonl", description="jsonl or parquet.")

    @model_validator(mode="after")
    def _exist(self) -> Self:
        one_of("mine", "format", self.form, FORMATS)
        one_of("mine", "file type", self.file_type, FILE_TYPES)
        if self.form == "beir" and self.file_type != "jsonl":
            raise ValueError("mine: a BEIR folder is jsonl and tsv, not parquet")
        return self

    def check(self, settings: MineSettings) -> None:
        """Raise ``ValueError`` if the form cannot hold rows of the settings."""
        if self.form == "n-tuple" and settings.shortage == "fewer":
            raise ValueError(
                "mine: n-tuple has as many columns in every row, but the shortage policy is fewer; "
                "choose drop, pad_random or error, or the format triplet or labeled-list"
            )

"""What `nsbench mine` can be told, checked before anything is encoded."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from nsbench.benchmarks.mining.bm25 import STEMMERS
from nsbench.benchmarks.mining.corpus import AGAINST, AMONG, SHORTAGE, Window
from nsbench.benchmarks.search.exact import BACKENDS
from nsbench.samplers import TEMPERATURE, Sampler, at_least, in_range, make, one_of, parse_choice

PICKS = ("top", "random")
FORMATS = (
    "triplet",
    "n-tuple",
    "labeled-pair",
    "labeled-list",
    "flagembedding",
    "tevatron",
    "beir",
)
SOURCES = ("model", "bm25")
CAN_BUILD = frozenset({"truth", "own_negative", "guide_similarity"})


@dataclass(frozen=True)
class MineSettings:
    """How negatives are chosen for every row.

    A text is looked at in three steps: its place in the anchor's ranking and its score decide
    whether it is in the window, the sampler chooses out of the window, and of what it chose the
    ``negatives`` best, or drawn ones, are kept.

    Args:
        shortage: What to do with a row that finds fewer than ``negatives``: ``drop`` the row, keep
            the ``fewer`` there are, ``pad_random``, or ``error``. Has to be said.
        negatives: Negatives per row, >= 1.
        sampler: Chooses out of the window: any sampler, ``name[parameter=value]``. ``in_batch``
            takes all. One that is paired with the pool ``corpus`` (``mined``, ``bm25``) sets
            negatives, window and source instead.
        pick: Of what the sampler chose, the ``top`` by score, or ``random`` ones; a sampler's
            weights are the odds of the draw.
        source: Whose ranking: the ``model``'s cosines, or ``bm25``.
        range_min: Places skipped at the top of the ranking, >= 0; known positives are no places.
        range_max: Place behind the last that is looked at; 0 for range_min + negatives + the most
            positives of an anchor, and ten times the negatives where something is filtered.
        margin: Keep scores <= s_pos - margin, >= 0.
        relative_margin: Keep scores <= s_pos - |s_pos| * relative_margin, >= 0.
        max_score: Keep scores <= max_score.
        min_score: Keep scores >= min_score.
        against: Which s_pos, where an anchor has several positives: the row's ``own``, or the
            ``lowest``.
        among: Texts that are mined: ``documents``, all but those that are anchors only; or ``all``.
        query_prompt: Put before every anchor; ``None`` for the model's own, if it has one.
        corpus_prompt: Put before every other text.
        backend: Of the exact search, ``torch``, ``faiss`` or ``fused`` (CUDA); same answer.
        devices: Where the search is done: devices by name, ``cuda:0,cuda:1``, that take the texts
            in turn; empty for the CPU.
        seed: Of padding, draws and samplers, >= 0.
        k1: BM25's saturation of term counts, in [0, 10].
        b: BM25's share of length normalisation, in [0, 1].
        stemmer: ``none`` or ``english``; read by BM25.
    """

    shortage: str
    negatives: int = 3
    sampler: str = "in_batch"
    pick: str = "top"
    source: str = "model"
    range_min: int = 0
    range_max: int = 0
    margin: float | None = None
    relative_margin: float | None = None
    max_score: float | None = None
    min_score: float | None = None
    against: str = "own"
    among: str = "documents"
    query_prompt: str | None = None
    corpus_prompt: str | None = None
    backend: str = "torch"
    devices: str = ""
    seed: int = 0
    k1: float = 0.9
    b: float = 0.4
    stemmer: str = "none"

    temperature: ClassVar[float] = TEMPERATURE

    def __post_init__(self) -> None:
        for name, legal in (
            ("shortage", SHORTAGE),
            ("pick", PICKS),
            ("source", SOURCES),
            ("against", AGAINST),
            ("among", AMONG),
            ("backend", BACKENDS),
            ("stemmer", STEMMERS),
        ):
            one_of("mine", name, getattr(self, name), legal)
        at_least("mine", "negatives", self.negatives, 1)
        at_least("mine", "range_min", self.range_min, 0)
        at_least("mine", "range_max", self.range_max, 0)
        at_least("mine", "seed", self.seed, 0)
        in_range("mine", "k1", self.k1, 0, 10)
        in_range("mine", "b", self.b, 0, 1)
        if self.range_max and self.range_max - self.range_min < self.negatives:
            raise ValueError(
                f"mine: {self.negatives} negatives are wanted, but range_max {self.range_max} less "
                f"range_min {self.range_min} leaves {self.range_max - self.range_min} places"
            )
        if self.source == "bm25" and (
            self.query_prompt is not None or self.corpus_prompt is not None
        ):
            raise ValueError("mine: a prompt is given, but bm25 reads texts without one")
        chooser = self.chooser()
        missing = frozenset(getattr(chooser, "needs", ())) - CAN_BUILD
        made = hasattr(chooser, "synthesize")
        if missing or made:
            what = ", ".join(sorted(missing)) or "made-up candidates"
            raise ValueError(f"mine: the sampler {self.sampler} needs {what}: only in training")
        assert self.window(1)

    def chooser(self) -> Sampler:
        """The sampler."""
        name, params = parse_choice(self.sampler)
        return make(name, **params)

    @property
    def places(self) -> tuple[str, ...]:
        """Devices of the search by name."""
        return tuple(name.strip() for name in self.devices.split(",") if name.strip())

    @property
    def filters(self) -> bool:
        """Whether a score can keep a candidate out."""
        bounds = (self.margin, self.relative_margin, self.max_score, self.min_score)
        return any(b is not None for b in bounds)

    def window(self, most_positives: int) -> Window:
        """The places of a ranking that are looked at.

        Args:
            most_positives: Of any anchor.
        """
        stop = self.range_max
        if not stop:
            stop = self.range_min + self.negatives * (10 if self.filters else 1) + most_positives
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
        """As plain data, for cards and keys."""
        return asdict(self)


def from_sampler(given: dict[str, Any]) -> MineSettings:
    """Settings, those that a corpus sampler brings taken over where they are not given.

    Args:
        given: Fields of `MineSettings`; missing or ``None`` for not given.

    Raises:
        ValueError: If a setting is not legal.
    """
    given = {k: v for k, v in given.items() if v is not None}
    name, params = parse_choice(str(given.get("sampler", "in_batch")))
    pool = getattr(make(name, **params), "pool", "in_batch")
    if isinstance(pool, tuple) and pool[0] == "corpus":
        said = dict(pool[1])
        start, depth = int(said.get("start", 0)), int(said.get("depth", 20))
        brought = {
            "negatives": said.get("negatives", 1),
            "range_min": start,
            "range_max": int(said.get("stop", 0)) or start + depth,
            "pick": "random" if depth > int(said.get("negatives", 1)) else "top",
            "source": "bm25" if said.get("source") == "bm25" else "model",
            "shortage": said.get("shortage"),
            **{k: said[k] for k in ("k1", "b", "stemmer") if k in said},
        }
        given = {k: v for k, v in brought.items() if v is not None} | given
    if "shortage" not in given:
        raise ValueError(
            "mine: say with --shortage what to do with a row that finds too few negatives: "
            f"{', '.join(SHORTAGE)}"
        )
    return MineSettings(**given)

"""A data set of the Hugging Face hub, by name and pinned revision.

Source: Lhoest et al. 2021, Datasets: a community library for NLP.
https://aclanthology.org/2021.emnlp-demo.21
"""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated, ClassVar

from nsbench.benchmarks.data import register
from nsbench.benchmarks.data._columns import VIEWS, Options
from nsbench.benchmarks.data._hub import Source, rows_of
from nsbench.benchmarks.data._reading import BAD_ROWS, Report
from nsbench.benchmarks.data._recognise import check_columns, read, recognise
from nsbench.benchmarks.data._rows import limited, viewed
from nsbench.benchmarks.data._types import DataSet, TrainingData
from nsbench.samplers import Choice, Interval


@register("hub")
class Hub(DataSet):
    """Rows of one split of a hub data set; columns make rows as in `File`.

    The cache of ``HF_HOME`` is used, and with ``HF_HUB_OFFLINE=1`` nothing else. No code of a
    repository is run.

    Args:
        path: Repository, ``owner/name``.
        revision: Commit, 40 hexadecimal digits; branches and tags move, so they are refused.
        config: Configuration, where the repository has several.
        split: Split to read.
        columns: ``{our name: the data set's name}``; if given, only these are read.
        min_score: With ``sentence1, sentence2, score``: a pair is positive from this score on.
            Left out, every sentence is a separate text.
        nli: With ``premise, hypothesis, label``: "triplets" or "pairs", as in `File`.
        nli_labels: What label numbers mean, in their order, where the data set does not say.
        views: "pairs" for rows as they are, "text" for every anchor and every positive as a
            separate row (unsupervised); "graded" for every pair with its score; "label" pairs every
            text with another text of its label, as in `File`.
        limit: Rows to keep, the first of a shuffle, >= 0; 0 keeps all.
        seed: Seed of that shuffle, and of the pairs of ``views = "label"``, >= 0.
        bad_rows: Rows that cannot be used: "error", or "skip", which counts them.
    """

    younger: ClassVar[tuple[str, ...]] = ("bad_rows",)

    path: str
    revision: str
    config: str = ""
    split: str = "train"
    columns: Mapping[str, str] = field(default_factory=dict)
    min_score: float | None = None
    nli: str = "triplets"
    nli_labels: Sequence[str] = ()
    views: Annotated[str, Choice(*VIEWS)] = "pairs"
    limit: Annotated[int, Interval("[0, inf)")] = 0
    seed: Annotated[int, Interval("[0, inf)")] = 0
    bad_rows: Annotated[str, Choice(*BAD_ROWS)] = "error"

    def __post_init__(self) -> None:
        self._source.check("hub")
        check_columns("hub", self.columns)
        self._options.check("hub")

    @property
    def _source(self) -> Source:
        return Source(self.path, self.revision, self.config)

    @property
    def _options(self) -> Options:
        return Options(self.min_score, self.nli, self.nli_labels, views=self.views)

    def check(self) -> None:
        """Fetch the split, or find it in the cache, and recognise its columns."""
        report = Report(self.bad_rows)
        rows, source = rows_of(self._source, self.split), str(self._source)
        found, _ = recognise(rows, self.columns, source, report)
        found.check(self._options, source)

    def __call__(self) -> TrainingData:
        """Read the split."""
        report = Report(self.bad_rows)
        rows = rows_of(self._source, self.split, report)
        found = read(rows, self.columns, self._options, str(self._source), report)
        data = found.data(self.path, self.revision)
        data = viewed(data, self.views, self.seed)
        return limited(data, self.limit, self.seed)

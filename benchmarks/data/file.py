"""A local file, or a BEIR folder, as training data.

Source: the layouts of sentence-transformers, SimCSE, FlagEmbedding, Tevatron and BEIR.
"""

from collections.abc import Mapping, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

from nsbench.benchmarks.data import register
from nsbench.benchmarks.data._beir import files_of, read_folder
from nsbench.benchmarks.data._columns import OF_SOME, VIEWS, Options
from nsbench.benchmarks.data._reading import Reading, Report
from nsbench.benchmarks.data._recognise import check_columns, read, recognise
from nsbench.benchmarks.data._records import existing, format_of, records, sha256
from nsbench.benchmarks.data._rows import limited, viewed
from nsbench.benchmarks.data._types import DataSet, TrainingData
from nsbench.benchmarks.data._values import keyed, titled
from nsbench.samplers import Choice, Interval


@register("file")
class File(DataSet):
    """Rows of a jsonl, json, csv, tsv, parquet or txt file (all but parquet also .gz).

    The columns decide how a row is read: ``anchor, positive[, negative, negative_1, ...,
    negatives, label, labels or score]``, where a pair with label 0 is a negative of its anchor;
    ``sent0, sent1[, hard_neg]`` (SimCSE); ``query, pos[, neg]`` (FlagEmbedding); ``query,
    positive_passages[, negative_passages]`` and ``query_text, positive_document_ids[,
    negative_document_ids]`` (Tevatron); ``premise, hypothesis, label``; ``sentence1, sentence2,
    gold_label`` (SNLI); ``sentence1, sentence2[, score or label]``; ``text[, label]``, where a
    text is its own positive and texts with one label share a meaning. A folder is read as BEIR's,
    with corpus.jsonl, queries.jsonl and qrels/. A query with several positives makes one row for
    each. Equal texts are held once. A column that may change what a row means and is not read is
    refused; others are listed in the report of the data.

    Args:
        path: File or folder; "~" is the home folder.
        columns: ``{our name: the file's name}``, such as ``{anchor = "q"}``. If given, only the
            named columns are read.
        min_score: With ``sentence1, sentence2, score``: a pair counts as positive from this score
            on. Left out, scores are ignored and every sentence is a separate text.
            With ``anchor, positive, score`` it has to be given.
        nli: With ``premise, hypothesis, label``: "triplets" makes a row of every entailed pair,
            with what contradicts its premise as negatives; "pairs" keeps every pair that has one
            of the three classes, with it, for objectives that classify.
        nli_labels: Meaning of label numbers, in their order, such as ``["entailment", "neutral",
            "contradiction"]``; not needed where labels are words.
        corpus: File with ``docid, document_text`` (or ``text``), for rows that name documents.
        split: Judgements of a BEIR folder: the name of a file in qrels/.
        header: Whether a csv or tsv file names its columns; without, they are "1", "2", ...
        quotes: Meaning of a double quote in csv and tsv: "double" (protects delimiters and line
            ends), "none" (a plain character) or "auto" (double in csv, none in tsv; a tsv file
            that was clearly written with protecting quotes is refused).
        views: "pairs" for rows as they are, "text" for every anchor and every positive as a
            separate row, without negatives and classes (unsupervised); "graded" for every pair of
            ``sentence1, sentence2, score`` with its score, for objectives that read grades; "label"
            for ``text, label``: every text with another text of its label as its positive, drawn
            by ``seed`` so that each is a positive once. Texts without a label, and the only text of
            a label, are left out and counted.
        limit: Rows to keep, the first of a shuffle, >= 0; 0 keeps all.
        seed: Seed of that shuffle, and of the pairs of ``views = "label"``, >= 0.
        delimiter: Of csv, tsv and txt: one character, "tab", or "auto" (a comma in csv, a tab in
            tsv, none in txt, where a line is a text).
        encoding: Of the text, such as "utf-8", "utf-16", "cp1252".
        ragged: Table rows with fewer or more cells than the first: "error", or "allow".
        bad_rows: Rows that cannot be used: "error", or "skip", which counts them.
    """

    younger: ClassVar[tuple[str, ...]] = ("delimiter", "encoding", "ragged", "bad_rows")

    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    min_score: float | None = None
    nli: str = "triplets"
    nli_labels: Sequence[str] = ()
    corpus: str = ""
    split: str = "train"
    header: bool = True
    quotes: str = "auto"
    views: Annotated[str, Choice(*VIEWS)] = "pairs"
    limit: Annotated[int, Interval("[0, inf)")] = 0
    seed: Annotated[int, Interval("[0, inf)")] = 0
    delimiter: str = "auto"
    encoding: str = "utf-8"
    ragged: str = "error"
    bad_rows: str = "error"

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise ValueError(f"file: path must name a file or folder, got {self.path!r}")
        check_columns("file", self.columns)
        Options(self.min_score, self.nli, self.nli_labels, views=self.views).check("file")
        self._reading.check("file")

    @property
    def _file(self) -> Path:
        return Path(self.path).expanduser()

    @property
    def _reading(self) -> Reading:
        return Reading(**{f.name: getattr(self, f.name) for f in fields(Reading)})

    def check(self) -> None:
        """Check that the files exist and the first row has a layout."""
        path = existing(self._file)
        if path.is_dir():
            self._check_folder(path)
            return
        format_of(path)
        if self.split != "train":
            raise ValueError(f"{path} is a file: split = {self.split!r} is of BEIR folders only")
        if self.corpus:
            format_of(existing(Path(self.corpus).expanduser()))
        report = Report(self.bad_rows)
        found, _ = recognise(records(path, self._reading, report), self.columns, str(path), report)
        passages: dict[str, str] | None = {} if self.corpus else None
        found.check(
            Options(self.min_score, self.nli, self.nli_labels, passages, self.views), str(path)
        )

    def _check_folder(self, path: Path) -> None:
        files_of(path, self.split)
        if self.views in OF_SOME:
            raise ValueError(
                f"{path} is a BEIR folder, whose rows have no scores or labels: views cannot be "
                f"{self.views!r}"
            )
        for name in ("columns", "min_score", "nli_labels", "corpus", *self._reading.of_tables()):
            if value := getattr(self, name):
                raise ValueError(
                    f"{path} is a BEIR folder, whose files are laid out in one way: {name} cannot "
                    f"be set, got {value!r}"
                )

    def __call__(self) -> TrainingData:
        """Read the file."""
        path, report = existing(self._file), Report(self.bad_rows)
        sources: tuple[Path, ...]
        if path.is_dir():
            rows = read_folder(path, self.split, self._reading, report)
            sources = files_of(path, self.split)
        else:
            found = records(path, self._reading, report)
            rows = read(found, self.columns, self._options(report), str(path), report)
            sources = (path, *([Path(self.corpus).expanduser()] if self.corpus else []))
        data = rows.data(path.name, sha256(sources))
        data = viewed(data, self.views, self.seed)
        return limited(data, self.limit, self.seed, keep_texts=path.is_dir())

    def _options(self, report: Report) -> Options:
        passages = None
        if self.corpus:
            path = Path(self.corpus).expanduser()
            passages = keyed(
                records(path, self._reading.of(path), report), "docid", _document, report
            )
        return Options(self.min_score, self.nli, self.nli_labels, passages, self.views)


def _document(where: str, row: Mapping[str, Any]) -> str:
    return titled(where, row, "document_text" if "document_text" in row else "text")

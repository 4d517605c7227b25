"""A local file, or a BEIR folder, as training data.

Source: the layouts of sentence-transformers, SimCSE, FlagEmbedding, Tevatron and BEIR.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nsbench.benchmarks.data import register
from nsbench.benchmarks.data._beir import files_of, read_folder
from nsbench.benchmarks.data._layouts import (
    VIEWS,
    Options,
    check_columns,
    limited,
    read,
    recognise,
    titled,
    unpaired,
)
from nsbench.benchmarks.data._records import QUOTES, Record, existing, format_of, records, sha256
from nsbench.benchmarks.data._types import DataSet, TrainingData
from nsbench.samplers import at_least, one_of


@register("file")
@dataclass(frozen=True)
class File(DataSet):
    """Rows of a jsonl, json, csv, tsv, parquet or txt file (all but parquet also .gz).

    The columns decide how a row is read: ``anchor, positive[, negative, negative_1, ...]``;
    ``sent0, sent1[, hard_neg]`` (SimCSE); ``query, pos[, neg]`` (FlagEmbedding); ``query,
    positive_passages[, negative_passages]`` and ``query_text, positive_document_ids[,
    negative_document_ids]`` (Tevatron); ``premise, hypothesis, label``; ``sentence1, sentence2[,
    score or label]``; ``text[, label]``, where a text is its own positive and texts with one
    label share a meaning. A folder is read as BEIR's, with corpus.jsonl, queries.jsonl and
    qrels/. A query with several positives makes one row for each. Equal texts are held once.

    Args:
        path: File or folder; "~" is the home folder.
        columns: ``{our name: the file's name}``, such as ``{anchor = "q"}``. If given, only the
            named columns are read.
        min_score: With ``sentence1, sentence2, score``: a pair counts as positive from this score
            on. Left out, scores are ignored and every sentence is a separate text.
        nli: With ``premise, hypothesis, label``: "triplets" makes a row of every entailed pair,
            with what contradicts its premise as negatives; "pairs" keeps every pair that has one
            of the three classes, with it, for objectives that classify.
        nli_labels: Meaning of label numbers, in their order, such as ``["entailment", "neutral",
            "contradiction"]``; not needed where labels are words.
        corpus: File with ``docid, document_text`` (or ``text``), for rows that name documents.
        split: Judgements of a BEIR folder: the name of a file in qrels/.
        header: Whether a csv or tsv file names its columns; without, they are "1", "2", ...
        quotes: Meaning of a double quote in csv and tsv: "double" (protects delimiters and line
            ends), "none" (a plain character) or "auto" (double in csv, none in tsv).
        views: "pairs" for rows as they are, "text" for every anchor and every positive as a row of
            its own, without negatives and classes (unsupervised).
        limit: Rows to keep, the first of a shuffle, >= 0; 0 keeps all.
        seed: Seed of that shuffle, >= 0.
    """

    path: str
    columns: Mapping[str, str] = field(default_factory=dict)
    min_score: float | None = None
    nli: str = "triplets"
    nli_labels: Sequence[str] = ()
    corpus: str = ""
    split: str = "train"
    header: bool = True
    quotes: str = "auto"
    views: str = "pairs"
    limit: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise ValueError(f"file: path must name a file or folder, got {self.path!r}")
        check_columns("file", self.columns)
        Options(self.min_score, self.nli, self.nli_labels).check("file")
        one_of("file", "quotes", self.quotes, QUOTES)
        one_of("file", "views", self.views, VIEWS)
        at_least("file", "limit", self.limit, 0)
        at_least("file", "seed", self.seed, 0)

    @property
    def _file(self) -> Path:
        return Path(self.path).expanduser()

    def check(self) -> None:
        """Check that the files exist and the first row has a layout."""
        path = existing(self._file)
        if path.is_dir():
            files_of(path, self.split)
            return
        format_of(path)
        recognise(self._records(path), self.columns, str(path))
        if self.corpus:
            format_of(existing(Path(self.corpus).expanduser()))

    def __call__(self) -> TrainingData:
        """Read the file."""
        path = existing(self._file)
        sources: tuple[Path, ...]
        if path.is_dir():
            rows, sources = read_folder(path, self.split), files_of(path, self.split)
        else:
            rows = read(self._records(path), self.columns, self._options(), str(path))
            sources = (path, *([Path(self.corpus).expanduser()] if self.corpus else []))
        data = rows.data(path.name, sha256(sources))
        if self.views == "text":
            data = unpaired(data)
        return limited(data, self.limit, self.seed, keep_texts=path.is_dir())

    def _records(self, path: Path) -> Iterator[Record]:
        return records(path, header=self.header, quotes=self.quotes)

    def _options(self) -> Options:
        passages = None
        if self.corpus:
            passages = dict(map(_document, records(Path(self.corpus).expanduser())))
        return Options(self.min_score, self.nli, self.nli_labels, passages)


def _document(record: Record) -> tuple[str, str]:
    where, row = record
    if "docid" not in row:
        raise ValueError(f"{where}: has no 'docid'")
    return str(row["docid"]), titled(
        where, row, "document_text" if "document_text" in row else "text"
    )

"""Retrieval sets of folders and of the hub: corpus, queries, and judgements of each split.

Source: the layout of Thakur et al. 2021, BEIR, https://arxiv.org/abs/2104.08663, and its form on
the hub, which Muennighoff et al. 2023, MTEB, read: configurations ``corpus``, ``queries`` and one
with the judgements, split by split. https://arxiv.org/abs/2210.07316
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from nsbench.benchmarks.data._beir import files_of, scores_of
from nsbench.benchmarks.data._hub import Source, rows_of, splits_of
from nsbench.benchmarks.data._reading import Reading, Report
from nsbench.benchmarks.data._records import existing, records, sha256
from nsbench.benchmarks.data._values import Record, keyed, titled
from nsbench.samplers import suggest

Scores = Mapping[str, Mapping[str, float]]
"""Of every judged query, by document, how relevant it is."""


@dataclass(frozen=True)
class FolderSource:
    """A folder as BEIR lays it out.

    Attributes:
        folder: With ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/SPLIT.tsv``, each plain or
            gzipped.
        reading: Encoding and policy for bad rows.
    """

    folder: Path
    reading: Reading

    def splits(self) -> Sequence[str]:
        """Names of the files in ``qrels``."""
        found = (existing(self.folder) / "qrels").glob("*.tsv*")
        return sorted({path.name.split(".")[0] for path in found})

    @property
    def _any(self) -> str:
        splits = self.splits()
        if not splits:
            raise FileNotFoundError(f"{self.folder} has no qrels/SPLIT.tsv")
        return splits[0]

    def corpus(self, report: Report) -> Iterator[Record]:
        return records(files_of(self.folder, self._any)[0], self.reading, report)

    def queries(self, report: Report) -> Iterator[Record]:
        return records(files_of(self.folder, self._any)[1], self.reading, report)

    def judgements(self, split: str, report: Report) -> Iterator[Record]:
        """Yield the judged pairs of a split."""
        path = files_of(self.folder, split)[2]
        return records(path, replace(self.reading, quotes="none"), report)

    def revision(self, splits: Sequence[str]) -> str:
        """``sha256:...`` of the files."""
        paths = [path for split in splits for path in files_of(self.folder, split)]
        return sha256(dict.fromkeys(paths))


@dataclass(frozen=True)
class HubSource:
    """A repository of the hub at a commit.

    Attributes:
        path: ``owner/name``.
        commit: 40 hexadecimal digits.
        config: Configuration of the judgements, such as ``default`` or ``qrels``.
    """

    path: str
    commit: str
    config: str

    def splits(self) -> Sequence[str]:
        return sorted(splits_of(Source(self.path, self.commit, self.config)))

    def corpus(self, report: Report) -> Iterator[Record]:
        return self._whole("corpus", report)

    def queries(self, report: Report) -> Iterator[Record]:
        return self._whole("queries", report)

    def _whole(self, config: str, report: Report) -> Iterator[Record]:
        """Yield the rows of a configuration: of the split of its name, or of its only one."""
        source = Source(self.path, self.commit, config)
        names = list(splits_of(source))
        if config not in names and len(names) > 1:
            raise ValueError(f"{source} has the splits {', '.join(names)}; one is needed")
        split = config if config in names or not names else names[0]
        return rows_of(source, split, report)

    def judgements(self, split: str, report: Report) -> Iterator[Record]:
        return rows_of(Source(self.path, self.commit, self.config), split, report)

    def revision(self, splits: Sequence[str]) -> str:
        return self.commit


RetrievalSource = FolderSource | HubSource
"""The files or the repository that a retrieval set is read from."""


class RetrievalSet:
    """Corpus, queries and judgements of a source, each read once."""

    def __init__(self, source: RetrievalSource, report: Report) -> None:
        self.source, self.report = source, report
        self._scores: dict[str, Scores] = {}

    @cached_property
    def corpus(self) -> Mapping[str, str]:
        """Text of every document, by id, its title in front."""
        return self._keyed(self.source.corpus(self.report))

    @cached_property
    def queries(self) -> Mapping[str, str]:
        """Text of every query, by id."""
        return self._keyed(self.source.queries(self.report))

    def _keyed(self, rows: Iterator[Record]) -> Mapping[str, str]:
        # Some repositories call the key ``id``.
        named = ((w, {"_id": row["id"], **row} if "id" in row else row) for w, row in rows)
        found: Mapping[str, str] = keyed(named, "_id", titled, self.report)
        return found

    def scores(self, split: str) -> Scores:
        """Scores of a split's judged pairs.

        Raises:
            ValueError: If there is no such split.
        """
        if split not in self._scores:
            known = self.source.splits()
            if split not in known:
                raise ValueError(f"there are no judgements {split!r}. {suggest(split, known)}")
            rows = self.source.judgements(split, self.report)
            self._scores[split] = scores_of(rows, self.queries, self.corpus, self.report)
        return self._scores[split]

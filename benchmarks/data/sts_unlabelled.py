"""The sentences of the seven STS sets without their scores: an in-domain corpus.

Source: Yan et al. 2021, ConSERT, section 4.1. https://aclanthology.org/2021.acl-long.393. ConSERT
reads 89,192 sentences, unscored pairs among them; the hub copies that mteb evaluates hold scored
pairs only, so there are fewer here.
"""

from dataclasses import replace
from typing import Annotated, ClassVar

import numpy as np

from nsbench.benchmarks.data import register
from nsbench.benchmarks.data._columns import Options
from nsbench.benchmarks.data._hub import Source, open_split, rows_of
from nsbench.benchmarks.data._reading import Report
from nsbench.benchmarks.data._recognise import read
from nsbench.benchmarks.data._rows import chosen, limited, unpaired
from nsbench.benchmarks.data._types import DataSet, TrainingData
from nsbench.samplers import Choice, Interval

# Repository, the commit that mteb's task metadata names, and the splits that are read. They are
# named one by one so that the corpus does not depend on what else a cache or the hub holds.
SOURCES = (
    (Source("mteb/sts12-sts", "a0d554a64d88156834ff5ae9920b964011b16384"), ("test",)),
    (Source("mteb/sts13-sts", "7e90230a92c190f1bf69ae9002b8cea547a64cca"), ("test",)),
    (Source("mteb/sts14-sts", "6031580fec1f6af667f0bd2da0a551cf4f0b2375"), ("test",)),
    (Source("mteb/sts15-sts", "ae752c7c21bf194d8b67fd573edf7ae58183cbe3"), ("test",)),
    (Source("mteb/sts16-sts", "4d8694f8f0e0100860b497b999b3dbed754a0513"), ("test",)),
    (
        Source("mteb/stsbenchmark-sts", "b0fddb56ed78048fa8b90373c8a3cfc37b684831"),
        ("train", "validation", "test"),
    ),
    (Source("mteb/sickr-sts", "20a6d6f312dd54037fe07a32d58e5e168867909d"), ("test",)),
)
STS7 = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICK-R")
"""mteb's names of `SOURCES`, the group of that name."""
DUPLICATES = ("keep", "drop")


@register("sts_unlabelled")
class StsUnlabelled(DataSet):
    """Every sentence of the seven STS sets as its own positive; no score is read.

    62,198 rows of 38,585 different sentences (after `normalise`).

    The test sentences are among them, as in ConSERT: what is trained on this is adapted to its
    test domain, and its scores say so.

    Args:
        duplicates: "keep" makes a row of every occurrence of a sentence, as ConSERT does; "drop"
            one of every sentence, equal after `normalise`.
        limit: Rows to keep, the first of a shuffle, >= 0; 0 keeps all.
        seed: Seed of that shuffle, >= 0.
    """

    transductive: ClassVar[tuple[str, ...]] = STS7

    duplicates: Annotated[str, Choice(*DUPLICATES)] = "keep"
    limit: Annotated[int, Interval("[0, inf)")] = 0
    seed: Annotated[int, Interval("[0, inf)")] = 0

    def check(self) -> None:
        """Fetch the seven sets, or find them in the cache."""
        for source, splits in SOURCES:
            for split in splits:
                open_split(source, split)

    def __call__(self) -> TrainingData:
        """Read the seven sets."""
        columns = {"sentence1": "sentence1", "sentence2": "sentence2"}
        report = Report()
        records = (
            record
            for source, splits in SOURCES
            for split in splits
            for record in rows_of(source, split, report)
        )
        pairs = read(records, columns, Options(), "sts_unlabelled", report)
        data = unpaired(pairs.data("sts_unlabelled", ""))
        if self.duplicates == "drop":
            first = np.unique(data.group[data.anchor], return_index=True)[1]
            data = chosen(data, np.sort(first))
        data = limited(data, self.limit, self.seed)
        return replace(data, revision=f"sha256:{data.digest}")

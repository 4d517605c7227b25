"""One split of a hub data set at a pinned revision, from the cache or the hub.

Offline, `datasets` takes the newest prepared copy of a repository, of any revision
(huggingface/datasets#7928); here the copy's revision is compared with the one asked for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nsbench.benchmarks import hub
from nsbench.benchmarks.data._reading import Report
from nsbench.benchmarks.data._values import Record
from nsbench.samplers import suggest

opened: dict[tuple[str, str], Any] = {}
"""The splits this process has opened, as `datasets.Dataset`; `prefetch` lists their files."""

AT_ONCE = 1000
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Source:
    """A hub data set: repository, commit, and configuration or the empty string."""

    path: str
    revision: str
    config: str = ""

    def __str__(self) -> str:
        config = f", configuration {self.config}" if self.config else ""
        return f"hub data set {self.path} at revision {self.revision}{config}"

    def check(self, owner: str) -> None:
        """Raise ``ValueError`` unless the repository is named and the revision is a commit."""
        if not isinstance(self.path, str) or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.path):
            raise ValueError(f"{owner}: path must be owner/name as on the hub, got {self.path!r}")
        if not isinstance(self.revision, str) or not _COMMIT.fullmatch(self.revision):
            raise ValueError(
                f"{owner}: revision must be a commit of {self.path}, 40 hexadecimal digits, "
                f"got {self.revision!r}: branches and tags move"
            )


def open_split(source: Source, split: str) -> Any:
    """The split as a `datasets.Dataset`.

    Raises:
        FileNotFoundError: If it is not in the cache and the hub is off or cannot be reached.
        ValueError: If the configuration or split does not exist.
    """
    import datasets

    with hub.errors_only("datasets"):
        builder = _builder(source)
    known = builder.info.splits
    if known and split not in known:
        raise ValueError(f"{source} has no split {split!r}. {suggest(split, known)}")
    try:
        # As `datasets.load_dataset` does, which makes a second builder.
        with hub.errors_only("datasets"):
            builder.download_and_prepare()
            table = builder.as_dataset(split=split)
    except ValueError as error:
        raise ValueError(f"{source}: {_first_line(error)}") from None
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise FileNotFoundError(_unreachable(source, error)) from None
    opened[str(source), split] = table
    return table


def splits_of(source: Source) -> tuple[str, ...]:
    """Names of the splits of a configuration.

    Raises:
        FileNotFoundError: If it is not in the cache and the hub is off or cannot be reached.
        ValueError: If the configuration does not exist.
    """
    import datasets

    with hub.errors_only("datasets"):
        builder = _builder(source)
        if builder.info.splits:
            return tuple(builder.info.splits)
        return tuple(
            datasets.get_dataset_split_names(
                source.path, source.config or None, revision=source.revision
            )
        )


def _builder(source: Source) -> Any:
    import datasets
    from datasets.packaged_modules.cache.cache import Cache

    try:
        builder = datasets.load_dataset_builder(
            source.path, source.config or None, revision=source.revision
        )
    except ValueError as error:
        if datasets.config.HF_HUB_OFFLINE and "find cache" in str(error):
            raise FileNotFoundError(_unreachable(source, error)) from None
        several = "multiple" in str(error) or "Config name is missing" in str(error)
        hint = "; set config to one of them" if several else ""
        raise ValueError(f"{source}: {' '.join(str(error).split())}{hint}") from None
    except (OSError, datasets.exceptions.DatasetsError) as error:
        raise FileNotFoundError(_unreachable(source, error)) from None
    if isinstance(builder, Cache) and builder.hash != source.revision:
        raise FileNotFoundError(
            f"{source} is not in the cache, which holds revision {builder.hash} instead: "
            "run nsbench prefetch where there is a network"
        )
    return builder


def _unreachable(source: Source, error: Exception) -> str:
    import datasets

    cache = datasets.config.HF_DATASETS_CACHE
    if datasets.config.HF_HUB_OFFLINE:
        return f"{source} is not in the cache {cache} and {hub.why_off()}: {hub.remedy()}"
    return f"{source} is not in the cache {cache} and cannot be fetched: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]


def rows_of(source: Source, split: str, report: Report | None = None) -> Iterator[Record]:
    """The rows of a split as records, counted in a report; numbers of classes become names."""
    import datasets

    table = open_split(source, split)
    named = {
        column: feature.names
        for column, feature in table.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    for number, row in enumerate(_rows(table), 1):
        for column, names in named.items():
            value = row[column]
            row[column] = names[value] if value is not None and value >= 0 else None
        if report is not None:
            report.count(f"{source.path}, {split}")
        yield f"{source.path}, {split} row {number}", row


def _rows(table: Any) -> Iterator[dict[str, Any]]:
    """The rows one by one, read some hundreds at a time, which is ten times as fast."""
    for part in table.iter(batch_size=AT_ONCE):
        for values in zip(*part.values(), strict=True):
            yield dict(zip(part, values, strict=True))

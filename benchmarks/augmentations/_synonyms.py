"""Synonyms by word, from the planted lexicon, a file, or a copy of WordNet; never a download."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor

from nsbench.benchmarks.augmentations._words import (
    attach,
    continuations,
    device_of,
    whole_words,
)
from nsbench.benchmarks.data._lexicon import lexicon
from nsbench.samplers import Interval
from nsbench.samplers._cache import cached

PLANTED = "planted"
_WORDNET = ("data.noun", "data.verb", "data.adj", "data.adv")


def check_source(owner: str, parameter: str, source: str) -> None:
    """Raise ``ValueError`` unless synonyms can be read from ``source``."""
    if source == PLANTED:
        return
    path = Path(source).expanduser() if isinstance(source, str) else Path()
    good = path.is_file() or any((path / name).is_file() for name in _WORDNET)
    if not isinstance(source, str) or not good:
        raise ValueError(
            f"{owner}: {parameter} is {source!r}; it must be {PLANTED!r} (the lexicon of the "
            "planted language), a file with a word and its synonyms on each line, or WordNet's "
            "dict folder"
        )


@cached(4)
def synonyms(source: str) -> dict[str, tuple[str, ...]]:
    """``{word: its synonyms}``, single words, lower-cased, sorted."""
    groups: Iterable[Iterable[str]]
    if source == PLANTED:
        groups = _planted()
    elif (path := Path(source).expanduser()).is_file():
        text = path.read_text("utf-8").lower()
        lines = (line.replace(",", " ").split() for line in text.splitlines())
        table: dict[str, set[str]] = {}
        for first, *others in filter(None, lines):
            table.setdefault(first, set()).update(o for o in others if o != first)
        return {word: tuple(sorted(found)) for word, found in sorted(table.items()) if found}
    else:
        groups = _wordnet(path)
    return _from_groups(groups)


def _from_groups(groups: Iterable[Iterable[str]]) -> dict[str, tuple[str, ...]]:
    table: dict[str, set[str]] = {}
    for group in groups:
        single = {w.lower() for w in group if w.isalpha()}
        for word in single:
            table.setdefault(word, set()).update(single - {word})
    return {word: tuple(sorted(found)) for word, found in sorted(table.items()) if found}


def _wordnet(folder: Path) -> Iterable[Iterable[str]]:
    """The synsets of WordNet's ``data.*`` files."""
    for name in _WORDNET:
        if not (folder / name).is_file():
            continue
        for line in (folder / name).read_text("utf-8").splitlines():
            if not line.startswith(" "):
                parts = line.split()
                yield parts[4 : 4 + 2 * int(parts[3], 16) : 2]


def _planted() -> list[set[str]]:
    """Forms of one concept and one inflection; words of several concepts are left out."""
    book = lexicon()
    groups: set[frozenset[str]] = set()
    for topic in book.topics:
        for nouns in chain(topic.agents, topic.objects):
            groups.add(frozenset(n.singular for n in nouns))
            groups.add(frozenset(n.plural for n in nouns))
        for verbs in topic.actions:
            for form in ("base", "past", "participle", "gerund"):
                groups.add(frozenset(getattr(v, form) for v in verbs))
    for manners in book.manners:
        groups.add(frozenset(m.adverb for m in manners))
        groups.add(frozenset(m.adjective for m in manners))
    owners = Counter(chain.from_iterable(groups))
    return [{word for word in group if owners[word] == 1} for group in groups]


def synonym_table(encoder: Any, source: str) -> tuple[Tensor, Tensor]:
    """Find the synonyms that are single tokens of an encoder's vocabulary.

    Returns:
        ``(V, K)`` token ids of each token's synonyms, 0 beyond their number, and ``(V,)`` their
        numbers, on the device of the encoder.
    """
    known = whole_words(encoder)
    found = {
        known[word]: [known[o] for o in others if o in known]
        for word, others in synonyms(source).items()
        if word in known
    }
    width = max([1, *map(len, found.values())])
    options = torch.zeros(len(encoder.tokenizer), width, dtype=torch.long)
    counts = torch.zeros(len(encoder.tokenizer), dtype=torch.long)
    for token, others in found.items():
        options[token, : len(others)] = torch.tensor(others, dtype=torch.long)
        counts[token] = len(others)
    device = device_of(encoder)
    return options.to(device), counts.to(device)


@dataclass(frozen=True)
class WithSynonyms:
    """Base of augmentations that draw synonyms."""

    rate: Annotated[float, Interval("[0, 1]")] = 0.1
    source: Annotated[str, check_source] = PLANTED
    goes_on: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    options: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    counts: Tensor | None = field(default=None, init=False, repr=False, compare=False)
    stochastic: ClassVar[bool] = True
    test_configs: ClassVar = ({"rate": 0.5},)

    def fingerprint(self) -> str:
        """SHA-256 of the file or files that synonyms are read from; empty for the lexicon."""
        if self.source == PLANTED:
            return ""
        path = Path(self.source).expanduser()
        digest = hashlib.sha256()
        for file in [path] if path.is_file() else [path / name for name in _WORDNET]:
            digest.update(file.read_bytes() if file.is_file() else b"-")
        return digest.hexdigest()

    def bind(self, encoder: Any) -> Self:
        """The augmentation with the synonyms that an encoder's vocabulary knows."""
        options, counts = synonym_table(encoder, self.source)
        return attach(self, goes_on=continuations(encoder), options=options, counts=counts)

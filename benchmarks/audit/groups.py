"""Connected groups of rows, and parts of data that share no text.

Rows are connected if they share a text, or hold texts that are nearly equal. A group is in one
part as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nsbench.benchmarks.data import TrainingData, normalise
from nsbench.benchmarks.mining.words import words_of

Ints = NDArray[np.int64]
PARTS = ("train", "dev", "test")
SHARES = (0.6, 0.15, 0.25)
"""Share of the rows in each part: the locked part decides, and is the larger of the two."""
NEAR = 0.8
"""Share of common words from which two texts are nearly equal."""
_RARE = 40  # texts that share a word, above which the word names no candidates
_PREFIX = 8


def near_pairs(texts: Sequence[str]) -> Ints:
    """``(n, 2)`` pairs of different texts that share `NEAR` of their distinct words.

    Candidates are texts that share one of their rarest words; texts of fewer than four words are
    left out.
    """
    words = [frozenset(words_of(normalise(text))) for text in texts]
    count: dict[str, int] = {}
    for own in words:
        for word in own:
            count[word] = count.get(word, 0) + 1
    by_word: dict[str, list[int]] = {}
    found: set[tuple[int, int]] = set()
    for place, own in enumerate(words):
        if len(own) < 4:
            continue
        rare = sorted(own, key=lambda w: (count[w], w))[: max(2, min(_PREFIX, len(own) // 4 + 1))]
        for word in rare:
            if count[word] > _RARE * 5:
                continue
            for other in by_word.setdefault(word, [])[-_RARE:]:
                both = words[other]
                if len(own & both) >= NEAR * len(own | both):
                    found.add((other, place))
            by_word[word].append(place)
    return np.array(sorted(found), np.int64).reshape(-1, 2)


def groups_of(data: TrainingData, near: Ints) -> Ints:
    """``(R,)`` connected group of every row, by texts and ``(n, 2)`` pairs of nearly equal ones."""
    group = data.group
    size = int(group.max()) + 1
    # Known positives connect rows too, also where a row draws one of several.
    left = np.concatenate([group[data.known[:, 0]], group[near[:, 0]]])
    right = np.concatenate([group[data.known[:, 1]], group[near[:, 1]]])
    links = sparse.coo_matrix((np.ones(len(left)), (left, right)), shape=(size, size))
    _, component = sparse.csgraph.connected_components(links, directed=False)
    _, number = np.unique(component[group[data.anchor]], return_inverse=True)
    return np.asarray(number, np.int64)


@dataclass(frozen=True)
class Split:
    """Parts of rows without a text in two of them.

    Attributes:
        part: ``(R,)`` index into `PARTS` of every row.
        groups: Number of connected groups in each part.
        largest: Rows of the largest group.
    """

    part: Ints
    groups: tuple[int, ...]
    largest: int

    def rows(self, name: str) -> Ints:
        """Rows of a part, ascending."""
        return np.flatnonzero(self.part == PARTS.index(name))


def split_rows(group: Ints, *, seed: int = 0) -> Split:
    """Put every group into a part, so that the parts have the `SHARES` of the rows.

    The largest groups go first, to training where one is larger than what a part may hold.
    """
    count = np.bincount(group)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(count))
    order = order[np.argsort(-count[order], kind="stable")]
    wanted = np.array(SHARES) * len(group)
    held = np.zeros(len(SHARES))
    home = np.zeros(len(count), np.int64)
    for one in order:
        home[one] = int(np.argmax(np.where(wanted > 0, (wanted - held) / wanted, -np.inf)))
        if count[one] > wanted[1:].min():
            home[one] = 0
        held[home[one]] += count[one]
    part = home[group]
    groups = tuple(int((home == p).sum()) for p in range(len(SHARES)))
    return Split(part, groups, int(count.max()))

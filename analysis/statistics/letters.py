"""Letters of methods: two share one exactly if they are not significantly different.

Source: Piepho 2004, An algorithm for a letter-based representation of all-pairwise comparisons.
https://doi.org/10.1198/1061860043515
"""

import numpy as np
from numpy.typing import NDArray


def cliques(alike: NDArray[np.bool_]) -> list[list[int]]:
    """Return sets of methods without a significant difference that hold every such pair.

    Args:
        alike: Pairs without a significant difference, symmetric, shape (M, M); methods best
            first.

    Returns:
        Members of each set, ascending; the sets in order of their best member, then the worst.
    """
    size = len(alike)
    alike = alike | np.eye(size, dtype=bool)
    covered = np.zeros((size, size), dtype=bool)
    found: set[tuple[int, ...]] = set()
    for first in range(size):
        while True:
            wanted = np.flatnonzero(alike[first, first:] & ~covered[first, first:])
            if not len(wanted):
                break
            members = np.array(sorted({first, first + int(wanted[0])}))
            able = alike[members].all(axis=0)
            able[members] = False
            for place in (*range(int(members[-1]) + 1, size), *range(int(members[-1]))):
                if able[place]:
                    members = np.append(members, place)
                    able &= alike[place]
                    able[place] = False
            covered[np.ix_(members, members)] = True
            found.add(tuple(sorted(int(m) for m in members)))
    return [list(s) for s in sorted(found, key=lambda s: (s[0], s[-1], s))]


def letter(index: int) -> str:
    """``a`` to ``z``, then ``a1`` and so on."""
    turn, place = divmod(index, 26)
    return chr(ord("a") + place) + (str(turn) if turn else "")

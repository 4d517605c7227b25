"""Help with a name that is not known."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``Did you mean 'x'? Known: x, y``, without the question if no name is near."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return (f"Did you mean {close[0]!r}? " if close else "") + f"Known: {', '.join(names)}"

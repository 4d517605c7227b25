"""Equal pieces of many records kept once, so that 100,000 of them can be read and held in memory.

Of 100,000 records nearly all pieces (versions, settings, leakage) are equal. As separate objects
they take gigabytes, and to parse them is most of the time.
"""

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_START, _END = b'{\n "', b"\n}\n"
_MEMBER, _INNER = re.compile(rb',\n "'), re.compile(rb',\n  "')
_OWN = (
    b'cost"',
    b'seconds"',
    b'key"',
    b'weights"',
    b'started"',
    b'finished"',
    b'files"',
    b'digest"',
)
"""Members that hardly two records have alike."""
_CELL = b'cell": {\n  "'


def parse(raw: bytes) -> Any:
    """Return what a JSON text says; whole numbers beyond 64 bits may come as floats.

    Raises:
        ValueError: If it is no JSON.
        RecursionError: If it is nested too deep.
    """
    import orjson  # here and below: a step on a lent device needs none of it

    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:  # NaN, which Python writes and reads, or no JSON at all
        found = json.loads(raw)
        json.dumps(found, ensure_ascii=False).encode()  # half a character cannot be written again
        return found


def exact_bytes(value: Any) -> bytes:
    """A text that only equal plain data have, quickly; numbers of other types are other data."""
    import orjson

    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number beyond 64 bits
        return json.dumps(value, sort_keys=True).encode()


class Shared:
    """Parses records; pieces that read alike are one object, not to be changed."""

    def __init__(self) -> None:
        self._pieces: dict[bytes, dict[str, Any]] = {}

    def parse(self, raw: bytes) -> Any:
        """Return what a record's text says, see `parse`.

        A text laid out as `nsbench.benchmarks.records.record.write_record` does is parsed member by
        member, those of its cell one by one, each only where no record before had it. A line
        break followed by one blank and a quote is nowhere else in such a text: inside of
        strings line breaks are escaped.
        """
        if not (raw.startswith(_START) and raw.endswith(_END)):
            return parse(raw)
        out: dict[str, Any] = {}
        cell: dict[str, Any]
        known = self._pieces.get
        try:
            for member in _MEMBER.split(raw[len(_START) : -len(_END)]):
                if (found := known(member)) is not None:
                    out |= found
                elif member.startswith(_CELL) and member.endswith(b"\n }"):
                    out["cell"] = cell = {}
                    for inner in _INNER.split(member[len(_CELL) : -3]):
                        cell |= known(inner) or self._piece(inner)
                else:
                    out |= self._piece(member)
        except ValueError:  # laid out otherwise after all, or no JSON
            return parse(raw)
        return out

    def _piece(self, member: bytes) -> dict[str, Any]:
        """A member not met before, such as ``seed": 1``, as a separate table."""
        found: dict[str, Any] = parse(b'{"' + member + b"}")
        if len(found) != 1:
            raise ValueError("several members")
        if not member.startswith(_OWN):
            self._pieces[member] = found
        return found


@contextmanager
def no_collection() -> Iterator[None]:
    """Let Python not look for cycles among objects that are only being made: half of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()

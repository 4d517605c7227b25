"""Short names of the values of each axis: what differs between them, and no more.

A name that the matrix file gives (``label``) is kept. Otherwise paths and hashes are cut to what
a reader needs, a setting that all choices of a component share is left out, and one that differs
is shown even where it has its default: ``hard(k=16)`` beside ``hard(k=4)``. Whole settings are in
the columns ``p_*`` of ``scores.csv``, in the cells' records and in the report's matrix files.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nsbench.benchmarks.records.cell import Cell

AXES = ("sampler", "augmentation", "objective", "candidates", "encoder", "data", "regime")
FEW = 2
"""Settings that differ, up to which a name shows all of them; of more, those off their default."""
_LONG = 24
_PLACES = ("source", "path")
_HASH = re.compile(r"[0-9a-f]{16,}")
_ROWS = re.compile(r", \d+ rows$")


@dataclass(frozen=True)
class _Part:
    """A component as a cell holds it, and how its record names it."""

    name: str
    params: Mapping[str, Any]
    text: str

    @property
    def labelled(self) -> bool:
        """True if the matrix file names it."""
        return self.text != self.name and not self.text.startswith(f"{self.name}(")

    @property
    def identity(self) -> str:
        return json.dumps([self.name, self.params, self.text], sort_keys=True, default=str)

    def told(self) -> list[str]:
        """Names of the settings that the record's name shows."""
        inside = self.text.removeprefix(self.name).removeprefix("(").removesuffix(")")
        shown = {part.partition("=")[0] for part in settings_of(inside)}
        return [k for k in sorted(self.params) if k in shown]


def short_names(values: Sequence[tuple[Any, str]]) -> list[str]:
    """Return the short name of each value of an axis; different ones never get the same.

    Args:
        values: Different choices as cells hold them (a table with ``name`` and ``params``; of
            augmentations a table of views), each with its name in the record.
    """
    split = [_views(value, _ROWS.sub("", text)) for value, text in values]
    kinds: dict[str, dict[str, _Part]] = {}
    for part in (p for views in split for view in views for p in view if not p.labelled):
        kinds.setdefault(part.name, {})[part.identity] = part
    short = {k: v for kind in kinds.values() for k, v in _of_kind(kind).items()}
    names = []
    for (_, text), views in zip(values, split, strict=True):
        told = [" + ".join(short.get(p.identity, p.text) for p in view) for view in views]
        rows = _ROWS.search(text)
        name = " | ".join(dict.fromkeys(told)) if all(told) else ""
        names.append(name + (rows.group() if name and rows else "") or text)
    found = Counter(names)
    return [n if found[n] == 1 else text for n, (_, text) in zip(names, values, strict=True)]


class CellNames:
    """Short names of cells: their sampler and augmentation, and what else makes them differ.

    Of an objective, pool, regime, encoder or data set the name is left out unless cells of the
    same sampler have several.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._held: dict[str, dict[tuple[int, ...], str]] = {axis: {} for axis in AXES}
        self._kept: list[Cell] = []  # so that no other object gets the id of one of theirs
        met: dict[str, dict[str, tuple[Any, str]]] = {axis: {} for axis in AXES}
        for cell in cells:
            new = [axis for axis in AXES if _place(cell, axis) not in self._held[axis]]
            if not new:
                continue
            self._kept.append(cell)
            plain, labels = cell.plain(), cell.labels
            for axis in new:
                value, text = plain[axis], labels[axis]
                identity = json.dumps([value, text], sort_keys=True, default=str)
                met[axis].setdefault(identity, (value, text))
                self._held[axis][_place(cell, axis)] = identity
        for axis, found in met.items():
            short = dict(zip(found, short_names(list(found.values())), strict=True))
            self._held[axis] = {k: short[i] for k, i in self._held[axis].items()}
        several: dict[tuple[str, str], set[str]] = {}
        for cell in cells:
            for axis in AXES[2:]:
                key = self.of_axis(cell, "sampler"), axis
                several.setdefault(key, set()).add(self.of_axis(cell, axis))
        self._told = {key for key, names in several.items() if len(names) > 1}

    def of_axis(self, cell: Cell, axis: str) -> str:
        """Return the short name of a cell's value on one of `AXES`."""
        return self._held[axis][_place(cell, axis)]

    def method(self, cell: Cell) -> str:
        """Return the name of a cell without its seed: ``hard(k=4) x token_cutoff``."""
        sampler = self.of_axis(cell, "sampler")
        axes = [*AXES[:2], *(axis for axis in AXES[2:] if (sampler, axis) in self._told)]
        return " x ".join(name for axis in axes if (name := self.of_axis(cell, axis)))

    def __call__(self, cell: Cell) -> str:
        """Return the name of a cell: ``hard(k=4) x token_cutoff, seed 1``."""
        return f"{self.method(cell)}, seed {cell.seed}"


def _place(cell: Cell, axis: str) -> tuple[int, ...]:
    """Return what distinguishes values of an axis fast: cells of a matrix share their objects."""
    if axis == "augmentation":
        return (len(cell.view1), *map(id, (*cell.view1, *cell.view2)))
    return (id(getattr(cell, axis)), cell.limit if axis == "data" else 0)


def settings_of(inside: str) -> list[str]:
    """Split the settings of a name at commas outside of brackets."""
    parts, depth = [""], 0
    for sign in inside:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _views(value: Any, text: str) -> list[list[_Part]]:
    """Return the components of each view, or of the only one; nothing where names do not fit."""
    if not isinstance(value, Mapping):
        return []
    if isinstance(value.get("name"), str):
        return [[_Part(value["name"], value.get("params") or {}, text)]]
    given = [value[v] for v in sorted(value)]
    views = [v if isinstance(v, list) else [v] for v in given]
    told = [t.split(" + ") for t in text.split(" | ")]
    told = told * len(views) if len(told) == 1 else told
    if [len(v) for v in views] != [len(t) for t in told]:
        return []
    return [
        [_Part(c["name"], c.get("params") or {}, t) for c, t in zip(view, texts, strict=True)]
        for view, texts in zip(views, told, strict=True)
    ]


def _of_kind(parts: Mapping[str, _Part]) -> dict[str, str]:
    """Return short names of the choices of one component, by identity."""
    found: dict[str, Counter[str]] = {}
    for part in parts.values():
        for key, value in part.params.items():
            found.setdefault(key, Counter())[repr(value)] += 1
    differing = sorted(
        (k for k, v in found.items() if len(v) > 1), key=lambda k: (-len(found[k]), k)
    )
    out = {}
    for identity, part in parts.items():
        if len(parts) == 1:
            shown = [k for k in part.told() if not _HASH.fullmatch(str(part.params[k]))]
        elif len(differing) <= FEW:
            shown = differing
        else:
            shown = [k for k in part.told() if k in differing] or differing[:FEW]
        told = [_setting(k, part.params[k]) for k in sorted(shown) if k in part.params]
        inside = ", ".join(sorted(filter(None, told), key=lambda t: "=" in t))
        out[identity] = f"{part.name}({inside})" if inside else part.name
    if len(set(out.values())) < len(out):  # cut too short: all that the records' names show
        seen = Counter(out.values())
        out = {k: parts[k].text if seen[v] > 1 else v for k, v in out.items()}
    return out


def _setting(key: str, value: Any) -> str:
    """Return a setting in a few characters; a model or file needs no key."""
    if value in ("", None):
        return f"no {key}"
    text = _value(value)
    return text if key in _PLACES or not text else f"{key}={text}"


def _value(value: Any) -> str:
    """Return a value in a few characters."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, Mapping):
        places = [v for v in value.values() if isinstance(v, str) and re.search(r"[/.]", v)]
        return _value(places[0] if places else value.get("name", ""))
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_value, value))})"
    text = str(value)
    text = text.strip("[]/").rpartition("/")[2] or text
    text = text[:7] if _HASH.fullmatch(text) else text
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."

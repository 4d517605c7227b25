"""Data and a model for tests of reading and mining."""

import copy
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from nsbench.benchmarks.cli.mine import mine
from nsbench.benchmarks.data import TrainingData, datasets
from nsbench.benchmarks.encoders.pretrained import TextModel


def letters(texts: Any, role: str = "", prompt: str | None = None) -> np.ndarray[Any, Any]:
    """Counts of letters: a model whose answers can be followed by hand."""
    words = [f"{prompt or ''}{t}".lower() for t in texts]
    return np.array(
        [[w.count(chr(97 + i)) + 0.01 for i in range(26)] for w in words], dtype=np.float32
    )


def unit_rows(values: Any, least: float = 0.0) -> Any:
    """Rows of length one; rows of zeros become NaN."""
    values = np.asarray(values, dtype=np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), least)


def unit_or_zero(values: Any) -> Any:
    """Rows of length one; rows of zeros stay."""
    return unit_rows(values, 1e-12)


def pairs_of(
    texts: Sequence[str], pairs: Iterable[tuple[int, int]] = (), name: str = "made", **more: Any
) -> TrainingData:
    """Rows of numbers of texts, without given negatives; each text its own if there are none."""
    pairs = list(pairs) or [(i, i) for i in range(len(texts))]
    anchor, positive = np.array(pairs, np.int64).reshape(-1, 2).T
    none = np.empty((len(pairs), 0), np.int64)
    return TrainingData(name, tuple(texts), anchor, positive, none, **more)


def drawn_pairs(rows: int, words: Sequence[str], length: int) -> TrainingData:
    """Pairs of texts of as many words, drawn; anchors first."""
    random = np.random.default_rng(0)
    texts = tuple(" ".join(random.choice(words, length)) for _ in range(2 * rows))
    every = np.arange(2 * rows, dtype=np.int64)
    return TrainingData("boats", texts, every[:rows], every[rows:], np.empty((rows, 0), np.int64))


def write_pairs(path: Path, data: TrainingData, *, first: str = "") -> Path:
    """Write rows as a CSV of anchors and positives, a line before them."""
    rows = [
        f'"{data.texts[a]}","{data.texts[p]}"\n'
        for a, p in zip(data.anchor, data.positive, strict=True)
    ]
    path.write_text(f"anchor,positive\n{first}" + "".join(rows))
    return path


LETTERS = TextModel(name="test/letters", revision="ab" * 20, dimension=26, how="test", run=letters)


def doubled(rows: int) -> TrainingData:
    """Rows with a double anchor, a doubled text and given negatives: something to be masked."""
    made = datasets.make("planted", rows=rows, seed=4)()
    anchor, positive = made.anchor.copy(), made.positive.copy()
    anchor[1] = anchor[0]
    positive[3] = positive[2]
    negatives = np.column_stack([np.roll(positive, 5), np.roll(positive, 7)])
    return replace(made, anchor=anchor, positive=positive, negatives=negatives, meaning=None)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in plain data, the whole first."""
    yield at
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for name, part in inner:
        yield from places(part, (*at, name))


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """Plain data with something else in one place."""
    if not at:
        return new
    out = copy.deepcopy(value)
    inner = out
    for name in at[:-1]:
        inner = inner[name]
    inner[at[-1]] = new
    return out


def put(path: Path, content: str | bytes | list[Any]) -> Path:
    """A file of text, of bytes, or of objects, one a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def beir(folder: Path, corpus: list[Any], queries: list[Any], **judged: str) -> Path:
    """A folder as BEIR lays it out; ``judged`` holds lines of query, document and score by split.

    A text alone is a document or query named by its number: ``c0``, ``q0``.
    """
    for name, rows in (("corpus", corpus), ("queries", queries)):
        named = [{"_id": f"{name[0]}{i}", "text": row} for i, row in enumerate(rows)]
        pairs = zip(rows, named, strict=True)
        put(folder / f"{name}.jsonl", [n if isinstance(row, str) else row for row, n in pairs])
    for split, lines in judged.items():
        put(folder / "qrels" / f"{split}.tsv", f"query-id\tcorpus-id\tscore\n{lines}")
    return folder


def mine_command(*words: object, **how: Any) -> Result:
    """Run ``nsbench mine`` in this process; ``how`` as for `CliRunner.invoke`."""
    app = typer.Typer()
    app.command()(mine)
    return CliRunner().invoke(app, [*map(str, words)], **how)


def load(path: Path, **given: Any) -> TrainingData:
    """Training data of a file."""
    dataset = datasets.make("file", path=str(path), **given)
    dataset.check()
    return dataset()


def refused(path: Path, **given: Any) -> str:
    """The message, of one line, with which a file is refused; without the folder's name."""
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        load(path, **given)
    message = str(error.value).replace(f"{path.parent}/", "")
    assert "\n" not in message
    return message


def told(data: TrainingData) -> list[tuple[str, str, list[str]]]:
    """Rows in words."""
    return [
        (data.texts[a], data.texts[p], [data.texts[n] for n in ns if n >= 0])
        for a, p, ns in zip(data.anchor, data.positive, data.negatives, strict=True)
    ]

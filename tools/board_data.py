"""Cut raw files into what boards read: ``python -m tools.board_data SOURCE [--out boards]``.

SOURCE holds, in any subfolder, ``quora_pairs.jsonl.gz`` and ``mrpc_pairs.jsonl.gz`` (``sentence1,
sentence2, label``), ``nli_triplets.jsonl.gz`` (``anchor, positive, negative``), and the folders
``banking77`` (``train`` and ``test.jsonl.gz``: ``text, label``) and ``scifact`` (``corpus``,
``queries``, ``qrels_train`` and ``qrels_test.jsonl.gz``, as on the hub), and ``brown.tsv.gz`` (a
source and a sentence a line). Boards name the files by
paths relative to the folder that they run in. Every cut is by a hash of the text, so the same
source gives the same bytes; a training row with a text of a development or test row is left out,
and the numbers are printed.

Source: the layouts of Quora Question Pairs, MRPC, SNLI, Banking77, SciFact in BEIR's form, Brown.
"""

import argparse
import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

Row = dict[str, Any]
DOCUMENTS = 1500
"""Of the retrieval corpus: all that are judged, and others up to this number."""
SENTENCES = 8000
"""Of general text, and of short sentences."""
SHORTEST = 5
"""Words of such a sentence, at least."""
BATCH = 64
"""Rows of a batch, as the boards have it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files and print how many rows each has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, default=Path("boards"))
    given = parser.parse_args(arguments)
    for cut in (pairs, entailment, classes, retrieval, sentences, short):
        for name, rows in cut(given.source).items():
            path = given.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_text(name, rows), encoding="utf-8")
            print(f"{path}: {len(rows)} rows")  # noqa: T201


def pairs(source: Path) -> dict[str, list[Row]]:
    """Return duplicates, paraphrases and entailed pairs to train on, and tests of them."""
    quora = _shuffled(_read(source, "quora_pairs.jsonl.gz"), "sentence1")
    mrpc = _shuffled(_read(source, "mrpc_pairs.jsonl.gz"), "sentence1")
    nli = _shuffled(_read(source, "nli_triplets.jsonl.gz"), "anchor")
    dev, duplicates, rest = quora[:1000], quora[1000:2000], quora[2000:]
    asked = [row for row in duplicates if row["label"] == 1][:150]
    corpus = sorted({row[side] for row in duplicates for side in ("sentence1", "sentence2")})
    number = {text: f"d{place}" for place, text in enumerate(corpus)}
    held = {t for r in (*dev, *duplicates) for t in (r["sentence1"], r["sentence2"])}
    good = [r for r in (*rest, *mrpc) if r["label"] == 1]
    train = [{"anchor": r["sentence1"], "positive": r["sentence2"], "negatives": []} for r in good]
    train += [
        {"anchor": r["anchor"], "positive": r["positive"], "negatives": [r["negative"]]}
        for r in nli[:4000]
    ]
    train = [row for row in train if not held & {row["anchor"], row["positive"]}]
    of_nli = [bool(row["negatives"]) for row in train]
    judged = [_graded(row) for row in (*rest, *mrpc)]
    judged += [
        {"sentence1": r["anchor"], "sentence2": r[side], "score": score}
        for r in nli[:4000]
        for side, score in (("positive", 1.0), ("negative", 0.0))
    ]
    return {
        "pairs/train.jsonl": train,
        "pairs/batches.txt": _batches([_ranked(of_nli, False), _ranked(of_nli, True)]),
        "pairs/graded.jsonl": [r for r in judged if not held & {r["sentence1"], r["sentence2"]}],
        "pairs/dev.jsonl": [_graded(row) for row in dev],
        "pairs/quora.jsonl": [{**_two(row), "label": row["label"]} for row in duplicates],
        "pairs/questions/corpus.jsonl": [{"_id": number[t], "text": t} for t in corpus],
        "pairs/questions/queries.jsonl": [
            {"_id": f"q{i}", "text": row["sentence1"]} for i, row in enumerate(asked)
        ],
        "pairs/questions/qrels/test.tsv": [
            _judged(f"q{i}", number[row["sentence2"]]) for i, row in enumerate(asked)
        ],
    }


def entailment(source: Path) -> dict[str, list[Row]]:
    """Return entailed sentences, each with one that contradicts the anchor."""
    rows = _shuffled(_read(source, "nli_triplets.jsonl.gz"), "anchor")
    return {
        "nli/train.jsonl": [
            {"anchor": r["anchor"], "positive": r["positive"], "negatives": [r["negative"]]}
            for r in rows
        ]
    }


def classes(source: Path) -> dict[str, list[Row]]:
    """Return labelled texts to train on, and tests that tell whether two texts have one label."""
    read = {n: _shuffled(_read(source, f"banking77/{n}.jsonl.gz"), "text") for n in _SPLITS}
    dev, test = read["train"][:1500], read["test"]
    held = {row["text"] for row in (*dev, *test)}
    train = [_labelled(r) for r in read["train"][1500:] if r["text"] not in held]
    labels = [row["label"] for row in train]
    return {
        "classes/train.jsonl": train,
        "classes/batches.txt": _apart([_ranked(labels, label) for label in sorted({*labels})]),
        "classes/dev.jsonl": [
            {"sentence1": a, "sentence2": b, "score": float(same)} for a, b, same in _couples(dev)
        ],
        "classes/intents.jsonl": [
            {"sentence1": a, "sentence2": b, "label": same} for a, b, same in _couples(test[:1500])
        ],
    }


def retrieval(source: Path) -> dict[str, list[Row]]:
    """Return SciFact with a smaller corpus, as a folder in BEIR's form."""
    judged = {n: _read(source, f"scifact/qrels_{n}.jsonl.gz") for n in _SPLITS}
    needed = {str(row["corpus-id"]) for rows in judged.values() for row in rows}
    corpus = _shuffled(_read(source, "scifact/corpus.jsonl.gz"), "text")
    kept = [row for row in corpus if str(row["_id"]) in needed]
    kept += [row for row in corpus if str(row["_id"]) not in needed][: DOCUMENTS - len(kept)]
    return {
        "retrieval/corpus.jsonl": [
            {"_id": str(r["_id"]), "title": r["title"], "text": r["text"]} for r in kept
        ],
        "retrieval/queries.jsonl": [
            {"_id": str(r["_id"]), "text": r["text"]}
            for r in _read(source, "scifact/queries.jsonl.gz")
        ],
        **{
            f"retrieval/qrels/{name}.tsv": [
                _judged(str(row["query-id"]), str(row["corpus-id"])) for row in rows
            ]
            for name, rows in judged.items()
        },
    }


def sentences(source: Path) -> dict[str, list[Row]]:
    """Return sentences of general text, none of which any test holds by design."""
    with gzip.open(_found(source, "brown.tsv.gz"), "rt", encoding="utf-8") as lines:
        texts = {line.rstrip("\n").split("\t")[1] for line in lines}
    rows = [{"text": text} for text in texts if len(text.split()) >= SHORTEST]
    return {"texts/brown.jsonl": _shuffled(rows, "text")[:SENTENCES]}


def short(source: Path) -> dict[str, list[Row]]:
    """Return short sentences of corpora that no test is cut from: half entailment, half questions.

    They are of the kind of the STS tests, some of whose captions are about the same images.
    """
    entailed = _read(source, "nli_triplets.jsonl.gz")
    asked = _read(source, "quora_pairs.jsonl.gz")
    halves = [
        {row[side] for row in rows for side in sides if len(row[side].split()) >= SHORTEST}
        for rows, sides in (
            (entailed, ("anchor", "positive", "negative")),
            (asked, ("sentence1", "sentence2")),
        )
    ]
    rows = [
        row
        for texts in halves
        for row in _shuffled([{"text": text} for text in texts], "text")[: SENTENCES // 2]
    ]
    return {"texts/short.jsonl": _shuffled(rows, "text")}


_SPLITS = ("train", "test")


def _read(source: Path, name: str) -> list[Row]:
    with gzip.open(_found(source, name), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _found(source: Path, name: str) -> Path:
    found = sorted(source.rglob(name.rpartition("/")[2]))
    found = [path for path in found if path.as_posix().endswith(name)]
    if len(found) != 1:
        raise SystemExit(f"{source} must hold {name} once, it holds it {len(found)} times")
    return found[0]


def _shuffled(rows: Iterable[Row], column: str) -> list[Row]:
    """Return rows by the hash of a text: equal texts are neighbours and end in one part."""
    return sorted(rows, key=lambda row: hashlib.sha256(row[column].encode()).hexdigest())


def _couples(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """Return each text with the next of its label, and with the next of any other label."""
    waiting: dict[int, str] = {}
    out = []
    for before, row in pairwise(rows):
        label = int(row["label"])
        if label in waiting:
            out.append((waiting.pop(label), row["text"], 1))
            if int(before["label"]) != label:
                out.append((before["text"], row["text"], 0))
        else:
            waiting[label] = row["text"]
    return out


def _hash(place: int) -> str:
    return hashlib.sha256(str(place).encode()).hexdigest()


def _ranked(values: Sequence[Any], value: Any) -> list[int]:
    """Return the places of one value, in the order of their hashes."""
    return sorted((place for place, other in enumerate(values) if other == value), key=_hash)


def _batches(groups: Sequence[Sequence[int]]) -> list[Row]:
    """Return batches of one group each, the groups' batches mixed."""
    cut = [g[i : i + BATCH] for g in groups for i in range(0, len(g) - BATCH + 1, BATCH)]
    return [{"rows": batch} for batch in sorted(cut, key=lambda batch: _hash(batch[0]))]


def _apart(groups: Sequence[Sequence[int]]) -> list[Row]:
    """Return batches with no two rows of one group, of the groups with the most rows left."""
    left = [list(group) for group in groups]
    out: list[Row] = []
    while True:
        longest = sorted(left, key=len, reverse=True)[:BATCH]
        if not longest[-1]:
            return out
        out.append({"rows": [group.pop() for group in longest]})


def _labelled(row: Mapping[str, Any]) -> Row:
    return {"text": row["text"], "label": int(row["label"])}


def _two(row: Mapping[str, Any]) -> Row:
    return {"sentence1": row["sentence1"], "sentence2": row["sentence2"]}


def _graded(row: Mapping[str, Any]) -> Row:
    return {**_two(row), "score": float(row["label"])}


def _judged(query: str, document: str) -> Row:
    return {"query-id": query, "corpus-id": document, "score": 1}


def _text(name: str, rows: Sequence[Row]) -> str:
    if name.endswith(".tsv"):
        lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
    elif name.endswith(".txt"):
        lines = [" ".join(map(str, row["rows"])) for row in rows]
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()

"""Prove that a change of the code moves no result: run small matrices and compare their bytes.

    python -m tools.same_results make out/before     # on the code before the change
    python -m tools.same_results make out/after      # on the code after it
    python -m tools.same_results compare out/before out/after

Runs the suites ``smoke`` and ``bench``, and one cell for each sampler, pool, objective,
augmentation and regime that is registered. Wall time, dates, versions and the git commit are left
out of the comparison; everything else a cell leaves has to be equal byte for byte.
"""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import tomli_w

FITTED: dict[str, dict[str, Any]] = {
    "matryoshka": {"dimensions": [8, 4]},
    "communities": {"size": 8},
    "cluster_negatives": {"clusters": 4},
    "pair_consistency": {"places": 100},
    "given_batches": {"file": "batches.txt"},
}
"""Parameters of objectives and samplers whose defaults do not fit `BASE`."""
UNTRAINED = ("no_training", "bm25_ranking")
KINDS = ("samplers", "candidates", "objectives", "augmentations", "regimes")
FILES = (
    "cell.json",
    "record.json",
    "scores.csv",
    "training.csv",
    "difficulty.parquet",
    "histograms.parquet",
    "probe.parquet",
    "choices.parquet",
    "texts.parquet",
    "queries.parquet",
)
PASSING = ("seconds", "started", "finished", "digest")
"""Fields of a record that differ between two runs of the same code; the last is over all others."""
WORDS = ("boat", "dog", "house", "cake", "river", "child", "train", "road", "song", "cup")

BASE: dict[str, Any] = {
    "schema": 1,
    "samplers": ["in_batch"],
    "augmentations": [{"name": "token_cutoff", "rate": 0.2}],
    "encoders": [{"name": "static", "dimension": 16}],
    "data": [{"name": "planted", "rows": 400}],
    "seeds": [1],
    "no_training": False,
    "budget": {"steps": 12, "batch_size": 16, "learning_rate": 0.02, "max_length": 32},
    "difficulty": {"every": 4},
}


def entailment_pairs(path: Path) -> None:
    """Write 100 made-up entailment pairs, for the regimes that need labels."""
    rows = []
    for i, word in enumerate(WORDS):
        for j, other in enumerate(WORDS):
            label = ("entailment", "contradiction", "neutral")[(i + j) % 3]
            premise = f"a {word} and a {other} number {i}"
            rows.append({"premise": premise, "hypothesis": f"{label} {word} {j}", "label": label})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def batches_of_rows(path: Path) -> None:
    """Write batches of 16 of the first 320 rows, for the sampler that reads them."""
    lines = [" ".join(str(row) for row in range(start, 320, 20)) for start in range(20)]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def matrices(names: dict[str, list[str]], nli: str) -> dict[str, dict[str, Any]]:
    """The matrices to run, as plain data.

    Args:
        names: Registered names by kind.
        nli: Path of a file of entailment pairs.
    """
    labels = {"name": "file", "path": nli, "nli": "pairs"}
    pools = [{"name": "corpus", "shortage": "fewer", "negatives": 2, "refresh": 4}]
    pools += [{"name": n} for n in names["candidates"] if n != "corpus"]
    regimes = [{"name": n} | ({} if n == "unsupervised" else {"nli": labels}) for n in
               names["regimes"]]  # fmt: skip
    tiny = {"encoders": [{"name": "tiny", "dimension": 16}]}
    return {
        "samplers": {
            "samplers": [
                {"name": n} | FITTED.get(n, {}) for n in names["samplers"] if n not in UNTRAINED
            ]
        },
        "layers": {"samplers": ["lower_layer"]} | tiny,
        "pools": {"candidates": pools},
        "objectives": {
            "objectives": [{"name": n} | FITTED.get(n, {}) for n in names["objectives"]]
        },
        "augmentations-static": {"augmentations": names["augmentations"]},
        "augmentations-tiny": {"augmentations": names["augmentations"]} | tiny,
        "regimes": {"regimes": regimes},
        "chosen": {
            "samplers": ["in_batch", "incremental", "topic"],
            "evaluation": {"dev": "own", "dev_every": 5},
            "budget": BASE["budget"] | {"chunk": 8},
            "limits": [0, 10],
        }
        | tiny,
    }


def make(folder: Path, command: list[str], *, quick: bool) -> None:
    """Run everything and store the digests in ``digests.json``.

    Args:
        folder: Where results go.
        command: How ``nsbench`` is called.
        quick: Leave out the suite ``bench``.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], check=True, stdout=subprocess.PIPE, text=True, cwd=folder
        )
        return done.stdout

    listed = {kind: json.loads(call("list", kind, "--json")) for kind in KINDS}
    names = {kind: [row["name"] for row in rows] for kind, rows in listed.items()}
    entailment_pairs(folder / "pairs.jsonl")
    batches_of_rows(folder / "batches.txt")
    for name, changes in matrices(names, "pairs.jsonl").items():
        text = tomli_w.dumps(BASE | {"name": name} | changes)
        (folder / f"{name}.toml").write_text(text, "utf-8")
        call("run", f"{name}.toml", "--out", name, "--workers", "2", "--cache", "none")
    for suite in ("smoke",) if quick else ("smoke", "bench"):
        call("run", suite, "--out", suite, "--workers", "2", "--cache", "none")
    digests = {}
    for path in sorted(folder.glob("*/runs/*/*")):
        if path.name in FILES:
            digests[path.relative_to(folder).as_posix()] = digest(path)
    (folder / "digests.json").write_text(json.dumps(digests, indent=1) + "\n", "utf-8")
    sys.stdout.write(f"{len(digests)} files of {len(set(map(_folder, digests)))} cells\n")


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, of a record without times, versions and commit."""
    data = path.read_bytes()
    if path.name == "record.json":
        record = json.loads(data)
        for name in PASSING:
            record.pop(name, None)
        for name in ("versions", "git"):
            record["environment"].pop(name, None)
        data = json.dumps(record, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def compare(before: Path, after: Path) -> int:
    """Print every file that differs or is missing; return their number."""
    first, second = (json.loads((p / "digests.json").read_text()) for p in (before, after))
    wrong = [name for name in first if second.get(name) != first[name]]
    for name in wrong:
        sys.stdout.write(f"{'differs' if name in second else 'missing'}: {name}\n")
    sys.stdout.write(f"{len(first) - len(wrong)} of {len(first)} files are equal\n")
    return len(wrong)


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("folder", type=Path)
    making.add_argument("--nsbench", default="nsbench", help="how to call nsbench")
    making.add_argument("--quick", action="store_true", help="leave out the suite bench")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return 1 if compare(given.before, given.after) else 0
    make(given.folder.resolve(), shlex.split(given.nsbench), quick=given.quick)
    return 0


if __name__ == "__main__":
    sys.exit(main())

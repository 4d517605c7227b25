"""``nsbench mine`` compared with ``mine_hard_negatives``, from the command to the files.

    python -m tools.timing.mining [JOB ...] [--rounds 1] [--threads 2] [--out DIR]

Jobs: ``mine-pairs``, pairs of the STS test sets, each text a candidate of its side; and
``mine-scifact``, the judged claims of SciFact's test and as many of its abstracts as are asked for.
Each side is a separate process, which reads the same JSON lines, loads MiniLM-L6, encodes,
searches, takes three negatives a pair and writes them: ours as the command line does, with report
and card; theirs by sentence-transformers and ``Dataset.save_to_disk``. Printed is also the share
of their negatives that are ours, too. Needs the extra ``st`` and the data sets in the cache.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nsbench.benchmarks.data._hub import Source, rows_of
from nsbench.benchmarks.data.sts_unlabelled import SOURCES
from tools.timing._compare import HEAD, PEERS, Compared, Side, compared, tell
from tools.timing._steps import MINILM

JOBS = ("mine-pairs", "mine-scifact")
SCIFACT = "d56462d0e63a25450459c4f213e49ffdb866f7f9"
NEGATIVES = 3
OURS = "from nsbench.analysis.cli import command; command()"
THEIRS = """
import sys
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

pairs, corpus, model, negatives, out = sys.argv[1:]
documents = Dataset.from_json(corpus)["text"] if corpus else None
mine_hard_negatives(
    Dataset.from_json(pairs),
    SentenceTransformer(model, local_files_only=True),
    corpus=documents and list(documents),
    num_negatives=int(negatives),
    batch_size=64,
).save_to_disk(out)
"""
Triple = tuple[str, str, str]


def pairs_of_sts(rows: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return the first different pairs of two texts of the STS test sets, and no corpus."""
    found: dict[tuple[str, str], None] = {}
    for source, splits in SOURCES:
        for _, row in rows_of(source, splits[-1]):
            if row["sentence1"].strip() != row["sentence2"].strip():
                found[row["sentence1"].strip(), row["sentence2"].strip()] = None
    return [{"anchor": a, "positive": p} for a, p in list(found)[:rows]], []


def pairs_of_scifact(documents: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Return claims with their abstracts, and abstracts: those that are judged come first."""
    parts = {
        name: [dict(row) for _, row in rows_of(Source("mteb/scifact", SCIFACT, name), split)]
        for name, split in (("corpus", "corpus"), ("queries", "queries"), ("default", "test"))
    }
    texts = {r["_id"]: f"{r['title']} {r['text']}".strip() for r in parts["corpus"]}
    claims = {r["_id"]: r["text"].strip() for r in parts["queries"]}
    judged = [(r["query-id"], r["corpus-id"]) for r in parts["default"] if r["score"] > 0]
    chosen = list(dict.fromkeys([*(d for _, d in judged), *texts]))[: documents or None]
    rows = [{"anchor": claims[q], "positive": texts[d]} for q, d in judged if d in {*chosen}]
    return rows, [{"text": text} for text in dict.fromkeys(texts[d] for d in chosen)]


def _lines(path: Path, rows: Sequence[Mapping[str, str]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def seconds_of(command: Sequence[str], threads: int) -> float:
    """Return the wall time of a Python process.

    Raises:
        RuntimeError: If it failed.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | dict.fromkeys(names, str(threads)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = f"{done.stdout[-500:]}{done.stderr[-2000:]}"
        raise RuntimeError(f"mining ended with {done.returncode}: {said}")
    return time.perf_counter() - began


def written(name: str, size: int, place: Path) -> tuple[str, str, str]:
    """Write the lines of a job; return the files of pairs and corpus, and what the job is."""
    rows, corpus = pairs_of_scifact(size) if name == JOBS[1] else pairs_of_sts(size or 1 << 30)
    unit = f"{len(rows)} pairs" + (f", {len(corpus)} documents" if corpus else "")
    pairs = _lines(place / "pairs.jsonl", rows)
    return pairs, _lines(place / "corpus.jsonl", corpus) if corpus else "", unit


def our_arguments(pairs: str, corpus: str, out: Path) -> list[str]:
    """Arguments of our command, which mines from the files of `written` into a folder."""
    more = ["--corpus", corpus] if corpus else []
    options = ["--model", MINILM, "-n", str(NEGATIVES), "--shortage", "fewer"]
    return ["mine", pairs, *more, *options, "--against", "lowest", "--out", str(out)]


def _run_ours(place: Path, pairs: str, corpus: str, threads: int) -> tuple[list[float], Any]:
    out = Path(tempfile.mkdtemp(dir=place), "out")
    seconds = seconds_of(["-c", OURS, *our_arguments(pairs, corpus, out)], threads)
    rows = map(json.loads, (out / "train.jsonl").read_text("utf-8").splitlines())
    return [seconds], {(r["anchor"], r["positive"], r["negative"]) for r in rows}


def _run_theirs(place: Path, pairs: str, corpus: str, threads: int) -> tuple[list[float], Any]:
    from datasets import load_from_disk

    out = Path(tempfile.mkdtemp(dir=place), "out")
    command = ["-c", THEIRS, pairs, corpus, MINILM, str(NEGATIVES), str(out)]
    seconds = seconds_of(command, threads)
    rows = load_from_disk(str(out))
    return [seconds], {(r["anchor"], r["positive"], r["negative"]) for r in rows}


def in_common(ours: set[Triple], theirs: set[Triple]) -> str:
    """Return the share of their negatives that we chose for the same pair."""
    return f"{len(ours & theirs) / len(theirs):.2%} of {len(theirs)} negatives are the same."


def job(name: str, rounds: int, threads: int, size: int) -> Compared:
    """Mine for one data set.

    Args:
        name: Of `JOBS`.
        rounds: How often each side runs.
        threads: Of each side.
        size: Pairs, or documents of SciFact; 0 for all.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        pairs, corpus, unit = written(name, size, place)
        given = place, pairs, corpus, threads
        ours, theirs = partial(_run_ours, *given), partial(_run_theirs, *given)
        who = f"sentence-transformers {version('sentence-transformers')}"
        return compared(name, unit, Side("nsbench", ours), Side(who, theirs), rounds, in_common)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the jobs asked for and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=4000, help="of mine-pairs; 0 for all")
    parser.add_argument("--documents", type=int, default=800, help="of mine-scifact; 0 for all")
    parser.add_argument("--out", type=Path, help=f"folder whose {PEERS} keeps the rounds")
    given = parser.parse_args(arguments)
    unknown = sorted(set(given.jobs) - set(JOBS))
    if unknown:
        parser.error(f"unknown job {unknown[0]!r}; there are {', '.join(JOBS)}")
    for name, low in (("rounds", 1), ("threads", 1), ("pairs", 0), ("documents", 0)):
        if getattr(given, name) < low:
            parser.error(f"--{name} must be at least {low}, got {getattr(given, name)}")
    torch.set_num_threads(given.threads)
    sys.stdout.write(HEAD)
    for name in given.jobs or JOBS:
        size = given.documents if name == JOBS[1] else given.pairs
        tell(job(name, given.rounds, given.threads, size), given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())

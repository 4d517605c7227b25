"""All that is done for a CUDA device, checked and timed on one: a short table, printed last.

    python -m tools.timing.gpu [--minutes 8] [--only PART ...] [--out DIR] [--rehearse]

Checks: recorded steps against steps made one by one, side by side against alone, no wait for the
device anywhere in a step (torch's own watch, set to raise), a device against the CPU, the fused
search against the reference. Times: a contrastive step of MiniLM-L6 and BERT-base (random weights
of their sizes, texts of the planted data) made as it comes, recorded, and several
trainings side by side; the sentence-transformers trainer where it can run; search, also by faiss
where it can use the device; each compared with the measured rate of a matrix product and of a copy.
A row whose steps were to be recorded and were not has failed. Needs torch, transformers, pandas,
pyarrow and pydantic only. Rows and table are written after each row, so a killed run leaves them.
``--rehearse`` goes through all of it on a CPU, at a tiny size, recorded in software: it shows that
the script works, and its times mean nothing.
"""

import argparse
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.search.by_faiss import most_places
from nsbench.benchmarks.training.replay.capture import Captured
from nsbench.benchmarks.training.replay.side_by_side import Turn
from tools.timing._compare import PLACE, keep, place
from tools.timing._device_steps import (
    Size,
    interleaved,
    left_over,
    losses_of,
    no_waiting,
    open_training,
    synchronised,
    trainer_seconds,
)
from tools.timing.gpu_faiss import faiss_checks, faiss_rows
from tools.timing.gpu_search import interpret, search_checks, search_rows
from tools.timing.tape import SOFTWARE, modes

GPU = "gpu.csv"
TABLE = "table.txt"
COLUMNS = (
    *("job", "how", "batch", "tokens", "beside", "ms_per_step", "sentences_per_second"),
    *("tflops", "share_of_product_rate", "times_eager", "threads", "device", *PLACE),
)
MINILM = Size("MiniLM-L6", layers=6, width=384, heads=12, inner=1536)
BERT = Size("BERT-base", layers=12, width=768, heads=12, inner=3072)
SMALL = Size("small", layers=2, width=32, heads=4, inner=64, words=1024, rows=120)
WARM, TIMED = 22, 40  # the third measured step, 20, is the one that is recorded
PARTS = ("checks", "search_checks", "steps", "trainer", "faiss", "search")
TOKENS = (16, 32)


@dataclass(frozen=True)
class Check:
    """A condition and its outcome; ``passed`` is ``None`` if it was not tried."""

    name: str
    passed: bool | None
    text: str

    def line(self) -> str:
        """As one line of text."""
        word = {True: "ok", False: "FAILED", None: "not tried"}[self.passed]
        return f"{word:9}  {self.name}: {self.text}"


class Bench:
    """Everything for one device.

    Args:
        device: Where; a CPU for a rehearsal.
        seconds: After so many no further row is begun.
        out: Folder that keeps rows and table.
    """

    def __init__(self, device: torch.device, seconds: float, out: Path | None = None) -> None:
        self.out = out
        self.device, self.rehearsal = device, device.type != "cuda"
        self.recorded = SOFTWARE if self.rehearsal else "graph"
        self.until = time.perf_counter() + seconds
        self.rows: list[dict[str, Any]] = []
        self.checks: list[Check] = []
        self.product_rate = 0.0

    def left(self) -> bool:
        """Return whether there is time for another row."""
        return time.perf_counter() < self.until

    def check(self, name: str, act: Callable[[], str]) -> None:
        """Try one thing; what it raises is what was seen."""
        if not self.left():
            self.checks.append(Check(name, None, "no time left"))
            return
        try:
            self.checks.append(Check(name, True, act()))
        except ModuleNotFoundError as error:
            self.checks.append(Check(name, None, str(error)))
        except Exception as error:
            traceback.print_exc()
            self.checks.append(Check(name, False, f"{type(error).__name__}: {error}"[:300]))
        self._saved(self.checks[-1].line())

    def _saved(self, line: str) -> None:
        """Say one line, and write everything so far."""
        sys.stderr.write(line + "\n")
        if self.out:
            keep(self.out / GPU, self.rows, COLUMNS, "job")
            write_atomically(self.out / TABLE, self.table())

    def check_all(self) -> None:
        """All checks of the training step."""
        for name, given in CHECKED.items():
            self.check(f"recorded = one by one, {name}", partial(self._same, given))
        self.check("side by side = alone", self._beside)
        self.check("a device = the CPU", self._as_on_cpu)
        self.check("trainings that have ended hold nothing", self._freed)

    def check_search(self) -> None:
        """All checks of search."""
        found = search_checks(self.device, small=self.rehearsal, no_waiting=no_waiting)
        for name, act in found.items():
            self.check(name, act)

    def faiss(self) -> None:
        """Search and k-means by faiss, checked and timed, where it can use the device."""
        try:
            most_places(self.device)
        except (ModuleNotFoundError, ValueError) as error:
            self._row("faiss", "", note=f"not measured: {error}")
            return
        for name, act in faiss_checks(self.device).items():
            self.check(name, act)
        self._all("faiss", partial(faiss_rows, self.device, small=self.rehearsal))

    def _same(self, given: dict[str, Any]) -> str:
        given = {"guard": no_waiting, "steps": 16 if self.rehearsal else 32} | given
        with modes(self.recorded):
            one = losses_of(self.device, SMALL, one_by_one=True, **given)
            two = losses_of(self.device, SMALL, **given)
        apart = max(abs(a - b) for a, b in zip(one.losses, two.losses, strict=True))
        if not (two.replayed and apart <= 1e-5):
            raise AssertionError(f"{two.replayed} steps replayed, losses {apart:.1e} apart")
        return f"{two.replayed} of {len(two.losses)} steps replayed, losses {apart:.1e} apart"

    def _beside(self) -> str:
        with modes(self.recorded):
            given: dict[str, Any] = {"view": "dropout", "steps": 16}
            alone = [losses_of(self.device, SMALL, seed=s, **given) for s in (1, 2, 3)]
            beside = interleaved(self.device, SMALL, seeds=(1, 2, 3), **given)
        pairs = zip(alone, beside, strict=True)
        apart = max(abs(a - b) for p, q in pairs for a, b in zip(p.losses, q.losses, strict=True))
        if apart > 1e-5:
            raise AssertionError(f"losses {apart:.1e} apart")
        return f"losses of three trainings {apart:.1e} apart"

    def _as_on_cpu(self) -> str:
        with modes("never"):
            given: dict[str, Any] = {"precision": "fp32", "steps": 8, "dropout": 0.0}
            here = losses_of(self.device, SMALL, **given)
            there = losses_of(torch.device("cpu"), SMALL, **given)
        apart = max(abs(a - b) for a, b in zip(here.losses, there.losses, strict=True))
        if apart > 1e-3:
            raise AssertionError(f"losses {apart:.1e} apart")
        return f"losses of the first 8 steps {apart:.1e} apart"

    def _freed(self) -> str:
        with modes(self.recorded):
            first, *_, last = left_over(self.device, SMALL)
        if last > first:
            raise AssertionError(f"{first} bytes after the first, {last} after the third")
        return f"{last} bytes after the first and after the third"

    def measure_limits(self) -> None:
        """Rate of a matrix product and of a copy."""
        n, kind = (256, torch.float32) if self.rehearsal else (8192, torch.bfloat16)
        a = torch.randn(n, n, device=self.device).to(kind)
        b = torch.randn(n, n, device=self.device).to(kind)
        seconds = self._best(lambda: a @ b)
        self.product_rate = 2 * n**3 / seconds / 1e12
        source = torch.empty((1 << 20) if self.rehearsal else (1 << 28), device=self.device)
        target = torch.empty_like(source)
        moved = 8 * source.numel() / self._best(lambda: target.copy_(source)) / 1e12
        note = f"product {n}^3 {kind}; copy {moved:.2f} TB/s"
        self._row("limits", "torch", note=note, tflops=f"{self.product_rate:.1f}")

    def _best(self, act: Callable[[], object]) -> float:
        seconds = []
        for _ in range(6):
            began = synchronised(self.device)
            act()
            seconds.append(synchronised(self.device) - began)
        return min(seconds)

    def _row(self, job: str, how: str, **more: Any) -> None:
        name = "cpu" if self.rehearsal else torch.cuda.get_device_name(self.device)
        shared = {"job": job, "how": how, "device": name, "threads": torch.get_num_threads()}
        self.rows.append(shared | place() | more)
        self._saved(self._line(self.rows[-1]))

    def steps(self, size: Size, batch: int, tokens: int) -> None:
        """Steps of one size: as they come, recorded, and side by side."""
        job = f"{size.name} step of {batch}, {tokens} tokens"
        ways = [("never", 1), (self.recorded, 1), (self.recorded, 4)]
        eager = 0.0
        for mode, beside in ways:
            how = {"never": "as they come"}.get(mode, mode)
            if not self.left():
                self._row(job, how, beside=beside, note="not measured: no time left")
                continue
            try:
                with modes(mode):
                    seconds, note = self._seconds(size, batch, tokens, beside)
            except Exception as error:
                traceback.print_exc()
                self._row(
                    job, how, beside=beside, note=f"FAILED {type(error).__name__}: {error}"[:200]
                )
                continue
            eager = eager or seconds
            done = 6 * size.weights * 2 * batch * tokens / seconds / 1e12
            self._row(
                job,
                how,
                batch=batch,
                tokens=tokens,
                beside=beside,
                ms_per_step=f"{1e3 * seconds:.3f}",
                sentences_per_second=f"{2 * batch / seconds:.0f}",
                tflops=f"{done:.3g}",
                share_of_product_rate=f"{done / self.product_rate:.3f}",
                times_eager=f"{eager / seconds:.2f}",
                note=note,
            )

    def _seconds(self, size: Size, batch: int, tokens: int, beside: int) -> tuple[float, str]:
        """Seconds of a step of one training, when several go on in turn, and what was replayed.

        Raises:
            RuntimeError: If steps were to be recorded, and none was replayed.
        """
        warm, timed = (4, 3) if self.rehearsal else (WARM, TIMED)
        turns = [Turn(self.device) for _ in range(beside)]
        under, runs = [], []
        for seed, turn in enumerate(turns, start=1):
            with turn.taken():
                made = open_training(
                    self.device, size, seed=seed, batch=batch, tokens=tokens, view="dropout"
                )
                under.append(iter(made))
                runs.append(made.run)

        def round_() -> None:
            for turn, training in zip(turns, under, strict=True):
                with turn.taken():
                    next(training)

        for _ in range(warm):
            round_()
        recorders = [run for run in runs if isinstance(run, Captured)]
        before = sum(run.replayed for run in recorders)
        began = synchronised(self.device)
        for _ in range(timed):
            round_()
        seconds = (synchronised(self.device) - began) / timed / beside
        if not recorders:
            return seconds, ""
        replayed = sum(run.replayed for run in recorders) - before
        if not replayed:
            raise RuntimeError("no step was replayed")
        return seconds, f"{replayed} of {timed * beside} steps replayed"

    def trainer(self, size: Size, batch: int, tokens: int) -> None:
        """The sentence-transformers trainer at the same work, where it can run."""
        job = f"{size.name} step of {batch}, {tokens} tokens"
        try:
            stamps = trainer_seconds(self.device, size, batch, tokens, 6 if self.rehearsal else 40)
        except ImportError as error:
            self._row(job, "sentence-transformers trainer", note=f"not measured: {error}")
            return
        seconds = statistics.median(stamps)
        self._row(
            job,
            "sentence-transformers trainer",
            batch=batch,
            tokens=tokens,
            ms_per_step=f"{1e3 * seconds:.3f}",
            sentences_per_second=f"{2 * batch / seconds:.0f}",
        )

    def search(self) -> None:
        """Exact search."""
        self._all("search", partial(search_rows, self.device, small=self.rehearsal))

    def _all(self, job: str, make: Callable[[], Iterable[dict[str, Any]]]) -> None:
        """Add rows as they are made; what fails is a row that says so."""
        if not self.left():
            self._row(job, "", note="not measured: no time left")
            return
        try:
            for row in make():
                self._row(**row)
        except Exception as error:
            traceback.print_exc()
            self._row(job, "", note=f"FAILED {type(error).__name__}: {error}"[:200])

    def table(self) -> str:
        """The checks and the rows, short."""
        lines = [check.line() for check in self.checks]
        lines.append(
            f"{'job':42} {'how':30} {'beside':>6} {'ms':>9} {'sent./s':>9} {'TFLOP/s':>8} "
            f"{'share':>6} {'x eager':>7}  note"
        )
        lines += map(self._line, self.rows)
        return "\n".join(lines) + "\n"

    @staticmethod
    def _line(row: Mapping[str, Any]) -> str:
        shown = {name: row.get(name, "") for name in COLUMNS}
        return (
            f"{shown['job']:42} {shown['how']:30} {shown['beside']!s:>6} "
            f"{shown['ms_per_step']:>9} {shown['sentences_per_second']:>9} "
            f"{shown['tflops']:>8} {shown['share_of_product_rate']:>6} "
            f"{shown['times_eager']:>7}  {shown['note']}"
        )


CHECKED: dict[str, dict[str, Any]] = {
    "transformer with dropout": {"view": "dropout"},
    "table, embedding dropout": {"encoder": "static", "view": "embedding_dropout"},
    "queue": {"pool": "queue", "params": {"size": 16}, "sampler": "random"},
    "attack": {"view": "adversarial"},
    "mined": {
        "pool": "corpus",
        "params": {"shortage": "fewer", "negatives": 2, "depth": 4},
        "sampler": "hard",
    },
    "made negatives": {"sampler": "mixed"},
    "distance weighted, both views cut": {"sampler": "distance_weighted", "view": "token_cutoff"},
}
"""Trainings on which recorded steps are checked."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check, time, print; 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=8.0, help="begin no row after so many")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to do")
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS, help="of a text")
    parser.add_argument("--out", type=Path, help=f"folder of {GPU} and {TABLE}")
    parser.add_argument(
        "--rehearse", action="store_true", help="on the CPU, tiny, times mean nothing"
    )
    given = parser.parse_args(arguments)
    if not given.rehearse and not torch.cuda.is_available():
        sys.stderr.write("torch sees no CUDA device here; --rehearse goes through it on a CPU\n")
        return 2
    device = torch.device("cpu" if given.rehearse else "cuda")
    if given.rehearse:
        torch.set_num_threads(1)
    interpret(device)
    bench = Bench(device, 60 * given.minutes * 0.9, given.out)
    bench.measure_limits()
    _do(bench, set(given.only), [16] if given.rehearse else given.tokens)
    sys.stdout.write(bench.table())
    return 1 if any(check.passed is False for check in bench.checks) else 0


def _do(bench: Bench, parts: Set[str], tokens: Sequence[int]) -> None:
    """Do some parts; rows that tell the most come first."""
    if "checks" in parts:
        bench.check_all()
    if "search_checks" in parts:
        bench.check_search()
    sizes, batch = ((SMALL,), 8) if bench.rehearsal else ((MINILM, BERT), 64)
    for count in tokens:
        for size in sizes:
            if "trainer" in parts:
                bench.trainer(size, batch, count)
            if "steps" in parts:
                bench.steps(size, batch, count)
    if "faiss" in parts:
        bench.faiss()
    if "search" in parts:
        bench.search()


if __name__ == "__main__":
    sys.exit(main())

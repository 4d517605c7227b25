"""Fair tuning: the same number of trials for every method, judged on dev, then fresh seeds.

Trials are cells that are scored on development data and on nothing else. When all methods have had
all of theirs, the best setting of each and its defaults are run on fresh seeds with the matrix's
own evaluation: the only place where test scores are read, each time with a line in
``test_reads.jsonl``, and after which the study is closed. Layout of a study's folder::

    <out>/study.json         what was asked
          trials.jsonl       one line a trial, as it ends: parameters, keys, dev score, seconds
          trials/            results folder of the trials, without test scores
          tuning.json        what was chosen for each method, written before any test is read
          test_reads.jsonl   one line for every test score that is about to be read
          runs/, matrix.json the fresh cells: an ordinary results folder

Each trial's draw is made from the study's seed and the trial's number, and a parameter gets the
same draws in all methods that have it. So a study that was cut short goes on as if it had not been,
and cells run side by side in worker processes. What takes no step runs first, and seeds come one
after the other, so that a study that was stopped has the same seeds of all methods.

Source: Sivaprasad et al. 2020, Optimizer benchmarking needs to account for hyperparameter tuning,
section 3 (equal budgets, and their size said). https://arxiv.org/abs/1910.11758
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nsbench.benchmarks.evaluation.mteb.tasks import resolve
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import canonical_json, pretty_json
from nsbench.benchmarks.matrix.config import MatrixConfig
from nsbench.benchmarks.matrix.tune_file import TuneConfig
from nsbench.benchmarks.records import CellPaths, ResultsFolder
from nsbench.benchmarks.records.cell import Cell, Planned, named
from nsbench.benchmarks.records.claims import claimed
from nsbench.benchmarks.records.local_task import OWN
from nsbench.benchmarks.records.names import CellNames
from nsbench.benchmarks.records.study import CHOSEN, LISTED, READ, TRIALS
from nsbench.benchmarks.runs.checking import check_study
from nsbench.benchmarks.runs.executors.base import (
    Ended,
    Job,
    OnStart,
    Request,
    finished,
    jobs_of_run,
    no_start,
    to_replace,
)
from nsbench.benchmarks.runs.executors.local import LocalPool, worker_count
from nsbench.benchmarks.runs.garbage import forget_failed
from nsbench.benchmarks.runs.pace import Pace
from nsbench.benchmarks.runs.reads import Reads
from nsbench.benchmarks.runs.study_cost import Known, as_here, in_hours, seconds_left, slower
from nsbench.benchmarks.runs.study_file import write_study
from nsbench.benchmarks.runs.trials import (
    DRAWN,
    Trial,
    append_line,
    before_failed,
    dev_score,
    drawn,
    ended_trials,
    in_words,
    skip_reason,
)
from nsbench.benchmarks.runs.tuned_methods import (
    Method,
    Values,
    chosen_methods,
    methods_of,
    trial_matrix,
    untrained,
)

Say = Callable[[str], None]
_Asked = tuple[Method, int, Values, list[Planned]]
DEFAULT, TUNED, UNTRAINED = "default", "tuned", "untrained"


class Study:
    """A tuning study in a folder.

    Args:
        config: What is asked.
        matrix: The matrix that is tuned.
        out: Its folder.
        say: Told what happens, one line at a time.
        only: Globs of methods that run, by their short or full names; the others are listed as
            missing. None: all run.
        workers: Worker processes; 0 for one per core, or one on a GPU.
        cache: Folder where cells share what takes long to compute; None for none.
        retry_failed: Run failed cells again, of trials and fresh ones.

    Attributes:
        failed: Cells of the study that have failed, once it has run.

    Raises:
        ConfigError: If the folder holds another study, or a glob fits no method.
        ValueError: As `check_study`.
    """

    def __init__(
        self,
        config: TuneConfig,
        matrix: MatrixConfig,
        out: Path,
        say: Say = lambda line: None,
        *,
        only: Sequence[str] = (),
        workers: int = 0,
        cache: Path | None = None,
        retry_failed: bool = False,
    ) -> None:
        self.config, self.matrix, self.out, self.say = config, matrix, out, say
        self._cache, self._retry = cache, retry_failed
        self._listed, self._reads = out / LISTED, Reads(out / READ)
        self.failed = 0
        self.folder, self.trials_folder = ResultsFolder(out), ResultsFolder(out / TRIALS)
        run = matrix.run
        self._request = Request(
            self.folder,
            device=run.device,
            threads=run.threads,
            workers=workers,
            time_limit=run.time_limit,
            on_note=say,
        )
        self.methods = methods_of(config, matrix)
        self.wanted = chosen_methods(self.methods, only)
        self.untrained = untrained(config, matrix, self.wanted)
        self._pace, self._before, self._slower = Pace(0), 0, 1.0
        check_study(config, matrix, self._request, self.wanted)
        self._open()

    def run(self, *, probe: bool = False) -> None:
        """Print the cost, run the trials that are missing, choose, then run the fresh cells.

        Args:
            probe: Run only what tells the cost: the untrained encoder and two trials, of which
                the first one loads data and libraries.

        Raises:
            ValueError: If another process runs this study.
        """
        with claimed(self.out / "claim", str(self.out)):
            self._run_all(probe)

    def _run_all(self, probe: bool) -> None:
        if self._retry:
            of = {record.key: record.status for _, record in self.trials_folder.records()[0]}
            ended = self.trials()
            self._keep(before_failed(ended, of), ended)
            for folder in (self.trials_folder, self.folder):
                forget_failed(folder)
        names = CellNames([planned.cell for planned in self.untrained])
        self._fresh([(UNTRAINED, p, names.method(p.cell)) for p in self.untrained])
        self._probe()
        self.say(self.cost())
        if probe:
            return
        self._tune(self.wanted, self.config.trials)
        self._compare(self._choose())

    def _probe(self) -> None:
        """Run the next two trials of a method alone: they tell what the others take here.

        Trials before them may have run on another machine.
        """
        before = self.trials()
        self._before = len(before)
        for method in self.wanted:
            own = [t for t in before if t.method == method.name]
            if len(own) < self.config.trials and not self._skip(method, own):
                self._tune([method], min(len(own) + 2, self.config.trials), workers=1)
                now = self.trials()[len(before) :]
                if not self._skip(method, own + now):
                    self._slower = slower(before, now)
                    return

    def cost(self, left: int | None = None) -> str:
        """Return in words what is still to run and how long it takes at the speed so far.

        Args:
            left: Fresh cells that are missing, once they are known.
        """
        done = self.trials()
        able = [
            m for m in self.wanted if not self._skip(m, [t for t in done if t.method == m.name])
        ]
        rows = [finished(self._paths(p, self.folder)) for p in self.untrained]
        scored = [r.seconds["total"] for r in rows if r is not None and r.status == "done"]
        known = Known(as_here(done, self._before, self._slower), scored, self._slower)
        trials, fresh = self.config.trials, 2 * len(self.config.fresh_seeds)
        if left is None:
            read = sum(r["setting"] != UNTRAINED for r in self._reads.rows())
            left = max(0, fresh * len(able) - read)
        seconds = seconds_left([m.name for m in able], known, trials, fresh, left)
        rest = in_hours(*seconds, known, worker_count(self._request))
        return (
            f"{len(able)} methods ({len(self.wanted) - len(able)} skipped, "
            f"{len(self.methods) - len(self.wanted)} not asked for) x {trials} trials, then "
            f"{fresh} fresh cells each at most: {rest}"
        )

    def trials(self) -> list[Trial]:
        """Every trial that has ended, in order; a line cut short counts as none."""
        return ended_trials(self._listed)

    def _open(self) -> None:
        asked = {
            "study": self.config.model_dump(mode="json", by_alias=True),
            "matrix": self.matrix.model_dump(mode="json", by_alias=True),
            "trials": {"drawn": DRAWN},
        }
        write_study(self.folder, asked)
        # Methods are named by what sets them apart, which a further block may change; trials under
        # a former name are listed again from their records.
        names, ended = {m.name for m in self.methods}, self.trials()
        self._keep([t for t in ended if t.method in names], ended)

    def _keep(self, trials: list[Trial], listed: list[Trial]) -> None:
        """Let the file of trials list these alone, out of those that it lists."""
        if len(trials) < len(listed):
            write_atomically(self._listed, "".join(t.line() for t in trials))

    def _tune(self, methods: Sequence[Method], trials: int, workers: int | None = None) -> None:
        """Run the trials that are missing; each is listed once all before it are."""
        asked: deque[_Asked] = deque()
        done = self.trials()
        for method in methods:
            ended = [t for t in done if t.method == method.name][: self.config.trials]
            for number in range(len(ended), 0 if self._skip(method, ended) else trials):
                values = drawn(method.space, number, size=self.config.trials, seed=self.config.seed)
                planned = self._cells(method, values, self.config.trial_seeds, trial=True)
                asked.append((method, number, values, planned))
        cells = [p for *_, planned in asked for p in planned]
        self._list_ended(asked)
        self._plan(self.trials_folder, "trials", [p.cell for p in cells])
        for _ in self._run(cells, self.trials_folder, workers=workers):
            self._list_ended(asked)

    def _list_ended(self, asked: deque[_Asked]) -> None:
        """Add the lines of those trials at the front that have ended; of a skipped method one."""
        while asked:
            method, number, values, planned = asked[0]
            found = [finished(self._paths(p, self.trials_folder)) for p in planned]
            records = [r for r in found if r is not None]
            if len(records) < len(found):
                return
            asked.popleft()
            keys, seconds = tuple(r.key for r in records), sum(r.seconds["total"] for r in records)
            trial = Trial(method.name, number, values, keys, dev_score(records), round(seconds, 3))
            append_line(self._listed, trial.line())
            if reason := skip_reason(records):
                self.say(f"{method.title} is skipped: {reason}")
                while asked and asked[0][0] is method:
                    asked.popleft()
                continue
            dev = f"dev {100 * trial.value:.2f} ({in_words(values)})"
            self.say(f"{method.title}, trial {number + 1}: {dev}{self._pace}")

    def _skip(self, method: Method, trials: list[Trial]) -> str:
        """Return why a method's cells are skipped, as far as is known yet; empty if they run."""
        if method.skip or not trials:
            return method.skip
        name, _ = named(method.axes["samplers"], "sampler")
        found = [finished(self.trials_folder.cell(name, key)) for key in trials[0].keys]
        if not any(found):  # a study that was unpacked has no records of its trials
            folder, fresh = self.folder, self.config.fresh_seeds[:1]
            cells = [p.cell for p in self._cells(method, {}, fresh, trial=False)]
            found = [finished(folder.cell(name, cell.key)) for cell in cells]
        return skip_reason([r for r in found if r is not None])

    def _choose(self) -> list[dict[str, Any]]:
        """The best trial of each method; the earliest of equals, so that defaults win ties."""
        ended = self.trials()
        chosen = [self._chosen(m, [t for t in ended if t.method == m.name]) for m in self.methods]
        families = [
            {"name": n, "tasks": [name for task in tasks for name in self._names(task)]}
            for n, tasks in self.config.families.items()
        ]
        written = {"schema": 2, "methods": chosen, "families": families}
        write_atomically(self.out / CHOSEN, pretty_json(written))
        self.trials_folder.matrix.unlink(missing_ok=True)  # none of its cells is to come
        return chosen

    def _names(self, task: str) -> list[str]:
        """Return what scores call a task of a family: itself, or the members of a group."""
        of_mteb = task != OWN and task in self.matrix.evaluation.tasks  # not local, not the data's
        return [r.name for r in resolve([task])] if of_mteb else [task]

    def _chosen(self, method: Method, trials: list[Trial]) -> dict[str, Any]:
        """Facts known of one method; one without a good trial keeps its defaults."""
        own = trials[: self.config.trials]
        fine = [t for t in own if math.isfinite(t.value)]
        best = max(fine, key=lambda t: (t.value, -t.number), default=None)
        values = best.values if best else {}
        default = self._cells(method, {}, self.config.fresh_seeds, trial=False)
        tuned = self._cells(method, values, self.config.fresh_seeds, trial=False)
        labels = default[0].cell.labels
        axes = ("sampler", "augmentation", "objective", "candidates", "encoder", "data")
        skip = self._skip(method, own)
        return {
            "method": method.name,
            **{axis: labels[axis] for axis in axes},
            "trials": len(own),
            "failed_trials": 0 if skip else len(own) - len(fine),
            "different_settings": len({canonical_json(t.values) for t in own}),
            "dev_default": own[0].value if own and math.isfinite(own[0].value) else None,
            "dev_tuned": best.value if best else None,
            "values": values,
            "skip": skip,
            "default": [p.cell.key for p in default],
            "tuned": [p.cell.key for p in tuned],
        }

    def _compare(self, chosen: list[dict[str, Any]]) -> None:
        """Run defaults and chosen settings on fresh seeds; test scores are read here."""
        cells: dict[str, tuple[int, str, Planned, str]] = {}
        later: set[str] = set()
        for method, row in zip(self.methods, chosen, strict=True):
            later |= set() if method in self.wanted else {*row[DEFAULT], *row[TUNED]}
            for kind, values in ((DEFAULT, {}), (TUNED, row["values"])):
                planned = self._cells(method, values, self.config.fresh_seeds, trial=False)
                for place, p in enumerate(planned):
                    cells.setdefault(p.cell.key, (place, kind, p, method.title))
        listed = [p.cell for p in self.untrained] + [p.cell for _, _, p, _ in cells.values()]
        self._plan(self.folder, "tuned", listed)
        by_place = sorted(cells.values(), key=lambda c: c[0])
        wanted = [(kind, p, title) for _, kind, p, title in by_place if p.cell.key not in later]
        read = self._reads.keys()
        self.say(self.cost(sum(p.cell.key not in read for _, p, _ in wanted)))
        self._fresh(wanted)
        ended = [finished(self._paths(p, self.folder)) for _, p, _ in wanted]
        ended += [record for _, record in self.trials_folder.records()[0]]
        self.failed = sum(r is not None and r.status == "failed" for r in ended)

    def _plan(self, folder: ResultsFolder, word: str, cells: Sequence[Cell]) -> None:
        """List cells in a folder's matrix file, which tells how many are to come."""
        config = self.matrix.model_dump(mode="json", by_alias=True)
        name = f"{self.matrix.name}, {word}"
        folder.write_matrix(name, config, [folder.listed(cell) for cell in cells])

    def _fresh(self, cells: Sequence[tuple[str, Planned, str]]) -> None:
        """Run cells with the matrix's own evaluation, each with its kind and its method's title."""
        told = {p.cell.key: (kind, title) for kind, p, title in cells}
        read = self._reads.keys()

        def log_read(job: Job) -> None:
            if (cell := job.planned.cell).key not in read:  # a job may start more than once
                read.add(cell.key)
                self._reads.add(told[cell.key][0], cell)

        for job, record in self._run([p for _, p, _ in cells], self.folder, log_read):
            if record is not None:
                kind, title = told[(cell := job.planned.cell).key]
                ended = f"{record.status} {record.reason}".rstrip()
                self.say(f"{title}, seed {cell.seed} ({kind}): {ended}{self._pace}")

    def _cells(
        self, method: Method, values: Values, seeds: tuple[int, ...], *, trial: bool
    ) -> list[Planned]:
        """The cells of one setting, one a seed; those of a trial have no test to be scored on."""
        matrix = trial_matrix(self.config, self.matrix) if trial else self.matrix
        return method.cells(matrix, values, seeds)

    def _run(
        self,
        planned: Sequence[Planned],
        folder: ResultsFolder,
        on_start: OnStart = no_start,
        workers: int | None = None,
    ) -> Iterator[Ended]:
        """Run the cells that have no record yet in worker processes; yield each as it ends."""
        missing = [p for p in planned if finished(self._paths(p, folder)) is None]
        run = self.matrix.run
        if folder is self.trials_folder:
            run = run.model_copy(update={"keep_weights": False})
        jobs = [to_replace(job) for job in jobs_of_run(missing, folder, run, cache=self._cache)]
        request = self._request if workers is None else replace(self._request, workers=workers)
        self._pace = Pace(len(jobs))
        if jobs:
            ended = LocalPool.of(request, run.table("local")).run(jobs, on_start)
            yield from self._pace.counted(ended)

    def _paths(self, planned: Planned, folder: ResultsFolder) -> CellPaths:
        return folder.cell(planned.cell.sampler.name, planned.cell.key)

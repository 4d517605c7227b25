"""mteb's tasks by name: which there are, which are here, and their data, loaded once.

Names are checked without data. Offline, ``datasets`` falls back to the copy of a repository that
was prepared last, of any revision; `missing_data` therefore compares revisions itself and
takes another one for missing.
"""

import importlib
import itertools
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nsbench.benchmarks import hub
from nsbench.benchmarks.data import Pairs
from nsbench.benchmarks.data.sts_unlabelled import SOURCES, STS7
from nsbench.benchmarks.evaluation.mteb.adapter import contained, installed, mteb_module, version
from nsbench.benchmarks.evaluation.mteb.local import mteb_task
from nsbench.benchmarks.evaluation.mteb.requests import (
    LoadedTask,
    Missing,
    MissingDataError,
    Named,
    PairTest,
    Request,
    TaskRequest,
)
from nsbench.benchmarks.records.local_task import OWN, LocalTask
from nsbench.samplers import UnknownNameError, suggest
from nsbench.samplers._cache import cached

GROUPS: Mapping[str, tuple[str, ...]] = {"STS7": STS7}
_HEX = frozenset("0123456789abcdef")


def resolve(names: Iterable[Named], languages: Sequence[str] = ("eng",)) -> tuple[Request, ...]:
    """Expand names of tasks, benchmarks and our own groups into tasks, in order, each once.

    No data are needed, and mteb is imported only for names beyond the seven STS.

    Args:
        names: ``STS12``, ``STS7``, ``MTEB(eng, v2)``, requests that name their subsets, or tasks
            of local files.
        languages: ISO 639-3 codes: of a multilingual task that is named alone, the subsets that
            hold no other language are taken.

    Raises:
        UnknownNameError: If mteb knows no such name, with the nearest right one.
        ValueError: If a task has no subset in the languages, or needs more than text; or if a
            local one is called like one of mteb's.
        ModuleNotFoundError: If mteb is not installed.
    """
    out: dict[Request, None] = {}
    for name in names:
        installed()
        if isinstance(name, LocalTask):
            _refuse_taken(name.name)
            found: Iterable[Request] = (name,)
        elif isinstance(name, TaskRequest):
            found = (name,)
        elif name in GROUPS or name in STS7:
            found = (TaskRequest(n) for n in GROUPS.get(name, (name,)))
        else:
            found = _known(name, tuple(languages))
        out.update(dict.fromkeys(found))
    return tuple(out)


@cached(1)
def _task_classes() -> dict[str, Any]:
    registry = importlib.import_module(f"{mteb_module().__name__}.get_tasks")
    return {cls.metadata.name: cls for cls in registry.TASK_LIST}


@cached(1)
def _benchmarks() -> frozenset[str]:
    with contained():
        return frozenset(b.name for b in mteb_module().get_benchmarks())


def _refuse_taken(name: str, more: Container[str] = ()) -> None:
    if name in GROUPS or name in _task_classes() or name in more:
        raise ValueError(f"{name!r} is a task of mteb or a group of ours: call the local one else")


def refuse_benchmarks(names: Iterable[Named]) -> None:
    """Raise ValueError if a local task is called like a benchmark of mteb.

    Not part of `resolve`, which every worker calls: mteb takes seconds to make its benchmarks.
    """
    for task in names:
        if isinstance(task, LocalTask):
            _refuse_taken(task.name, _benchmarks())


@cached(256)
def _known(name: str, languages: tuple[str, ...]) -> tuple[TaskRequest, ...]:
    mteb, classes = mteb_module(), _task_classes()
    with contained():
        if name in classes:
            return (_in_languages(classes[name].metadata, languages),)
        try:
            benchmark = mteb.get_benchmark(name)
        except KeyError:
            names = sorted(_benchmarks())
        else:
            return tuple(_of_benchmark(task) for task in benchmark.tasks)
    hint = suggest(name, [*classes, *names, *GROUPS]).partition("Known:")[0]
    raise UnknownNameError(
        f"no evaluation task, benchmark or group is called {name!r}. {hint}mteb {version()} knows "
        f"{len(classes)} tasks and {len(names)} benchmarks (mteb available-tasks, mteb "
        f"available-benchmarks); our own groups: {', '.join(GROUPS)}."
    )


def _in_languages(metadata: Any, languages: tuple[str, ...]) -> TaskRequest:
    _only_text(metadata)
    if not metadata.is_multilingual or hasattr(metadata, "tasks"):
        return TaskRequest(metadata.name)
    subsets = tuple(
        subset
        for subset, scripts in metadata.hf_subsets_to_langscripts.items()
        if {script.partition("-")[0] for script in scripts} <= set(languages)
    )
    if not subsets:
        raise ValueError(
            f"the task {metadata.name!r} has no subset in {', '.join(languages)} alone; "
            f"its subsets are {', '.join(metadata.hf_subsets)}"
        )
    return TaskRequest(metadata.name, subsets)


def _of_benchmark(task: Any) -> TaskRequest:
    _only_text(task.metadata)
    several = task.metadata.is_multilingual and not hasattr(task.metadata, "tasks")
    subsets = tuple(task.hf_subsets) if several else None
    splits = tuple(task.eval_splits)
    own = splits == tuple(task.metadata.eval_splits)
    return TaskRequest(task.metadata.name, subsets, None if own else splits)


def _only_text(metadata: Any) -> None:
    others = sorted(set(metadata.modalities) - {"text"})
    if others:
        raise ValueError(f"the task {metadata.name!r} needs {', '.join(others)}, not text alone")


def _task(request: TaskRequest) -> Any:
    """A fresh task object; call it inside `contained`."""
    try:
        return mteb_module().get_task(
            request.name,
            hf_subsets=list(request.subsets) if request.subsets else None,
            eval_splits=list(request.splits) if request.splits else None,
        )
    except KeyError:
        legal = _task_classes()
        hint = suggest(request.name, legal).partition("Known:")[0]
        raise UnknownNameError(f"mteb has no task {request.name!r}. {hint}") from None


def _atoms(task: Any) -> list[Any]:
    """The tasks of an aggregate, or the task itself."""
    parts = getattr(task.metadata, "tasks", None)
    return [task] if parts is None else [atom for part in parts for atom in _atoms(part)]


def missing_data(requests: Iterable[Request]) -> list[Missing]:
    """The data sets that are not in the cache, if the hub is switched off; loads no data.

    Online nothing is asked and the list is empty. Local files are read where they are named, see
    `nsbench.benchmarks.evaluation.local_tasks.evaluation_tasks`.
    """
    import datasets

    if not datasets.config.HF_HUB_OFFLINE:
        return []
    out: dict[Missing, None] = {}
    for request in requests:
        if isinstance(request, LocalTask):
            continue
        with contained():
            for name, path, revision, configs in _repositories(request):
                for config in configs:
                    reason = _why_missing(path, config, revision)
                    if reason:
                        out.setdefault(Missing(name, path, revision, reason))
                        break
    return list(out)


def _repositories(request: TaskRequest) -> Iterator[tuple[str, str, str, list[str | None]]]:
    """Task, repository, revision and configurations of each part of a task."""
    if request.name in STS7:  # known without mteb, whose import takes seconds
        source = SOURCES[STS7.index(request.name)][0]
        yield request.name, source.path, source.revision, [None]
        return
    for task in _atoms(_task(request)):
        data = task.metadata.dataset
        yield task.metadata.name, str(data["path"]), str(data.get("revision")), _configs(task)


def _configs(task: Any) -> list[str | None]:
    """Configurations of the repository that loading the task will ask for, as far as known."""
    bases = mteb_module().abstasks
    plain = type(task).load_data in (bases.AbsTask.load_data, bases.AbsTaskRetrieval.load_data)
    several = task.metadata.is_multilingual
    if not plain or task.fast_loading:
        return [None]
    if isinstance(task, bases.AbsTaskRetrieval):
        subsets = task.hf_subsets if several else ["default"]
        return ["corpus" if s == "default" else f"{s}-corpus" for s in subsets]
    return list(task.hf_subsets) if several else [task.metadata.dataset.get("name")]


def _why_missing(path: str, config: str | None, revision: str) -> str:
    """Reason that this machine cannot load the repository, or an empty string."""
    from datasets import load_dataset_builder
    from datasets.packaged_modules.cache.cache import Cache

    try:
        builder = load_dataset_builder(path, config, revision=revision)
    except (OSError, ValueError) as error:
        if "multiple" in str(error) and config is None:
            return ""  # several configurations are here; the task's own loader chooses
        named = f" (configuration {config})" if config else ""
        return f"is not in the cache{named} and {hub.why_off()}"
    exact = len(revision) == 40 and set(revision) <= _HEX
    if isinstance(builder, Cache) and exact and builder.hash != revision:
        return f"is not in the cache, which holds revision {builder.hash} instead"
    return ""


def unavailable(requests: Iterable[Request]) -> list[Missing]:
    """The data sets that cannot be had here: what is not in the cache is fetched from the hub.

    With the hub switched off this is `missing_data`, and nothing is fetched.
    """
    import datasets

    if datasets.config.HF_HUB_OFFLINE:
        return missing_data(requests)
    asked = list(requests)
    with hub.cache_only():
        wanted = [r for r in asked if isinstance(r, TaskRequest) and missing_data([r])]
    if wanted and not hub.answers():  # the libraries would go on asking
        hub.switch_off(silent=True)
        return missing_data(asked)
    return list(dict.fromkeys(m for request in wanted for m in _fetched(request)))


def _fetched(request: TaskRequest) -> list[Missing]:
    """Fetch the data of a task into the cache; those that the hub does not give."""
    out = []
    with contained():
        for task in _atoms(_task(request)):
            data = task.metadata.dataset
            try:
                task.load_data()
            except Exception as error:  # mteb's loaders raise anything
                told = str(error).strip().split("\n", 1)[0] or type(error).__name__
                reason = f"cannot be fetched from {hub.address()}: {told}"
                name, revision = task.metadata.name, str(data.get("revision"))
                out.append(Missing(name, str(data["path"]), revision, reason))
    return out


def refuse_missing(requests: Iterable[Request]) -> None:
    """Raise `MissingDataError` naming every data set that cannot be had, see `unavailable`."""
    missing = unavailable(requests)
    if missing:
        raise MissingDataError(_told(missing))


def _told(missing: Sequence[Missing]) -> str:
    """All of a few with repository and reason; of many every task, and that of the first."""
    start = f"{len(missing)} evaluation data sets are missing: "
    end = f": {hub.remedy()}" if hub.offline() else ""
    if len(missing) <= 3:
        return start + "; ".join(map(str, missing)) + end
    return f"{start}{', '.join(m.task for m in missing)}. The first: {missing[0]}{end}"


def absent_tasks(names: Iterable[Named]) -> tuple[str, ...]:
    """The tasks that cannot be scored here for want of data, see `unavailable`.

    Raises:
        MissingDataError: If that leaves none of several.
        ValueError: As `resolve`.
    """
    requests = resolve(name for name in names if name != OWN)
    missing = {request.name: unavailable([request]) for request in requests}
    if requests and all(missing.values()):
        raise MissingDataError(_told([m for found in missing.values() for m in found]))
    return tuple(name for name, found in missing.items() if found)


def scored(names: Iterable[Named], absent: Iterable[str] = ()) -> tuple[Request, ...]:
    """All tasks of a cell but the absent ones and the tests of its data set."""
    out = set(absent)
    return tuple(r for r in resolve(n for n in names if n != OWN) if r.name not in out)


@cached(64)
def load(request: Request) -> LoadedTask:
    """Load a task's data, once per process.

    Raises:
        MissingDataError: If the data are not in the cache and cannot be fetched.
        ValueError: If the data lack a split that was asked for, or a local file cannot be read.
    """
    refuse_missing([request])
    with contained():
        task = mteb_task(request) if isinstance(request, LocalTask) else _task(request)
        atoms = _atoms(task)
        sources = [f"{t.metadata.dataset['path']}@{t.metadata.revision}" for t in atoms]
        if atoms != [task]:  # an aggregate; its parts load their own data
            return LoadedTask(request.name, task, " ".join(sources), (), {})
        if not isinstance(request, LocalTask):
            task.load_data()
        subsets = task.hf_subsets or ["default"]
        parts = [(split, subset) for subset in subsets for split in task.eval_splits]
        n_examples = {part: _rows(part_of(task, *part)) for part in parts}
        tests = tuple(_pair_test(task, *part) for part in parts if _is_text_sts(task))
    return LoadedTask(request.name, task, sources[0], tests, n_examples)


def texts(loaded: LoadedTask, limit: int = 200_000) -> tuple[str, ...]:
    """The texts that a task of any layout is scored on: strings of two words or more.

    Args:
        loaded: The task; an aggregate has no texts.
        limit: Most texts to take, the first ones.
    """
    found = (part_of(loaded.task, *part) for part in loaded.n_examples)
    return tuple(itertools.islice((t for data in found for t in _strings(data)), limit))


def _strings(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        if len(data.split()) > 1:
            yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _strings(value)
    elif isinstance(data, Iterable):  # a list, or a data set of rows
        for item in data:
            yield from _strings(item)


def part_of(task: Any, split: str, subset: str) -> Any:
    """Return the rows of one split and subset.

    Raises:
        ValueError: If the task has no such split.
    """
    data = task.dataset.get(subset, task.dataset if subset == "default" else {})
    if split not in data:
        raise ValueError(
            f"the task {task.metadata.name!r} has no split {split!r}. {suggest(split, data)}"
        )
    return data[split]


def _is_text_sts(task: Any) -> bool:
    """Return whether a task is scored as by mteb's ``AbsTaskSTS``, on two text columns."""
    base = mteb_module().abstasks.AbsTaskSTS
    untouched = ("evaluate", "_evaluate_subset", "_calculate_scores", "_normalize")
    return (
        isinstance(task, base)
        and all(getattr(type(task), name) is getattr(base, name) for name in untouched)
        and all(isinstance(column, str) for column in task.column_names)
    )


def _pair_test(task: Any, split: str, subset: str) -> PairTest:
    data = part_of(task, split, subset)
    first, second = task.column_names
    span = task.max_score - task.min_score
    # A column of `datasets` is read at once as a slice; row by row it takes 30 times as long.
    one, two, scores = (data[column][:] for column in (first, second, "score"))
    gold = tuple((float(x) - task.min_score) / span for x in scores)
    pairs = Pairs(task.metadata.name, tuple(one), tuple(two), gold)
    return PairTest(split, subset, pairs)


def _rows(data: Any) -> int:
    if isinstance(data, Mapping):  # retrieval
        return len(data["queries"])
    kinds = [type(value) for value in data[0].values()] if len(data) else []
    if list in kinds and str not in kinds:  # older tasks pack many texts into a row of lists
        column = next(name for name, value in data[0].items() if isinstance(value, list))
        return sum(len(values) for values in data[column])
    return len(data)

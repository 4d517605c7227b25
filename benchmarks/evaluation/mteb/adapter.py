"""The one place that imports mteb: its encoder protocol, its runs and its files.

mteb is imported on first use, which takes seconds. Two of its habits are kept out of our process:
importing it and making a task re-seed the global generators of Python, numpy and torch (they are
put back here), and task objects carry a generator that a first evaluation moves on (every
evaluation gets a copy of the task as it was after loading).
"""

import atexit
import copy
import datetime
import importlib.util
import os
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nsbench.benchmarks.evaluation.mteb.by_query import by_query
from nsbench.benchmarks.evaluation.mteb.columns import with_lists
from nsbench.benchmarks.evaluation.ranking import QueryScores
from nsbench.benchmarks.hub import errors_only
from nsbench.benchmarks.records import Score
from nsbench.benchmarks.records.shared import no_collection
from nsbench.samplers._cache import cached

if TYPE_CHECKING:
    from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel
    from nsbench.benchmarks.evaluation.mteb.requests import LoadedTask

Engine = Literal["own", "mteb"]
Encode = Callable[..., NDArray[np.float32]]

KEPT_METRICS = (
    "cosine_spearman",
    "cosine_pearson",
    "euclidean_spearman",
    "manhattan_spearman",
    "accuracy",
    "f1",
    "v_measure",
    "ndcg_at_10",
    "mrr_at_10",
    "recall_at_10",
    "recall_at_100",
)

FIRST = 10
"""Candidates whose order is looked at for ties: those of nDCG@10."""
EQUAL = 1e-6
"""Cosines that differ by no more are equal but for rounding."""


@dataclass(frozen=True)
class TaskOutcome:
    """Scores of one checkpoint on one task.

    Attributes:
        name: mteb's name of the task.
        engine: Engine that computed them.
        source: ``repository@revision`` of the data.
        result: mteb's ``TaskResult``.
        scores: The rows kept of it.
        seconds: Wall time, loading of the data not counted.
        queries: Of a retrieval task, the scores of each query by split and subset.
    """

    name: str
    engine: Engine
    source: str
    result: Any = field(repr=False)
    scores: tuple[Score, ...]
    seconds: float
    queries: tuple[QueryScores, ...] = ()


def installed() -> None:
    """Raise ``ModuleNotFoundError`` with what to do, unless mteb is installed; imports nothing."""
    try:
        found = importlib.util.find_spec("mteb") is not None
    except ValueError:  # someone put None into sys.modules
        found = False
    if not found:
        raise ModuleNotFoundError("mteb's tasks need mteb: pip install 'mteb>=2.26,<2.27'")


@contextmanager
def contained() -> Iterator[None]:
    """Put the global generators back afterwards, and keep warnings, logs and bars in."""
    import torch

    python = random.getstate()
    numpy = np.random.get_state()  # noqa: NPY002 (mteb seeds the legacy generator)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(list(devices)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _hushed():
                yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002 (see above)


@contextmanager
def _hushed() -> Iterator[None]:
    """No progress bars, and no log lines below an error, from mteb and datasets."""
    from datasets import utils

    bars = utils.are_progress_bars_disabled()
    if not bars:
        utils.disable_progress_bars()
    try:
        with errors_only("mteb"), errors_only("datasets"):
            yield
    finally:
        if not bars:
            utils.enable_progress_bars()


@cached(1)
def mteb_module() -> Any:
    """Import mteb once.

    mteb makes the folder ``MTEB_CACHE`` while it is imported; where that is not set, a temporary
    one is made and set for this process.

    Raises:
        ModuleNotFoundError: If mteb is not installed.
        OSError: If the folder cannot be written.
    """
    installed()
    if not os.environ.get("MTEB_CACHE"):
        folder = tempfile.mkdtemp(prefix="nsbench-mteb-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ["MTEB_CACHE"] = folder
    try:
        with contained(), no_collection():
            import mteb
    except OSError as error:
        where = os.environ["MTEB_CACHE"]
        raise OSError(f"mteb needs a writable folder, MTEB_CACHE is {where!r}: {error}") from None
    return mteb


def version() -> str:
    """Version of the installed mteb."""
    return str(mteb_module().__version__)


class MtebEncoder:
    """mteb's ``EncoderProtocol`` over a function from texts to embeddings; cosine similarity.

    Its name and revision are the model's: mteb's result cache is keyed by nothing else, and
    answers for one local checkpoint with another's numbers when they are left empty.

    Args:
        model: The checkpoint.
        encode: Texts to ``(n, d)``, a `SentenceCache` of the model; given a role and a prompt too
            for a model to which they make a difference.

    Attributes:
        mteb_model_meta: Name, revision and dimension as mteb's ``ModelMeta``.
        ranked: Rows of candidates that were scored.
        tied: Rows in which equal scores leave open which candidates are the first `FIRST`, or in
            which order: mteb then goes by their ids.
    """

    def __init__(self, model: "EvaluatedModel", encode: Encode) -> None:
        self._model, self._encode = model, encode
        self.mteb_model_meta = model_meta(model)
        self.ranked = 0
        self.tied = 0

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **kwargs: Any,
    ) -> NDArray[np.float32]:
        """Embed the texts of a data loader, with the prompt that mteb would choose.

        Returns:
            ``(n, d)``.
        """
        role, prompt = asked(self._model, task_metadata, prompt_type)
        texts = [text for batch in inputs for text in batch["text"]]
        return (
            self._encode(texts, role, prompt)
            if (role, prompt) != ("", None)
            else self._encode(texts)
        )

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """``(n, m)`` cosines; rows whose first candidates tie are counted."""
        from mteb.similarity_functions import cos_sim

        found = cos_sim(embeddings1, embeddings2)
        if found.ndim == 2 and found.shape[1] > 1:
            best = found.topk(min(FIRST + 1, found.shape[1]), dim=1).values
            self.ranked += len(best)
            self.tied += int(((best[:, :-1] - best[:, 1:]) <= EQUAL).any(dim=1).sum())
        return found

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """``(n,)`` cosines of corresponding rows."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)


def asked(
    model: "EvaluatedModel", task_metadata: Any, prompt_type: Any = None
) -> tuple[str, str | None]:
    """Role and prompt with which mteb encodes the texts of a task.

    As in mteb's wrapper of sentence-transformers models: of the model's prompts whose names are
    tasks, kinds of tasks or roles, the most specific one; else the model's own for the role.

    Args:
        model: The checkpoint.
        task_metadata: Of mteb's task.
        prompt_type: mteb's ``PromptType``, ``None`` for texts without a role.
    """
    if model.encode_as is None:
        return "", None
    mteb_module()
    from mteb.models.abs_encoder import get_prompt_name

    role = str(getattr(prompt_type, "value", prompt_type) or "")
    known = _known_prompts(tuple(sorted(model.prompts.items())))
    name = get_prompt_name(known, task_metadata, prompt_type)
    return role, None if known is None or name is None else known.get(name)


@cached(8)
def _known_prompts(prompts: tuple[tuple[str, str], ...]) -> dict[str, str] | None:
    """Of some prompts those whose names mean something to mteb; ``None`` for no prompts at all."""
    from mteb.models.abs_encoder import AbsEncoder

    with contained():
        found = AbsEncoder.validate_task_to_prompt_name(
            dict(prompts) or None, raise_for_invalid_keys=False
        )
    known: dict[str, str] | None = found[0]
    return known


def asked_of_pairs(
    model: "EvaluatedModel", task: Any
) -> tuple[tuple[str, str | None], tuple[str, str | None]]:
    """Role and prompt of the first and of the second texts of a task of pairs."""
    kinds = (getattr(task, f"input{side}_prompt_type", None) for side in (1, 2))
    first, second = (asked(model, task.metadata, kind) for kind in kinds)
    return first, second


def model_meta(model: "EvaluatedModel") -> Any:
    """A checkpoint as mteb's ``ModelMeta``: its name, and its weights' hash as revision."""
    mteb_module()
    from mteb.models.model_meta import ModelMeta, ScoringFunction

    return ModelMeta.create_empty(
        {
            "name": model.name,
            "revision": model.revision,
            "embed_dim": model.dimension,
            "similarity_fn_name": ScoringFunction.COSINE,
            "framework": ["PyTorch"],
            "use_instructions": False,
        }
    )


def run(loaded: "LoadedTask", encoder: Any, *, batch_size: int = 256) -> TaskOutcome:
    """Score a task by mteb's own unmodified code; the encoder makes its batches itself."""
    mteb = mteb_module()
    began = time.perf_counter()
    with contained():
        task = copy.copy(loaded.task)
        task.rng_state = copy.deepcopy(loaded.task.rng_state)
        task.np_rng = copy.deepcopy(loaded.task.np_rng)
        task.dataset = with_lists(task.dataset)
        queries = by_query(task)
        result = mteb.evaluate(
            encoder,
            task,
            cache=None,
            co2_tracker=False,
            raise_error=True,
            show_progress_bar=False,
            encode_kwargs={"batch_size": batch_size, "show_progress_bar": False},
        ).task_results[0]
    outcome = _outcome(loaded, "mteb", result, time.perf_counter() - began)
    return replace(outcome, queries=tuple(queries))


def own_outcome(
    loaded: "LoadedTask", metrics: Sequence[Mapping[str, float]], seconds: float
) -> TaskOutcome:
    """Wrap metrics of our engine, one mapping a pair test, as mteb would have reported them."""
    mteb_module()
    from mteb.results import TaskResult

    scores: dict[str, dict[str, dict[str, float]]] = {}
    for test, values in zip(loaded.pair_tests, metrics, strict=True):
        main = values[loaded.task.metadata.main_score]
        scores.setdefault(test.split, {})[test.subset] = {**values, "main_score": main}
    now = datetime.datetime.now(tz=datetime.UTC)
    result = TaskResult.from_task_results(loaded.task, scores, evaluation_time=seconds, date=now)
    return _outcome(loaded, "own", result, seconds)


def _outcome(loaded: "LoadedTask", engine: Engine, result: Any, seconds: float) -> TaskOutcome:
    main = loaded.task.metadata.main_score
    rows: list[Score] = []
    for split, entries in result.scores.items():
        for entry in entries:
            subset = entry["hf_subset"]
            n = loaded.n_examples.get((split, subset), 0)
            kept = {m: entry[m] for m in KEPT_METRICS if isinstance(entry.get(m), int | float)}
            kept[main] = entry["main_score"]
            rows.extend(
                Score(loaded.name, split, subset, metric, float(value), n, metric == main)
                for metric, value in sorted(kept.items())
            )
    return TaskOutcome(loaded.name, engine, loaded.source, result, tuple(rows), seconds)


def write_results(
    model: "EvaluatedModel", outcomes: Iterable[TaskOutcome], folder: Path
) -> list[Path]:
    """Write ``<folder>/results/<model>/<revision>/<Task>.json`` as mteb lays them out.

    mteb's ``ResultCache(folder)`` reads them back. ``run_settings.jsonl`` names the engine of
    each.

    Returns:
        The files, one a task.
    """
    cache = mteb_module().ResultCache(folder)
    meta = model_meta(model)
    paths = []
    for outcome in outcomes:
        cache.save_to_cache(outcome.result, meta, encode_kwargs={"engine": outcome.engine})
        paths.append(Path(cache.get_task_result_path(outcome.name, meta)))
    return paths

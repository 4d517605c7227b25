"""mteb's own mock tasks, of every kind for texts: `nsbench evaluate` gives what plain mteb gives.

The model has prompts for roles and for kinds of tasks, and treats queries and documents apart.
"""

import functools
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_models import body, module, save_modules

from nsbench.analysis.read.load import load_results
from nsbench.benchmarks.evaluation.mteb import adapter, tasks
from nsbench.benchmarks.runs.external import evaluate
from tools.plain_mteb import plain_scores

PROMPTS = {
    "query": "the cat ",
    "document": "two dogs ",
    "STS": "on ",
    "Classification": "never ",
    "Clustering": "rain ",
}

IN_NO_LANGUAGE = "MockMultilingualParallelBitextMiningTask"
"""Between languages: it has no subset in English alone."""


@functools.cache
def mocks() -> dict[str, Any]:
    """Every mock task for texts alone, by name."""
    adapter.mteb_module()
    with adapter.contained():
        found = importlib.import_module("mteb.mocks.mock_tasks")
    classes = [c for _, c in inspect.getmembers(found, inspect.isclass) if hasattr(c, "metadata")]
    return {c.metadata.name: c for c in classes if set(c.metadata.modalities) == {"text"}}


def cases() -> Iterator[Any]:
    """Their names; those of several languages, of the same kinds, are slow."""
    for name in sorted(set(mocks()) - {IN_NO_LANGUAGE}):
        yield pytest.param(name, marks=[pytest.mark.slow] if "Multilingual" in name else [])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    layers = body(folder), module("Pooling", embedding_dimension=16)
    save_modules(folder, *layers, prompts=PROMPTS, default_prompt_name=None)
    return folder


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let mteb know its mocks, whose data are made and not fetched."""
    registry = importlib.import_module("mteb.get_tasks")
    monkeypatch.setattr(registry, "_TASKS_REGISTRY", registry._TASKS_REGISTRY | mocks())
    monkeypatch.setattr(tasks, "_task_classes", lambda: registry._TASKS_REGISTRY)
    monkeypatch.setattr(tasks, "missing_data", lambda requests: [])


@pytest.mark.parametrize("name", [*cases()])
@pytest.mark.usefixtures("registered")
def test_a_mock_task_scores_as_with_plain_mteb(name: str, model: Path, tmp_path: Path) -> None:
    import sentence_transformers as st

    (record,) = evaluate([str(model)], tmp_path / "out", tasks=[name], device="cpu")
    assert record.status == "done", record.reason
    rows = load_results([tmp_path / "out"]).scores
    ours = rows.loc[rows["main"], "value"].mean()
    (request,) = tasks.resolve([name])
    with adapter.contained():
        task = tasks._task(request)
        task.load_data()
        plain = st.SentenceTransformer(str(model), device="cpu")
        theirs = plain_scores(plain, [task])[name]
    assert ours == pytest.approx(theirs, abs=1e-5)


@pytest.mark.usefixtures("registered")
def test_a_task_between_languages_is_refused_with_its_subsets(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no subset in eng alone; its subsets are eng_Latn-fra"):
        evaluate([str(model)], tmp_path / "out", tasks=[IN_NO_LANGUAGE], device="cpu")


def test_every_kind_of_task_for_texts_has_a_mock() -> None:
    kinds = {c.metadata.type for c in mocks().values()}
    assert {"STS", "Classification", "Clustering", "PairClassification", "Reranking"} <= kinds
    assert {"Retrieval", "BitextMining", "Summarization", "MultilabelClassification"} <= kinds

"""The adapter on real tasks; these need the data in the Hugging Face cache and skip without."""

import os
import random

import numpy as np
import pytest
import torch
from running import python

from nsbench.benchmarks.evaluation.checkpoint import EvaluatedModel, SentenceCache
from nsbench.benchmarks.evaluation.evaluate import check_dev, evaluate, evaluate_dev
from nsbench.benchmarks.evaluation.metrics import pair_metrics
from nsbench.benchmarks.evaluation.mteb import adapter as mteb_adapter
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.evaluation.mteb.requests import TaskRequest
from nsbench.benchmarks.evaluation.mteb.tasks import STS7
from nsbench.samplers._cache import clear_caches

PUBLISHED = {
    "STS12": 72.37,
    "STS13": 80.60,
    "STS14": 75.59,
    "STS15": 85.39,
    "STS16": 78.99,
    "STSBenchmark": 82.03,
    "SICK-R": 77.58,
}


def static(seed=0, d=64, buckets=4096):
    """A static encoder: the mean of random vectors of hashed words; fast, and no two alike."""
    table = np.random.default_rng(seed).normal(size=(buckets, d)).astype(np.float32)
    digit = {}

    def encode(texts):
        rows = [
            [digit.setdefault(w, (len(digit) * 2654435761) % buckets) for w in t.split()] or [0]
            for t in texts
        ]
        return np.stack([table[r].mean(axis=0) for r in rows])

    return EvaluatedModel("nsbench/static", f"seed-{seed}", d, encode)


@pytest.mark.parametrize("name", ["STSBenchmark", "SICK-R"])
def test_our_engine_equals_mteb(name, need_tasks):
    need_tasks(name)
    model = static()
    own = evaluate(model, [name], engine="own", geometry=False)
    theirs = evaluate(model, [name], engine="mteb", geometry=False)
    assert own.info["engine"] == {name: "own"}
    assert theirs.info["engine"] == {name: "mteb"}
    assert own.info["source"] == theirs.info["source"]
    assert len(own.scores) == 4
    for a, b in zip(own.scores, theirs.scores, strict=True):
        assert (a.task, a.split, a.subset, a.metric, a.n_examples, a.main) == (
            *(b.task, b.split, b.subset, b.metric, b.n_examples, b.main),
        )
        assert a.value == pytest.approx(b.value, abs=1e-6)


def test_our_engine_reports_every_metric_of_mteb(need_tasks):
    need_tasks("STSBenchmark")
    model = static()
    loaded = mteb_tasks.load(TaskRequest("STSBenchmark"))
    cache = SentenceCache(model)
    theirs = mteb_adapter.run(loaded, mteb_adapter.MtebEncoder(model, cache)).result
    pairs = loaded.pair_tests[0].pairs
    metrics, _ = pair_metrics(cache(pairs.sentence1), cache(pairs.sentence2), pairs.score)
    own = mteb_adapter.own_outcome(loaded, [metrics], 1.0).result
    (ours,), (wanted,) = own.scores["test"], theirs.scores["test"]
    assert ours.keys() == wanted.keys()
    for key, value in wanted.items():
        assert ours[key] == (pytest.approx(value, abs=1e-6) if type(value) is float else value)
    assert own.dataset_revision == theirs.dataset_revision


def test_two_checkpoints_keep_their_own_scores_in_one_cache(tmp_path, need_tasks):
    need_tasks("STSBenchmark")
    mteb = mteb_adapter.mteb_module()
    cache = mteb.ResultCache(tmp_path)
    loaded = mteb_tasks.load(TaskRequest("STSBenchmark"))
    own, theirs = [], []
    for seed in (0, 1):
        model = static(seed)
        own.append(evaluate(model, ["STSBenchmark"], geometry=False).scores[1].value)
        encoder = mteb_adapter.MtebEncoder(model, SentenceCache(model))
        with mteb_adapter.contained():
            result = mteb.evaluate(encoder, loaded.task, cache=cache, co2_tracker=False)
        theirs.append(result.task_results[0].scores["test"][0]["main_score"])
    assert own[0] != own[1]
    assert theirs == pytest.approx(own, abs=1e-6)
    names = {p.parent.name for p in tmp_path.glob("results/nsbench__static/*/STSBenchmark.json")}
    assert names == {"seed-0", "seed-1"}


def test_results_are_written_in_mtebs_layout(tmp_path, need_tasks):
    need_tasks("STSBenchmark")
    found = [
        evaluate(static(s), ["STSBenchmark"], results=tmp_path, geometry=False) for s in (0, 1)
    ]
    mteb = mteb_adapter.mteb_module()
    for seed, evaluation in enumerate(found):
        path = tmp_path / "results" / "nsbench__static" / f"seed-{seed}" / "STSBenchmark.json"
        assert path.is_file()
        assert (path.parent / "model_meta.json").is_file()
        assert '"engine": "own"' in (path.parent / "run_settings.jsonl").read_text()
        read = mteb.ResultCache(tmp_path).load_task_result(
            "STSBenchmark", mteb_adapter.model_meta(static(seed))
        )
        main = next(s.value for s in evaluation.scores if s.main)
        assert read.scores["test"][0]["main_score"] == pytest.approx(main, abs=1e-6)


def test_checkpoints_are_chosen_on_the_validation_split(need_tasks):
    need_tasks("STSBenchmark")
    score = evaluate_dev(static(), "STSBenchmark")
    assert (score.split, score.metric, score.n_examples) == ("validation", "cosine_spearman", 1500)
    test = evaluate(static(), ["STSBenchmark"], geometry=False).scores
    assert score.value != next(s.value for s in test if s.main)
    check_dev("STSBenchmark")


def test_a_task_without_a_validation_split_is_refused_before_anything_trains(need_tasks):
    need_tasks("STS12")
    with pytest.raises(ValueError, match="'STS12' has no split 'validation'"):
        check_dev("STS12")
    with pytest.raises(ValueError, match="chosen on one task; 'STS7' is 7"):
        check_dev("STS7")


def test_other_tasks_go_to_mteb_and_do_not_depend_on_what_came_before(need_tasks):
    need_tasks("SIB200ClusteringS2S", "PoemSentimentClassification", "LIMITSmallRetrieval")
    tasks = ["SIB200ClusteringS2S", "PoemSentimentClassification", "LIMITSmallRetrieval"]
    first, second = (evaluate(static(), tasks, geometry=False) for _ in range(2))
    assert [repr(s) for s in first.scores] == [repr(s) for s in second.scores]
    assert first.info["engine"] == dict.fromkeys(tasks, "mteb")
    main = {s.task: s for s in first.scores if s.main and s.split == "test"}
    assert main["SIB200ClusteringS2S"].subset == "eng_Latn"
    assert main["PoemSentimentClassification"].n_examples == 104
    assert main["LIMITSmallRetrieval"].n_examples == 1000
    assert all(0 <= s.value <= 1 for s in first.scores)
    with pytest.raises(ValueError, match="scores STS tasks only, not PoemSentiment"):
        evaluate(static(), ["PoemSentimentClassification"], engine="own")


def test_the_global_generators_are_left_alone(need_tasks):
    need_tasks("PoemSentimentClassification")
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002 (the generator that mteb seeds)
    torch.manual_seed(7)
    expected = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    clear_caches("nsbench.benchmarks.evaluation.mteb.tasks.load")
    evaluate(static(), ["PoemSentimentClassification"], geometry=False)
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == expected  # noqa: NPY002


def test_importing_mteb_needs_no_writable_home_and_keeps_the_seed(tmp_path):
    code = """
import os, torch
from nsbench.benchmarks.evaluation.mteb import adapter as mteb_adapter
torch.manual_seed(3); a = torch.rand(1)
torch.manual_seed(3); mteb_adapter.version(); b = torch.rand(1)
assert a == b
print(os.environ["MTEB_CACHE"], os.path.isdir(os.environ["MTEB_CACHE"]))
"""
    environment = {k: v for k, v in os.environ.items() if k != "MTEB_CACHE"}
    environment |= {"HOME": "/nowhere", "TMPDIR": str(tmp_path)}
    out = python("-c", code, env=environment, check=True)
    folder, there = out.stdout.split()
    assert folder.startswith(str(tmp_path))
    assert there == "True"
    assert list(tmp_path.glob("nsbench-mteb-*")) == []  # gone with the process


def minilm():
    """The untrained all-MiniLM-L6-v2 through sentence-transformers, at its own length of 256."""
    library = pytest.importorskip("sentence_transformers")
    try:
        model = library.SentenceTransformer("sentence-transformers/all-MiniLM-L6-v2", device="cpu")
    except (OSError, ValueError) as error:
        pytest.skip(f"all-MiniLM-L6-v2 is not in the cache: {error}")

    def encode(texts):
        return model.encode(
            list(texts), batch_size=64, convert_to_numpy=True, show_progress_bar=False
        )

    return EvaluatedModel("sentence-transformers/all-MiniLM-L6-v2", "published", 384, encode)


@pytest.mark.slow
def test_minilm_reproduces_its_published_scores(need_tasks):
    need_tasks("STS7")
    found = evaluate(minilm(), ["STS7"])
    scores = {s.task: 100 * s.value for s in found.scores if s.main}
    assert list(scores) == list(STS7)
    assert scores == pytest.approx(PUBLISHED, abs=0.05)

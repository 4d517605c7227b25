"""Names, availability and loading of mteb's tasks; mteb itself is imported, data are not needed."""

import json
import sys

import pytest
from datasets import Dataset
from running import planned_of

from nsbench.benchmarks.evaluation import evaluate
from nsbench.benchmarks.evaluation.mteb import adapter as mteb_adapter
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.evaluation.mteb.requests import MissingDataError, TaskRequest
from nsbench.benchmarks.evaluation.mteb.tasks import STS7
from nsbench.benchmarks.export.cell import cell_from
from nsbench.samplers import UnknownNameError
from nsbench.samplers._cache import clear_caches


def test_groups_and_benchmarks_expand_to_tasks_each_once():
    names = evaluate.check_tasks(["STS12", "STS7", "MTEB(eng, v2)"])
    assert names[:7] == STS7
    assert len(names) == len(set(names)) == 41 + 1  # STS16 is not in MTEB(eng, v2)


def test_a_benchmark_keeps_its_own_subsets():
    requests = {r.name: r for r in mteb_tasks.resolve(["MTEB(eng, v2)"])}
    assert requests["STS17"] == TaskRequest("STS17", ("en-en",))
    assert requests["STS12"] == TaskRequest("STS12")


def test_a_multilingual_task_is_cut_to_english_unless_told_otherwise():
    assert mteb_tasks.resolve(["STS17"]) == (TaskRequest("STS17", ("en-en",)),)
    (german,) = mteb_tasks.resolve(["SIB200Classification"], languages=("deu",))
    assert german.subsets == ("deu_Latn",)
    asked = TaskRequest("STS17", ("en-de",))
    assert mteb_tasks.resolve([asked]) == (asked,)


@pytest.mark.parametrize(
    ("name", "near"),
    [("STS21", "STS"), ("sts7", "STS7"), ("STSBenchmrk", "STSBenchmark"), ("MTEB(eng v2)", "MTEB")],
)
def test_an_unknown_name_gets_the_nearest_right_one(name, near):
    with pytest.raises(UnknownNameError, match=rf"is called '.*'\. Did you mean '{near}") as found:
        evaluate.check_tasks([name])
    text = str(found.value)
    assert name in text
    assert "our own groups: STS7" in text
    assert len(text) < 400  # not the list of all 1,411


def test_a_task_of_another_language_or_modality_is_refused():
    with pytest.raises(ValueError, match="has no subset in eng alone; its subsets are"):
        evaluate.check_tasks(["IN22GenBitextMining"])
    with pytest.raises(ValueError, match="needs image"):
        evaluate.check_tasks(["STS12VisualSTS"])


def test_missing_mteb_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mteb>=2.26,<2.27'"):
        evaluate.check_tasks(["STS12"])
    assert evaluate.check_tasks([]) == ()


def test_the_adapter_is_written_for_this_mteb():
    assert mteb_adapter.version().startswith("2.26.")


@pytest.fixture
def empty_cache(monkeypatch, tmp_path):
    """A machine without data whose hub is switched off."""
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    clear_caches("nsbench.benchmarks.evaluation.mteb.tasks.load")
    yield tmp_path
    clear_caches("nsbench.benchmarks.evaluation.mteb.tasks.load")


def missing(*names):
    return list(map(str, mteb_tasks.missing_data(mteb_tasks.resolve(names))))


def test_missing_data_are_named_by_repository_and_revision(empty_cache):
    lines = missing("STS7", "SciFact")
    assert len(lines) == 8
    assert lines[0].startswith(
        "STS12: mteb/sts12-sts@a0d554a64d88156834ff5ae9920b964011b16384 is not in the cache"
    )
    assert "(configuration corpus)" in lines[-1]


def prepare(folder, revision, rows, config="default"):
    """Write a prepared data set the way ``load_dataset`` leaves one."""
    where = folder / "mteb___sts12-sts" / config / "0.0.0" / revision
    where.mkdir(parents=True)
    data = Dataset.from_dict(rows)
    data.info.config_name = config
    data.info.dataset_name = "sts12-sts"
    from datasets import DatasetInfo
    from datasets.arrow_writer import ArrowWriter
    from datasets.splits import SplitDict, SplitInfo

    with ArrowWriter(path=str(where / "sts12-sts-test.arrow")) as writer:
        writer.write_table(data.data.table)
    splits = SplitDict({"test": SplitInfo("test", num_examples=len(data))})
    DatasetInfo(
        features=data.features, splits=splits, config_name=config, dataset_name="sts12-sts"
    ).write_to_directory(str(where))


ROWS = {"sentence1": ["a", "b"], "sentence2": ["c", "d"], "score": [0.0, 5.0]}


def test_another_revision_in_the_cache_counts_as_missing(empty_cache):
    prepare(empty_cache, "f" * 40, ROWS)
    (line,) = missing("STS12")
    assert line.endswith(f"is not in the cache, which holds revision {'f' * 40} instead")
    with pytest.raises(MissingDataError, match="1 evaluation data sets are missing: STS12: mteb/"):
        mteb_tasks.load(TaskRequest("STS12"))


def test_the_right_revision_is_loaded_with_gold_scores_in_0_to_1(empty_cache):
    prepare(empty_cache, "a0d554a64d88156834ff5ae9920b964011b16384", ROWS)
    assert missing("STS12") == []
    loaded = mteb_tasks.load(TaskRequest("STS12"))
    (test,) = loaded.pair_tests
    assert (test.split, test.subset) == ("test", "default")
    assert test.pairs.sentence1 == ("a", "b")
    assert test.pairs.score == (0.0, 1.0)
    assert loaded.source == "mteb/sts12-sts@a0d554a64d88156834ff5ae9920b964011b16384"
    assert loaded.n_examples == {("test", "default"): 2}
    assert mteb_tasks.load(TaskRequest("STS12")) is loaded
    with pytest.raises(ValueError, match=r"has no split 'validation'\. Known: test"):
        mteb_tasks.load(TaskRequest("STS12", splits=("validation",)))


@pytest.mark.parametrize(
    ("rows", "n"),
    [
        ({"text": ["a", "b"], "label": [0, 1]}, 2),
        ({"text": ["a", "b"], "labels": [[0, 2], [1]]}, 2),  # several labels of one text
        ({"sentences": [["a", "b"], ["c"]], "labels": [[0, 1], [1]]}, 3),  # sets to cluster
        ({"sentence1": [["a"] * 4], "sentence2": [["b"] * 4], "labels": [[0] * 4]}, 4),
        ({"text": [], "label": []}, 0),
    ],
)
def test_packed_rows_count_as_what_they_hold(rows, n):
    assert mteb_tasks._rows(Dataset.from_dict(rows)) == n
    assert mteb_tasks._rows({"queries": ["q"] * 7, "corpus": ["c"]}) == 7


def test_online_nothing_is_asked(monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    assert missing("STS7") == []


def test_a_benchmark_is_scored_on_what_is_here(monkeypatch):
    """Tasks that are missing are named, left out on request, and part of what a cell is."""
    here = {"STS12", "STS13"}

    def missing(requests):
        found = [mteb_tasks.Missing(r.name, "mteb/x", "0" * 40, "is not here") for r in requests]
        return [m for m in found if m.task not in here]

    monkeypatch.setattr(mteb_tasks, "missing_data", missing)
    absent = mteb_tasks.absent_tasks(["own", "STS7"])
    assert absent == ("STS14", "STS15", "STS16", "STSBenchmark", "SICK-R")
    kept = mteb_tasks.scored(["own", "STS7"], absent)
    assert [r.name for r in kept] == ["STS12", "STS13"]
    with pytest.raises(MissingDataError, match="5 evaluation data sets are missing: STS14, STS15"):
        mteb_tasks.refuse_missing(mteb_tasks.resolve(["STS7"]))
    here.clear()
    with pytest.raises(MissingDataError, match=r"7 evaluation .*SICK-R\. The first: STS12: mteb/x"):
        mteb_tasks.absent_tasks(["STS7"])
    assert mteb_tasks.absent_tasks(["own"]) == ()


def test_tasks_left_out_are_part_of_the_key(monkeypatch, small):
    raw = small(evaluation={"tasks": ["STS7"], "missing": "skip"})
    monkeypatch.setattr(mteb_tasks, "missing_data", lambda requests: [])
    whole = planned_of(raw)[0].cell
    asked = small(evaluation={"tasks": ["STS7"]})
    assert planned_of(asked)[0].cell.key == whole.key
    monkeypatch.setattr(
        mteb_tasks, "missing_data", lambda requests: [r for r in requests if r.name == "STS16"]
    )
    part = planned_of(raw)[0].cell
    assert part.evaluation.absent == ("STS16",)
    assert part.key != whole.key
    assert cell_from(json.loads(json.dumps(part.plain()))) == part

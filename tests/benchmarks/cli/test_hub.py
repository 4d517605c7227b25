"""A hub that is there, one that is not, and one that refuses: over HTTP, against `hub_server`."""

import csv
import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_server
import pandas as pd
import pytest
import running
from running import HANG

from nsbench.benchmarks import hub
from nsbench.benchmarks.encoders import _sources
from nsbench.benchmarks.evaluation.mteb import tasks as mteb_tasks
from nsbench.benchmarks.export import push
from nsbench.benchmarks.export.cell import TASK_TYPES
from nsbench.benchmarks.matrix.config import names_hub, parse_config
from nsbench.samplers._cache import clear_caches

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SICKR = "20a6d6f312dd54037fe07a32d58e5e168867909d"  # of mteb's task SICK-R


@pytest.fixture(scope="module")
def server() -> Iterator[hub_server.Hub]:
    with hub_server.serve() as found:
        yield found


@pytest.fixture
def online(
    server: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> hub_server.Hub:
    """This process with the hub of the tests, an empty cache and no token."""
    from huggingface_hub import constants

    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("NO_PROXY", "*")
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(hub, "_silent", [])
    clear_caches("nsbench.benchmarks.encoders._sources.locate")
    return server


def closed() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def model_folder(folder: Path, text: str = "ours") -> Path:
    """What an export leaves, as far as the hub cares."""
    folder.mkdir()
    (folder / "README.md").write_text("---\ntags:\n- nsbench\n---\n# a model\n")
    (folder / "modules.json").write_text(json.dumps([text]))
    (folder / "model.safetensors").write_bytes(text.encode() * 1000)
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text("{}")
    return folder


def test_a_push_is_one_commit_of_exactly_the_folder(
    online: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    one, two = model_folder(tmp_path / "one", "first"), model_folder(tmp_path / "two", "second")
    to = push.prepare("me/pushed")
    assert to == push.Destination("me/pushed", private=True)
    address = push.push(one, to, "nsbench cell abc")
    repository = online.repositories["models", "me/pushed"]
    commit = repository.at("main")
    assert address == f"{online.address}/me/pushed/commit/{commit.sha}"
    assert commit.message == "nsbench cell abc"
    files = {p.relative_to(one).as_posix(): p.read_bytes() for p in one.rglob("*") if p.is_file()}
    assert {k: v for k, v in commit.files.items() if k != ".gitattributes"} == files
    digest = hashlib.sha256(files["model.safetensors"]).hexdigest()
    assert online.large[digest] == files["model.safetensors"]  # by LFS, not inside the commit
    (two / "1_Pooling" / "config.json").unlink()
    push.push(two, push.prepare("me/pushed"), "again")  # ours: written over, nothing stays behind
    assert "1_Pooling/config.json" not in repository.at("main").files
    assert repository.at("main").files["modules.json"] == b'["second"]'
    assert len(repository.commits) == 3  # the first of the hub, and two
    assert online.unknown == []


def test_a_push_without_rights_says_so_before_anything_is_made(
    online: hub_server.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    online.put("models", "me/public", {"README.md": "---\ntags: [nsbench]\n---\n"})
    for token in ("", "hf_unknown"):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(ValueError, match=r"me/x: the hub .* does not know you: hf auth login"):
            push.prepare("me/x")
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    with pytest.raises(ValueError, match="may not write to 'them'"):
        push.prepare("them/x")
    monkeypatch.setenv("HF_TOKEN", hub_server.READER)
    for name in ("me/x", "me/public"):  # the second is there for all to read
        with pytest.raises(ValueError, match="may not write to 'me'"):
            push.prepare(name)
    assert ("models", "me/x") not in online.repositories


def test_rights_lost_on_the_way_leave_the_folder_and_a_way_on(
    online: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    to, folder = push.prepare("me/lost"), model_folder(tmp_path / "m")
    monkeypatch.setattr(online, "writers", {})
    monkeypatch.setattr(online, "readers", {hub_server.WRITER: "me"})
    with pytest.raises(ValueError, match=f"is written; to upload it: hf upload me/lost {folder}"):
        push.push(folder, to, "too late")


def test_a_repository_of_another_kind_is_not_written_over(
    online: hub_server.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    online.put("models", "me/other", {"README.md": "# mine\n", "notes.txt": "years of work"})
    with pytest.raises(ValueError, match=r"holds another thing already \(README.md, notes.txt\)"):
        push.prepare("me/other")


@pytest.mark.parametrize("name", ["alone", "a/b/c", "../x", "me/x y", ""])
def test_a_name_that_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="OWNER/NAME"):
        push.prepare(name)


def test_a_switched_off_hub_takes_no_push(
    online: hub_server.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="needs the hub, and the hub is switched off"):
        push.prepare("me/x")


def test_models_by_name_and_revision(
    online: hub_server.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"model.safetensors": b"v1", "config.json": "{}", "pytorch_model.bin": b"pickle"}
    first = online.put("models", "me/m", files)
    online.put("models", "me/m", {**files, "model.safetensors": b"v2"})
    folder = _sources.locate("me/m")
    assert (folder / "model.safetensors").read_bytes() == b"v2"
    assert not (folder / "pytorch_model.bin").exists()
    assert (_sources.locate("me/m", first) / "model.safetensors").read_bytes() == b"v1"
    with pytest.raises(_sources.SourceError, match="has it, but no revision 'v9'"):
        _sources.locate("me/m", "v9")
    with pytest.raises(_sources.SourceError, match="no such model, or hides it: hf auth login"):
        _sources.locate("me/nothing")
    online.put("models", "me/hidden", files)
    online.repositories["models", "me/hidden"].private = True
    with pytest.raises(_sources.SourceError, match="hides it"):
        _sources.locate("me/hidden")
    monkeypatch.setenv("HF_TOKEN", hub_server.WRITER)
    assert (_sources.locate("me/hidden") / "model.safetensors").read_bytes() == b"v1"


def test_a_silent_hub_is_switched_off_once_and_said(
    online: hub_server.Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    said: list[str] = []
    hub.settle(said.append)
    assert (said, hub.offline()) == ([], False)
    monkeypatch.setenv("HF_ENDPOINT", closed())
    monkeypatch.setenv("HF_HUB_OFFLINE", "")  # so that it is put back
    hub.settle(said.append)
    assert hub.offline()
    assert constants.HF_HUB_OFFLINE
    assert len(said) == 1
    assert hub.address() in said[0]
    with pytest.raises(_sources.SourceError, match=f"the hub {hub.address()} does not answer"):
        _sources.locate("me/never-seen")
    asked = len(online.asked)
    hub.settle(said.append)
    assert (len(said), len(online.asked)) == (1, asked)


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        ({}, False),
        ({"encoders": ["tiny", "static"]}, False),
        ({"encoders": [{"name": "static", "source": "owner/name"}]}, True),
        ({"encoders": ["owner/name"]}, True),
        ({"data": ["planted", {"name": "file", "path": ["a.txt", "b.txt"]}]}, False),
        ({"data": ["sts_unlabelled"]}, True),
        ({"data": [{"name": "hub", "path": "a/b", "revision": COMMIT}]}, True),
        ({"evaluation": {"tasks": ["STS12"]}}, True),
        ({"evaluation": {"tasks": ["own"], "dev": "STSBenchmark"}}, True),
        ({"evaluation": {"tasks": [{"name": "x", "kind": "sts", "path": "x.csv"}]}}, False),
        ({"samplers": [{"name": "guided", "guide": "owner/name"}]}, True),
        ({"samplers": [{"name": "guided", "guide": ["tiny", "static"]}]}, False),
        ({"regimes": [{"name": "joint", "nli": {"name": "hub", "path": "a/b"}}]}, True),
    ],
)
def test_the_hub_is_asked_only_for_what_may_come_from_it(
    small: Any, change: dict[str, Any], asks: bool
) -> None:
    assert names_hub(parse_config(small(**change))) is asks


def test_kinds_of_tasks_on_cards_are_kinds_of_scores() -> None:
    from nsbench.benchmarks.records.local_task import KINDS

    named = {kind.main_score for kind in KINDS.values()} - {"cosine_spearman"}
    assert named <= TASK_TYPES.keys()


def nsbench(*words: str, cwd: Path, ends: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, with the variables that are given."""
    drop = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HF_ENDPOINT", "HF_HOME")
    base = {k: v for k, v in os.environ.items() if k not in drop}
    base |= {"COLUMNS": "200", "NO_PROXY": "*", "HF_HUB_DISABLE_XET": "1"} | env
    done = running.nsbench(*words, cwd=cwd, timeout=HANG, env=base)
    assert done.returncode == ends, done.stderr
    return done


MATRIX = """schema = 1
name = "of-hub"
samplers = ["in_batch"]
encoders = ["me/tiny"]
data = [{{ name = "hub", path = "me/pairs", revision = "{data}" }}]
seeds = [1]
[budget]
steps = 4
batch_size = 16
[difficulty]
every = 2
[evaluation]
tasks = ["SICK-R"]
[run]
keep_weights = true
"""


def fill(server: hub_server.Hub, folder: Path) -> str:
    """Put a model, pairs and the test sentences of SICK-R on the hub; the commit of the pairs."""
    from nsbench.benchmarks.encoders import encoders
    from nsbench.benchmarks.export.sentence_transformer import save, to_sentence_transformer

    encoder = encoders.make("tiny").build([f"word{i} and {i}" for i in range(40)], 1)
    save(to_sentence_transformer(encoder), folder, "---\nlicense: mit\n---\n# tiny\n")
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    server.put("models", "me/tiny", files)
    sick = pd.DataFrame(
        {
            "sentence1": [f"a word{i} stands here" for i in range(40)],
            "sentence2": [f"a word{i * i % 11} stands there" for i in range(40)],
            "score": [float(i % 6) for i in range(40)],
        }
    )
    parts = {"data/test-00000-of-00001.parquet": sick.to_parquet(), "README.md": "# SICK\n"}
    server.put("datasets", "mteb/sickr-sts", parts, sha=SICKR)
    rows = [{"anchor": f"which word{i}", "positive": f"it is word{i}"} for i in range(100)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    card = "---\nlicense:\n- cc-by-4.0\n---\n# pairs\n"
    return server.put("datasets", "me/pairs", {"train.jsonl": text, "README.md": card})


def scores(folder: Path) -> dict[str, bytes]:
    return {p.parent.name: p.read_bytes() for p in folder.glob("runs/*/scores.csv")}


def of_sickr(table: bytes) -> float:
    rows = csv.DictReader(table.decode().splitlines())
    (value,) = [float(r["value"]) for r in rows if r["task"] == "SICK-R" and r["main"] == "True"]
    return value


@pytest.mark.slow
def test_from_the_hub_to_the_cache_to_a_model_on_the_hub(tmp_path: Path) -> None:
    """Prefetch, run and evaluate with the hub; run without it, switched off or not; push."""
    here = {"cwd": tmp_path, "HF_HOME": str(tmp_path / "hf")}
    with hub_server.serve() as server:
        data = fill(server, tmp_path / "tiny")
        (tmp_path / "m.toml").write_text(MATRIX.format(data=data))
        there = here | {"HF_ENDPOINT": server.address, "HF_TOKEN": hub_server.WRITER}
        nsbench("prefetch", "m.toml", "--manifest", "files.json", **there)
        rows = {row["kind"]: row for row in json.loads((tmp_path / "files.json").read_bytes())}
        head = server.repositories["models", "me/tiny"].head
        assert (rows["encoder"]["repository"], rows["encoder"]["commit"]) == ("me/tiny", head)
        assert (rows["data"]["repository"], rows["data"]["commit"]) == ("me/pairs", data)
        assert rows["task"]["commit"] == SICKR
        assert (rows["encoder"]["licence"], rows["data"]["licence"]) == ("mit", "cc-by-4.0")
        assert all(row["files"] for row in rows.values())
        nsbench("run", "m.toml", "--out", "with", "--workers", "1", **there)
        (cell,) = (tmp_path / "with" / "runs").glob("in_batch-*")
        done = nsbench("export", str(cell), "--to", "model", "--push", "me/trained", **there)
        assert "pushed to me/trained (private)" in done.stdout
        record = json.loads((cell / "record.json").read_bytes())
        commit = server.repositories["models", "me/trained"].at("main")
        assert commit.message == f"nsbench cell {record['key']}"
        assert {"README.md", "modules.json", "config.json", "tokenizer.json"} <= set(commit.files)
        card = commit.files["README.md"].decode()
        assert record["weights"] in card
        assert 'SentenceTransformer("me/trained")' in card
        there["HF_HOME"] = str(tmp_path / "another")  # somebody else's machine
        nsbench("evaluate", "me/trained", "--task", "SICK-R", "--out", "eval", **there)
        (there_scored,) = scores(tmp_path / "eval").values()
        trained = scores(tmp_path / "with")[cell.name]
        assert of_sickr(there_scored) == pytest.approx(of_sickr(trained), abs=1e-6)
        assert server.unknown == []
        gone = server.address
    off = here | {"HF_ENDPOINT": gone}
    done = nsbench("prefetch", "m.toml", "--check", "--manifest", "files.json", **off)
    assert "nothing is missing" in done.stdout, done.stdout
    for out, more in (("silent", {}), ("off", {"HF_HUB_OFFLINE": "1"})):
        done = nsbench("run", "m.toml", "--out", out, "--workers", "1", **off, **more)
        assert scores(tmp_path / out) == scores(tmp_path / "with")
        assert "Retrying" not in done.stderr
        assert (f"the hub {gone} does not answer" in done.stderr) is (out == "silent")


@pytest.mark.slow
def test_nothing_trains_where_something_cannot_be_had(tmp_path: Path) -> None:
    """Each kind of thing, from a hub that does not answer and from one that has it not."""
    planted, tiny = '"planted"', 'encoders = ["tiny"]'
    alone = MATRIX.replace('{{ name = "hub", path = "me/pairs", revision = "{data}" }}', planted)
    task = alone.replace('encoders = ["me/tiny"]', tiny)
    encoder = alone.replace("SICK-R", "own")
    data = MATRIX.format(data=COMMIT).replace('encoders = ["me/tiny"]', tiny)
    data = data.replace("SICK-R", "own")
    with hub_server.serve() as server:
        for address in (closed(), server.address):
            silent = address != server.address
            for name, text, word in (
                ("task", task, "SICK-R: mteb/sickr-sts"),
                ("encoder", encoder, "the encoder me/tiny"),
                ("data", data, "hub data set me/pairs"),
            ):
                (tmp_path / f"{name}.toml").write_text(text)
                env = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": address}
                given = {"cwd": tmp_path, "ends": 2, **env}
                done = nsbench("run", f"{name}.toml", "--out", name, **given)
                last = done.stderr.splitlines()[-1]
                assert last.startswith("error: "), done.stderr
                assert word in last
                assert (f"the hub {address} does not answer" in last) is silent
                assert not (tmp_path / name).exists()
                assert "Retrying" not in done.stderr


def test_what_the_hub_does_not_give_is_missing(
    online: hub_server.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told before anything trains, with the hub there; and what it gives is fetched."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", online.address)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "prepared")
    names = ["STS12", "STS13"]
    requests = mteb_tasks.resolve(names)
    with pytest.raises(mteb_tasks.MissingDataError) as error:
        mteb_tasks.refuse_missing(requests)
    assert str(error.value).startswith("2 evaluation data sets are missing: STS12: mteb/sts12-sts@")
    assert f"cannot be fetched from {online.address}" in str(error.value)
    with pytest.raises(mteb_tasks.MissingDataError):
        mteb_tasks.absent_tasks(names)

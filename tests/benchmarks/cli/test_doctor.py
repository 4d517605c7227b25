"""What doctor finds: packages by their versions, the hub, and everything that a matrix lacks."""

import http.server
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from running import invoked

from nsbench.benchmarks import hub
from nsbench.benchmarks.cli.doctor import Finding, examine, faiss_builds, fixes, packages


def installed(folder: Path, needs: list[str]) -> None:
    """A package ``wanting`` that asks for others, as installers write it down."""
    info = folder / "wanting-1.0.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", "Name: wanting", "Version: 1.0", "Provides-Extra: more"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


def test_packages_are_compared_with_what_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = metadata.version("torch")
    needs = ["torch", "numpy<1", "never-heard-of>=2", 'also-missing; extra == "more"']
    installed(tmp_path, [*needs, 'not-here; python_version < "3"'])
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {f.text.split()[0]: f for f in packages("wanting")}
    assert found["torch"] == Finding("ok", f"torch {torch}")
    assert found["numpy"].level == found["never-heard-of"].level == "bad"
    assert f"numpy {metadata.version('numpy')} is installed, <1 is needed" == found["numpy"].text
    assert found["extra"] == Finding(
        "note", "extra more: also-missing is not installed", ("pip install 'wanting[more]'",)
    )
    assert "not-here" not in found
    assert fixes(found.values()) == ["pip install 'numpy<1'", "pip install 'never-heard-of>=2'"]
    (lonely,) = packages("nobody-installed-this")
    assert lonely.level == "bad"


def test_two_builds_of_faiss_are_one_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = faiss_builds()
    assert found == Finding("ok", f"faiss-cpu {metadata.version('faiss-cpu')}")
    info = tmp_path / "faiss_gpu-1.15.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faiss-gpu\nVersion: 1.15.1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = faiss_builds()
    assert found.level == "bad"
    assert found.text.startswith("faiss-cpu and faiss-gpu are installed")
    assert found.fix == ("pip uninstall -y faiss-cpu faiss-gpu", "pip install faiss-cpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    (found,) = faiss_builds()
    assert found.fix[1] == "pip install faiss-gpu"
    monkeypatch.setattr("nsbench.benchmarks.cli.doctor.FAISS", ("faiss-cpu", "faiss-gpu-cu12"))
    (found,) = faiss_builds()
    assert found.level == "note"
    assert "cannot use the GPU" in found.text


@pytest.fixture
def refusing() -> Iterator[str]:
    """A server that answers 405 to everything."""

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(405)
            self.end_headers()

        def log_message(self, *args: Any) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_whether_it_is_there(
    refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HF_ENDPOINT", refusing)
    assert hub.answers()
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # discard: nobody listens
    assert not hub.answers()
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc/hosts")
    assert not hub.answers()


MATRIX = """schema = 1
samplers = ["in_batch"]
encoders = ["owner/not-here", { name = "static", dimension = 8 }]
data = [{ name = "planted", rows = 60 }, { name = "file", path = "nowhere.jsonl" }]
[budget]
batch_size = 2
[evaluation]
tasks = ["own"]
"""


def test_all_that_a_matrix_lacks_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(MATRIX)
    done = invoked("doctor", path, ends=2, env={"COLUMNS": "200"})
    missing = [line for line in done.output.splitlines() if line.startswith("missing")]
    assert len(missing) == 2
    assert "owner/not-here" in missing[0]
    assert f"there is no file {tmp_path / 'nowhere.jsonl'}" in missing[1]
    assert "ok  encoder static(dimension=8)" in done.output
    mends = done.output.partition("to mend it:")[2].splitlines()[1:]
    wanted = f"nsbench prefetch {path} --manifest manifest.json"
    assert mends[0].split("#")[0].split() == wanted.split()
    assert len(mends) == 3
    path.write_text(MATRIX.replace('"owner/not-here", ', "").replace("nowhere.jsonl", "x.txt"))
    done = invoked("doctor", path, ends=2)
    assert "to mend it" not in done.output  # no line of ours brings a file of theirs
    (tmp_path / "x.txt").write_text("one text\nanother text\n")
    path.write_text(path.read_text().replace("x.txt", str(tmp_path / "x.txt")))
    said = invoked("doctor", path).output
    assert "matrix: 12 cells, 6 skipped" in said  # texts of a file have no tests
    path.write_text(path.read_text().replace('["own"]', "[]"))
    assert "matrix: 12 cells, 0 skipped" in invoked("doctor", path).output


def test_with_a_hub_what_is_missing_will_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.toml"
    path.write_text(MATRIX.replace(', { name = "file", path = "nowhere.jsonl" }', ""))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(hub, "answers", lambda: True)
    found = [f for f in examine(str(path)) if "owner/not-here" in f.text]
    assert [f.level for f in found] == ["note"]
    assert "will be fetched" in found[0].text


def test_a_switched_off_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "answers", Mock(side_effect=AssertionError))
    assert any("HF_HUB_OFFLINE is set" in f.text for f in examine())

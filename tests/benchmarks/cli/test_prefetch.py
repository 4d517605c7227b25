"""Prefetching loads through the code that a run uses, and says what it got."""

import json
import os
from pathlib import Path

import pytest
from running import Build, invoked, nsbench

from nsbench.benchmarks.cli.prefetch import (
    _listed,
    _of_hub,
    _origin,
    fetch,
    lacking,
    read_manifest,
    verify,
)
from nsbench.benchmarks.matrix.config import parse_config


def test_prefetch_names_every_encoder_and_data_set_with_its_content(small: Build) -> None:
    raw = small(data=[{"name": "planted", "rows": [100, 200]}])
    rows = list(fetch(parse_config(raw)))
    assert [r["kind"] for r in rows] == ["encoder", "data", "data"]
    assert rows[0]["revision"] == "random"
    assert rows[1]["revision"] != rows[2]["revision"]


def test_prefetch_says_what_cannot_be_had(small: Build) -> None:
    with pytest.raises(ValueError, match="nobody/nothing"):
        list(fetch(parse_config(small(encoders=["nobody/nothing"]))))


def test_prefetch_writes_a_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    invoked("prefetch", "smoke", "--manifest", path)
    assert '"kind": "data"' in path.read_text()


def test_the_manifest_is_compared_byte_for_byte(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"anchor": "a b", "positive": "b a"}\n{"anchor": "c", "positive": "d"}\n')
    config = parse_config(small(data=[{"name": "file", "path": str(rows)}]))
    manifest = [r for r in fetch(config) if r["kind"] == "data"]
    (file,) = manifest[0]["files"]
    assert file["bytes"] == rows.stat().st_size
    assert file["sha256"].startswith("sha256:")
    assert list(verify(manifest)) == []
    rows.write_text(rows.read_text().replace("c", "e"))
    assert [p for _, p in verify(manifest)] == [f"{rows} is another file than the manifest's"]
    rows.unlink()
    assert [p for _, p in verify(manifest)] == [f"{rows} is missing"]
    found = {(kind, bool(reason)) for kind, _, reason in lacking(config)}
    assert ("data", True) in found
    assert ("encoder", False) in found
    path = tmp_path / "m.json"
    path.write_text("[1]")
    with pytest.raises(ValueError, match="is no manifest"):
        read_manifest(path)


@pytest.mark.slow
def test_check_says_what_is_missing_in_a_clean_cache(tmp_path: Path) -> None:
    """As in a container without a network: exact names, and lines that can be pasted."""
    config = tmp_path / "m.toml"
    config.write_text(
        'schema = 1\nsamplers = ["in_batch"]\ndata = ["sts_unlabelled"]\n'
        'encoders = ["owner/not-here"]\n[evaluation]\ntasks = ["STS12"]\n'
    )
    clean = os.environ | {"HF_HOME": str(tmp_path / "clean"), "COLUMNS": "200"}
    done = nsbench("prefetch", config, "--check", env=clean)
    assert done.returncode == 2, done.stderr
    for words in ("owner/not-here", "mteb/sts12-sts", "STS12", "nsbench prefetch"):
        assert words in done.stdout, words
    assert "Traceback" not in done.stderr


def test_schema_knows_the_keys_of_a_matrix() -> None:
    found = json.loads(invoked("schema").stdout)
    assert {"schema", "samplers", "budget", "run"} <= found["properties"].keys()
    assert found["additionalProperties"] is False
    assert "keep_weights" in found["$defs"]["RunConfig"]["properties"]


def test_repositories_and_commits_stand_in_the_manifest() -> None:
    commit = "a0d554a64d88156834ff5ae9920b964011b16384"
    both = _of_hub([f"mteb/sts12-sts@{commit}", f"hub data set a/b.c at revision {commit}, config"])
    assert both == {"repository": "mteb/sts12-sts a/b.c", "commit": f"{commit} {commit}"}
    assert _of_hub(["local/x.csv@sha256:00"]) == {"repository": "", "commit": ""}
    snapshot = Path("/cache/hub/models--o--m/snapshots") / commit
    assert _origin("o/m", snapshot) == {"repository": "o/m", "commit": commit}
    assert _origin("folder", Path("/folder")) == {"repository": "", "commit": ""}


def test_files_are_found_again_where_another_machine_has_them(
    small: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of packages below its own packages, those of the matrix as they were named."""
    one, two = tmp_path / "one" / "site-packages", tmp_path / "two" / "site-packages"
    for place in (one, two):
        (place / "weights").mkdir(parents=True)
        (place / "weights" / "model.safetensors").write_bytes(b"the same")
    (tmp_path / "rows.txt").write_text("one\ntwo\n")
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as first:
        first.syspath_prepend(str(one))
        files = _listed([one / "weights" / "model.safetensors", Path("rows.txt")])
    names = ["package:weights/model.safetensors", "local:rows.txt"]
    assert sorted(f["path"] for f in files) == sorted(names)
    manifest = [{"name": "x", "files": files}]
    assert len(list(verify(manifest))) == 1  # no such package here
    monkeypatch.syspath_prepend(str(two))
    assert list(verify(manifest)) == []
    (two / "weights" / "model.safetensors").write_bytes(b"another ")
    assert [p for _, p in verify(manifest)] == [f"{names[0]} is another file than the manifest's"]

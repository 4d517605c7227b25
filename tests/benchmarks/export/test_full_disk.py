"""An export that finds no room says so in one sentence and leaves nothing."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running import Build, Run

from nsbench.benchmarks.export.cell import export_cell
from nsbench.benchmarks.files import StorageError, written_whole

pytest.importorskip("sentence_transformers")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """The kernel refuses to write a file beyond some bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [100, 5_000])
@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_leaves_no_half_export(
    size: int,
    there: bool,
    small: Build,
    run_matrix: Run,
    tmp_path: Path,
) -> None:
    folder, (record,) = run_matrix(small(encoders=[{"name": "static", "dimension": 64}]))
    assert record.status == "done", record.traceback
    (paths,) = folder.folders()
    place = tmp_path / "place"
    place.mkdir()
    if there:
        (place / "model").mkdir()
    with files_up_to(size), pytest.raises(StorageError, match=r"cannot write .*model") as found:
        export_cell(paths.folder, place / "model", retrain=True)
    assert "\n" not in str(found.value)
    assert [p.name for p in place.iterdir()] == (["model"] if there else [])
    assert not there or list((place / "model").iterdir()) == []
    export_cell(paths.folder, place / "model", retrain=True)
    assert (place / "model" / "modules.json").is_file()


def test_another_failure_passes_and_leaves_nothing_either(tmp_path: Path) -> None:
    def half_written() -> None:
        with written_whole(tmp_path / "model") as folder:
            (folder / "half").write_text("x")
            raise KeyError("other")

    with pytest.raises(KeyError):
        half_written()
    assert list(tmp_path.iterdir()) == []

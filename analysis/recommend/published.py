"""Published recommendations: what was trained and decided, without the texts of the data.

Each file of such a folder is a function of `INPUTS` alone: `rebuild` makes them again, and
`differences` lists the stored ones with other bytes. Pictures, and the HTML page that holds them,
depend on versions and fonts, so they are made again and never compared.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from nsbench.analysis.recommend.cells import Setting
from nsbench.analysis.recommend.plan import PLAN, read_plan
from nsbench.analysis.recommend.recommendation import PREPARED, settled
from nsbench.analysis.recommend.stored import QUERIES, TABLE, Stored
from nsbench.benchmarks.files import read_regular_file, write_atomically
from nsbench.benchmarks.records import RecordError, read_json

INPUTS = (PREPARED, PLAN, TABLE, QUERIES)
COMPARED = (".md", ".json", ".csv", ".toml", ".sh", ".py")


def is_recommendation(folder: Path) -> bool:
    """True for the folder of a recommendation that raced, published or not."""
    return (folder / TABLE).is_file()


def publish(root: Path, out: Path) -> list[Path]:
    """Copy the inputs of a recommendation into ``out`` and make everything else from them.

    Raises:
        RecordError: If the recommendation did not end.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in INPUTS:
        write_atomically(out / name, _read(root / name))
    return rebuild(out)


def rebuild(folder: Path) -> list[Path]:
    """Make all files of a published recommendation again, and return them.

    Raises:
        RecordError: If an input is missing, or of a recommendation that did not end.
    """
    with TemporaryDirectory() as temporary:
        written = []
        for name, content in _made(folder, Path(temporary)).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / name, content)
            written.append(folder / name)
    return written


def differences(folder: Path) -> list[str]:
    """Return a line per text file that the inputs do not give as it is stored.

    Raises:
        RecordError: As `rebuild` does.
    """
    out = []
    with TemporaryDirectory() as temporary:
        for name, content in _made(folder, Path(temporary)).items():
            path = folder / name
            if path.suffix not in COMPARED:
                continue
            if not path.is_file():
                out.append(f"{path} is not stored")
            elif path.read_bytes() != content:
                out.append(f"{path} differs")
    return out


def _made(folder: Path, place: Path) -> dict[str, bytes]:
    """All files but the inputs, by name."""
    for name in INPUTS:
        write_atomically(place / name, _read(folder / name))
    facts, plan = read_json(place / PREPARED), read_plan(place / PLAN)
    if plan is None or not plan.settled:
        raise RecordError(f"{folder / PLAN} is of a recommendation that did not end")
    settled(facts, Stored(Setting.of(place, facts)), plan, lambda line: None)
    files = {p.relative_to(place).as_posix(): p for p in place.rglob("*") if p.is_file()}
    return {n: p.read_bytes() for n, p in sorted(files.items()) if n not in INPUTS}


def _read(path: Path) -> bytes:
    try:
        return read_regular_file(path)
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {path}: {error}") from None

"""What is listed without importing it is what the registries hold, and costs no torch."""

import importlib
from pathlib import Path

import pytest
from running import python

from nsbench.benchmarks.cli.main import PACKAGES
from nsbench.benchmarks.cli.names import shipped


@pytest.mark.parametrize("kind", PACKAGES)
def test_the_table_of_names_equals_the_registry(kind: str) -> None:
    registry = getattr(importlib.import_module(PACKAGES[kind]), kind)
    expected = [
        {
            "name": entry.name,
            "summary": entry.summary,
            "parameters": [
                {"name": p.name, "required": p.required, "default": p.default}
                for p in entry.parameters
            ],
        }
        for entry in registry
        if entry.provider.startswith("nsbench.")
    ]
    assert shipped(PACKAGES[kind]) == expected


@pytest.mark.parametrize("words", [["--help"], ["list", "samplers"], ["run", "--help"], ["schema"]])
def test_cheap_commands_import_no_torch(words: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from nsbench.analysis.cli.main import main; main()"
    )
    done = python("-c", code, *words, check=True)
    assert done.stderr == "False\n"


def test_a_name_that_cannot_be_read_from_the_source_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "odd.py").write_text(
        '@register("odd")\nclass Odd:\n    """Odd."""\n\n    rate: float = 1.0 / 3\n'
    )
    monkeypatch.setattr("nsbench.benchmarks.cli.names._place", lambda name: tmp_path)
    with pytest.raises(LookupError, match=r"odd\.py: 1\.0 / 3 is no literal"):
        shipped("nsbench.samplers")

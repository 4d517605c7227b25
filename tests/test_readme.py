"""The README's tables equal the registries; its sampler and its matrix work."""

import re
import tomllib
from pathlib import Path

import pytest

from nsbench.benchmarks.matrix.config import parse_config
from nsbench.samplers.testing import check_sampler
from tools.readme import law_table, rewrite

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text("utf-8")


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", TEXT, re.S)
    return next(b for b in found if containing in b)


@pytest.mark.parametrize("name", ["README.md", "docs/laws.md", "docs/questions.md"])
def test_generated_tables_are_up_to_date(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert rewrite(text, ROOT / "tests") == text, "run `make report`"


def test_every_sampler_and_objective_has_tests_of_its_own() -> None:
    table = law_table(ROOT / "tests")
    without = re.findall(r"^\| (\w+ `\w+`) \|\s+\|$", table, re.M)
    assert without == []


def test_unknown_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no table is called 'x'"):
        rewrite("<!-- table: x -->\n<!-- end -->")


def test_matrix_of_the_readme_is_legal() -> None:
    assert parse_config(tomllib.loads(block("toml", "schema = 1"))).name == "mine"


def test_sampler_of_the_readme_obeys_the_contract() -> None:
    code = block("python", "class EveryOther").replace('@register("every_other")', "#")
    scope: dict[str, type] = {"__name__": "readme_example"}
    exec(compile(code, "README.md", "exec"), scope)
    check_sampler(scope["EveryOther"]())  # type: ignore[call-arg]


def test_sources_in_tables_are_whole() -> None:
    links = re.findall(r"\| (?:ours, cf\. )?\[([^\]]+)\]\((http[^)]*)\) \|$", TEXT, re.M)
    assert len(links) > 90
    assert [text for text, _ in links if not re.search(r"\b(?:19|20)\d\d$", text)] == []
    assert [address for _, address in links if address.endswith((";", ".", ","))] == []

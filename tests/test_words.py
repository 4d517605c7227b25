"""Plain English: the words that the glossary bans occur in no document and no text of the code."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "results/README.md",
    "examples/plugin/README.md",
    ".github/**/*.md",
)
CODE = ("samplers", "benchmarks", "analysis", "tools", "examples")
QUESTIONS = ["Whether", "What", "How", "Which", "Who", "Whose", "Where", "Why"]
Found = tuple[int, str]  # line, words


@cache
def banned() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Pattern and replacement of every row of the glossary's table of words to avoid."""
    table = GLOSSARY.read_text("utf-8").partition("| do not write | write |")[2]
    rows = re.findall(r"^\| ([a-z][^|]*) \| ([^|]+) \|$", table, re.M)
    assert len(rows) > 10
    return tuple((pattern(words), better) for words, better in rows)


def pattern(words: str) -> re.Pattern[str]:
    """Finds any of some phrases, over line breaks too, but none that "except" allows."""
    listed, _, allowed = words.partition(" (except: ")
    unless = "|".join(re.escape(p.strip()) for p in allowed.rstrip(")").split(",") if p)
    parts = (re.escape(p.strip()).replace(r"\ ", r"\s+") for p in listed.split(","))
    before = rf"(?!(?:{unless})\b)" if unless else ""
    return re.compile(rf"(?<![\w./=-]){before}(?:{'|'.join(parts)})(?![\w=-])", re.I)


def hits(text: str, line: int = 1) -> Iterator[Found]:
    """Banned words of a text whose first line has a number; names in backticks do not count."""
    text = re.sub(r"`[^`\n]+`", lambda name: " " * len(name[0]), text)
    for words, better in banned():
        for found in words.finditer(text):
            at = line + text.count("\n", 0, found.start())
            yield at, f"{' '.join(found[0].split())!r}: write {better}"


def prose(text: str) -> str:
    """A document without code blocks and generated tables, its lines kept."""
    parts = r"^```.*?^```|<!-- table: .*?<!-- end -->|^\| do not write .*"
    return re.sub(parts, lambda part: "\n" * part[0].count("\n"), text, flags=re.S | re.M)


def strings(text: str) -> Iterator[Found]:
    """Docstrings, messages, help texts of a module, without the names of parameters."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            name = r"^ +\w+:(?= )"
            yield node.lineno, re.sub(name, lambda n: " " * len(n[0]), node.value, flags=re.M)


def openers(text: str) -> Iterator[Found]:
    """Docstrings that begin with a question word."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            first = str(node.value.value).split(maxsplit=1)[:1]
            if first and first[0] in QUESTIONS:
                yield node.lineno, f"a docstring opens with {first[0]!r}"


def of_file(path: Path) -> list[Found]:
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return sorted(hits(text))
    found = [hit for line, value in strings(text) for hit in hits(value, line)]
    return sorted([*found, *openers(text)])


def test_no_document_has_a_banned_word() -> None:
    paths = [path for wanted in DOCUMENTS for path in sorted(ROOT.glob(wanted))]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path in paths
        for line, words in sorted(hits(prose(path.read_text("utf-8"))))
    ]
    assert len(paths) > 15
    assert not found, "\n".join(found)


def test_no_code_has_a_banned_word() -> None:
    paths = [path for folder in CODE for path in sorted((ROOT / folder).rglob("*"))]
    paths = [path for path in paths if path.suffix in (".py", ".toml", ".j2")]
    found = [
        f"{path.relative_to(ROOT)}:{line}: {words}"
        for path in paths
        if path.name != "lexicon.toml"  # data: the words of the planted texts
        for line, words in of_file(path)
    ]
    assert len(paths) > 400
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("They cannot be told\n    apart.", 1),
        ("It stands for a name; a row stands alone.", 1),
        ("Run `--beside 4`, or use --beside=4 and executors/beside.py.", 0),
        ("Beside the batch, whatever it is made of", 3),
    ],
)
def test_banned_words_are_found(text: str, count: int) -> None:
    assert len(list(hits(text))) == count


def test_code_and_generated_tables_are_no_prose() -> None:
    text = "a\n```\nbeside\n```\n<!-- table: x -->\n| beside |\n<!-- end -->\nb beside"
    assert [line for line, _ in hits(prose(text))] == [8]


def test_docstrings_that_ask_are_found() -> None:
    text = 'def f():\n    """Whether it is."""\nx = 1\n"""What x is."""\ny = 1\n"""A y."""\n'
    assert sorted(line for line, _ in openers(text)) == [2, 4]

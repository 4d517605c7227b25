"""Options come from a settings model: names, help, ranges, flags, lists, arguments."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from pydantic import BaseModel, ConfigDict, Field, field_validator
from typer.testing import CliRunner

from nsbench.benchmarks.cli.options import Argument, Option, command_from


def fruits(incomplete: str) -> list[str]:
    return [name for name in ("apple", "pear") if name.startswith(incomplete)]


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True)

    fruit: Annotated[str, Argument(complete=fruits)] = Field(description="What to eat.")
    out_dir: Annotated[Path | None, Option(("--out", "-o"))] = Field(None, description="Plate.")
    only: tuple[str, ...] = Field((), description="Repeatable.")
    count: int = Field(1, ge=0, le=9, description="How many.")
    share: float | None = Field(None, ge=0, description="A share.")
    kind: Literal["raw", "cooked"] = "raw"
    dry_run: bool = Field(False, description="Eat nothing.")

    @field_validator("fruit")
    @classmethod
    def ripe(cls, value: str) -> str:
        if value == "stone":
            raise ValueError("a stone is no fruit")
        return value


seen: list[Settings] = []
app = typer.Typer()


@app.command()
@command_from(Settings)
def eat(settings: Settings) -> None:
    """Eat a fruit."""
    seen.append(settings)


def given(*words: str) -> Settings:
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    return seen[-1]


def test_what_is_left_out_takes_the_default_of_the_model() -> None:
    assert given("pear") == Settings(fruit="pear")
    assert given("pear").model_fields_set == {"fruit"}


def test_every_kind_of_option_is_read() -> None:
    words = "-o plate --only a --only b --count 3 --share 0.5 --kind cooked --dry-run pear"
    assert given(*words.split()) == Settings(
        fruit="pear",
        out_dir=Path("plate"),
        only=("a", "b"),
        count=3,
        share=0.5,
        kind="cooked",
        dry_run=True,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Missing argument 'fruit'"),
        ("pear --count 10", "'--count': Input should be less than or equal to 9"),
        ("pear --share -1", "'--share': Input should be greater than or equal to 0"),
        ("pear --kind fried", "'fried' is not one of"),
        ("pear --no-dry-run", "No such option"),
        ("stone", "'fruit': a stone is no fruit"),
    ],
)
def test_a_wrong_value_is_an_error_of_usage(words: str, message: str) -> None:
    done = CliRunner().invoke(app, words.split(), env={"COLUMNS": "200", "TERM": "dumb"})
    assert done.exit_code == 2
    assert message in done.output


def test_the_help_shows_descriptions_and_ranges() -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    for words in (
        "Eat a fruit.",
        "What to eat.",
        "--out",
        "-o",
        "Plate.",
        "0<=x<=9",
        "Eat nothing",
    ):
        assert words in text
    assert "--no-dry-run" not in text

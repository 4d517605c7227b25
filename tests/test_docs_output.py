"""What the docs say a command prints is what it prints.

In a console block, the lines under ``$ command`` are its output. ``...`` stands for anything: alone
on a line for any number of lines, inside one for the rest of a word or for any words. Decimals may
differ by 0.1, as sums do between machines. Markdown's backslashes are left out, as a terminal's
output has none. A block without output is not run here.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from nsbench.benchmarks.cli import console

ROOT = Path(__file__).resolve().parent.parent
NEAR = 0.1
Command = tuple[str, list[str]]  # and the lines that it prints


def blocks(text: str) -> list[list[Command]]:
    """The console blocks that show output, each as its commands with what they print."""
    out = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        commands: list[Command] = []
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ "):
                commands.append((line.removeprefix("$ ").partition(" #")[0].strip(), []))
            elif commands:
                commands[-1][1].append(line)
        if any(printed for _, printed in commands):
            out.append(commands)
    return out


def same_word(wanted: str, found: str) -> bool:
    if "..." in wanted:
        parts = map(re.escape, wanted.split("..."))
        return re.fullmatch(".*".join(parts), found) is not None
    number = r"[-+\[(]*\d+\.\d+[%,\])]*"
    if re.fullmatch(number, wanted) and re.fullmatch(number, found):
        one, two = (float(x.strip("[](),%")) for x in (wanted, found))
        return abs(one - two) <= NEAR + 1e-9
    return wanted == found


def same(wanted: list[str], found: list[str], match=same_word) -> bool:
    """Whether a row of words (or, with another ``match``, of lines) is the one that is shown."""
    if not wanted:
        return not found
    first, *rest = wanted
    if first == "...":
        return any(same(rest, found[i:], match) for i in range(len(found) + 1))
    return bool(found) and match(first, found[0]) and same(rest, found[1:], match)


def same_output(wanted: list[str], found: list[str]) -> bool:
    lines = [" ".join(line.split()).replace("\\", "") for line in found if line.strip()]
    shown = [" ".join(line.split()) for line in wanted if line.strip()]
    return same(shown, lines, lambda one, two: same(one.split(), two.split()))


def apart(*words: str) -> list[str]:
    """What Python prints in a process of its own."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run(command: str, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> list[str]:
    """What a command prints, run in this process unless it brings components along."""
    from nsbench.analysis.cli.main import main

    if "--plugin-path" in command:
        code = "from nsbench.analysis.cli.main import main; main()"
        return apart("-c", code, *shlex.split(command)[1:])

    patch.setattr(sys, "argv", shlex.split(command))
    capsys.readouterr()
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            pytest.fail(f"{command}: exit code {ended.code}: {capsys.readouterr().err}")
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md", "docs/new-sampler.md"])
def test_commands_print_what_the_page_shows(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (ROOT / page).read_text("utf-8")
    for toml in re.findall(r"```toml\n(.*?)```", text, re.S):
        for name in re.findall(r'^name = "(\w+)"', toml, re.M):
            (tmp_path / f"{name}.toml").write_text(toml)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")  # of processes; the consoles here may be made already
    for made in (console.out, console.err):
        monkeypatch.setattr(made, "width", 200)
    monkeypatch.setenv("NSBENCH_PLUGIN_PATH", "")
    shown = blocks(text)
    assert shown, f"{page} shows no output"
    for command, wanted in (pair for block in shown for pair in block):
        assert command.startswith("nsbench "), command
        found = run(command, capsys, monkeypatch)
        printed = "\n".join(found)
        assert same_output(wanted, found), f"{page}: $ {command}\nprints\n{printed}"


@pytest.mark.slow
def test_examples_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = blocks((ROOT / "docs" / "integrations.md").read_text("utf-8"))
    monkeypatch.chdir(tmp_path)
    for command, wanted in (pair for block in shown for pair in block):
        program, script = command.split()
        assert program == "python"
        found = apart(str(ROOT / script))
        assert same_output(wanted, found), "\n".join(found)


def test_the_comparison_sees_what_differs() -> None:
    printed = ["7 done in out/smoke", "", "took 3.1 s, mean 21.40 [20.1,", "a", "b", "end"]
    assert same_output(
        ["7 done in out/smoke", "took ... s, mean 21.35 [20.0,", "...", "end"], printed
    )
    assert same_output(["7 done in out/...", "...", "end"], printed)
    assert same_output(["...", "took ... [20.1,", "a", "b", "end"], printed)
    for wrong in (
        ["7 done in out/smoke"],
        ["8 done in out/smoke", "...", "end"],
        ["7 done in out/smoke", "took ... s, mean 21.6 [20.1,", "...", "end"],
        ["...", "a", "end"],
        ["...", "end", "more"],
    ):
        assert not same_output(wrong, printed), wrong
    assert not same_output(["x"], [])

"""Commands around results: tune, pack, unpack, publish, rebuild, boards, merge."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from nsbench.benchmarks.cli.console import SOME_FAILED, echo

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Results folder.")]
Packed = Annotated[Path, typer.Argument(metavar="PACKED", help="Folder that `pack` wrote.")]
Published = Annotated[
    list[Path], typer.Argument(metavar="DIR...", help="Folders that `publish` wrote.")
]
Check = Annotated[
    bool, typer.Option("--check", help="Write nothing; fail if a stored text differs.")
]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Where to write.")]
Baseline = Annotated[str, typer.Option(help="Sampler that differences are to.")]
OnlyMethods = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        help="Run only the methods that match: a glob on the sampler or on the whole name, short "
        "as it is printed or with all settings, or AXIS=GLOB, such as 'objective=focal'; "
        "repeatable.",
    ),
]
Workers = Annotated[
    int, typer.Option(min=0, help="Worker processes (0: one per core, or one on a GPU).")
]
Cache = Annotated[
    str | None,
    typer.Option(
        help="Folder where cells share embeddings and mined candidates, or 'none'. Default "
        "$NSBENCH_CACHE, or nsbench in the user's cache folder.",
    ),
]
Texts = Annotated[
    bool,
    typer.Option("--texts/--no-texts", help="Keep texts of shared batches; off for private data."),
]
Distributions = Annotated[
    bool,
    typer.Option(
        "--distributions/--no-distributions",
        help="Keep histograms of similarity and quantiles of difficulty, about half of a folder "
        "of small cells; the means are always kept.",
    ),
]
Margin = Annotated[
    float, typer.Option(help="Difference in points that does not matter, above 0.", min=1e-6)
]
Names = Annotated[
    list[str] | None, typer.Option("--figure", metavar="NAME", help="A figure to keep; repeatable.")
]


def pack_(
    folder: Folder, out: OutFolder, texts: Texts = True, distributions: Distributions = True
) -> None:
    """Pack the records of a results folder into a few small parquet files."""
    from nsbench.benchmarks.records.packing import pack

    files, bad = pack(folder, out, texts=texts, distributions=distributions)
    for line in bad:
        echo(f"left out: {line}", to_err=True)
    for path in files:
        echo(f"wrote {path} ({path.stat().st_size / 1e3:.0f} kB)", to_err=True)


def unpack_(packed: Packed, out: OutFolder) -> None:
    """Make a results folder of packed records; every other command reads it."""
    from nsbench.benchmarks.records.packing import unpack

    echo(f"wrote {unpack(packed, out)} cells to {out}", to_err=True)


def publish_(
    folder: Folder,
    out: OutFolder,
    figure: Names = None,
    report: Annotated[bool, typer.Option("--report", help="Keep a report too.")] = False,
    baseline: Baseline = "in_batch",
    texts: Texts = True,
    distributions: Distributions = True,
    margin: Margin = 0.5,
) -> None:
    """Pack a results folder, and make leaderboards, tables and figures from what was packed.

    Of a recommendation, all is kept but the texts.
    """
    from nsbench.analysis.recommend import published as recommended
    from nsbench.analysis.report.published import publish

    given: dict[str, Any] = {"baseline": baseline, "margin": margin}
    usual = {"baseline": "in_batch", "margin": 0.5}
    if recommended.is_recommendation(folder):
        if figure or report or given != usual or not distributions:
            raise ValueError(
                f"{folder} is a recommendation, which takes no option but --out and --no-texts"
            )
        recommended.publish(folder, out)
        echo(f"wrote {out}; make it again with: nsbench rebuild {out}", to_err=True)
        return
    kept: dict[str, Any] = {"texts": texts, "distributions": distributions}
    for line in publish(folder, out, names=figure or (), report=report, **kept, **given):
        echo(f"left out: {line}", to_err=True)
    options = "".join(f" --{k} {shlex.quote(f'{v}')}" for k, v in given.items() if v != usual[k])
    echo(f"wrote {out}; make it again with: nsbench rebuild{options} {out}", to_err=True)


def rebuild_(
    folders: Published,
    check: Check = False,
    baseline: Baseline = "in_batch",
    margin: Margin = 0.5,
) -> None:
    """Make every file of published folders again from their packed records, or compare them."""
    from nsbench.analysis.recommend import published as recommended
    from nsbench.analysis.report import published

    wrong = 0
    for folder in folders:
        of: Any = published
        given: dict[str, Any] = {"baseline": baseline, "margin": margin}
        if recommended.is_recommendation(folder):
            of, given = recommended, {}
        if check:
            found = of.differences(folder, **given)
            for line in found:
                echo(line, to_err=True)
            echo(f"{folder}: {'differs' if found else 'as stored, byte for byte'}", to_err=True)
            wrong += bool(found)
        else:
            made = of.rebuild(folder, **given)
            echo(f"wrote {len(made)} files to {folder}")
    if wrong:
        raise typer.Exit(1)


def boards_(
    folders: Published,
    out: OutFolder,
    check: Check = False,
) -> None:
    """Put published boards side by side: verdicts by method, and whether difficulty predicts.

    Also draw the verdicts (boards.png); pictures are not compared.
    """
    from nsbench.analysis.figures.boards import drawn
    from nsbench.analysis.tables.boards import prediction_table, texts, verdict_table
    from nsbench.benchmarks.files import write_atomically

    out.mkdir(parents=True, exist_ok=True)
    verdicts = verdict_table(folders)
    found = texts(verdicts, prediction_table(folders))
    made = {out / name: text for name, text in found.items()}
    pictures = {} if check else drawn(verdicts)
    wrong = [p for p, t in made.items() if not p.is_file() or p.read_text("utf-8") != t]
    for path, text in made.items():
        if check:
            echo(f"{path}: {'differs' if path in wrong else 'as stored'}", to_err=True)
        else:
            write_atomically(path, text)
            echo(f"wrote {path}", to_err=True)
    for name, content in pictures.items():
        write_atomically(out / name, content)
        echo(f"wrote {out / name}", to_err=True)
    if check and wrong:
        raise typer.Exit(1)


def merge_(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders.")],
    out: OutFolder,
) -> None:
    """Copy the cells of several results folders into one, and name what does not agree.

    Folders of one tuning study, run for some of its methods each, become one study.
    """
    from nsbench.benchmarks.records import ResultsFolder
    from nsbench.benchmarks.records.merging import merge
    from nsbench.benchmarks.records.study import is_study

    found = merge(folders, out)
    for line in (*found.conflicts, *found.left_out):
        echo(f"{'conflict' if line in found.conflicts else 'left out'}: {line}", to_err=True)
    echo(
        f"{found.copied} cells copied, {found.same} met again and alike, "
        f"{len(found.conflicts)} in conflict, in {out}"
    )
    if is_study(ResultsFolder(out)):
        echo(f"next: nsbench tune STUDY --out {out}, which chooses among the trials of all")
    if found.conflicts:
        raise typer.Exit(1)


def tune(
    study: Annotated[
        Path, typer.Argument(help="A tuning file (TOML), or the name of a shipped board.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Results folder; default out/NAME.")
    ] = None,
    only: OnlyMethods = None,
    workers: Workers = 0,
    cache: Cache = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Run only what tells the cost, print it in hours, and stop."
        ),
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run failed cells again.")
    ] = False,
) -> None:
    """Give every method the same number of trials on dev, then compare on fresh seeds."""
    from nsbench.benchmarks.cli.console import settle_hub
    from nsbench.benchmarks.matrix.config import names_hub
    from nsbench.benchmarks.matrix.tune_file import load_tuning
    from nsbench.benchmarks.records.cache import folder_of
    from nsbench.benchmarks.runs.tuning import Study

    tuning, matrix = load_tuning(study)
    if names_hub(matrix):
        settle_hub()
    out = out or Path("out", study.stem)

    def say(line: str) -> None:
        echo(line, to_err=True)

    asked = Study(
        tuning,
        matrix,
        out,
        say,
        only=only or (),
        workers=workers,
        cache=folder_of(cache),
        retry_failed=retry_failed,
    )
    asked.run(probe=dry_run)
    if asked.failed:
        cells = "1 cell has" if asked.failed == 1 else f"{asked.failed} cells have"
        echo(f"{cells} failed; the same command with --retry-failed runs failed cells again")
    if not dry_run:
        echo(f"next: nsbench leaderboard {out}")
    if asked.failed:
        raise typer.Exit(SOME_FAILED)


def add_commands(app: typer.Typer) -> None:
    """Add these commands to a command line."""
    app.command()(tune)
    for command in (pack_, unpack_, publish_, rebuild_, boards_, merge_):
        app.command(name=command.__name__.removesuffix("_"))(command)

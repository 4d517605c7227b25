"""``nsbench doctor`` and ``nsbench prefetch --check``: what is missing, and lines that mend it."""

from pathlib import Path

import typer

from nsbench.benchmarks import hub
from nsbench.benchmarks.cli.console import USAGE, escaped, out


def diagnose(config: str) -> None:
    """Say what is here and what is missing, then the lines that mend it.

    Raises:
        typer.Exit: With exit code 2, if something is missing.
    """
    from nsbench.benchmarks.cli.doctor import examine, fixes

    findings = []
    for finding in examine(config):
        findings.append(finding)
        mark = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[red]missing[/]"}
        out.print(f"{mark[finding.level]}  {escaped(finding.text)}", soft_wrap=True)
        if finding.level == "note":
            for line in finding.fix:
                out.print(f"      {escaped(line)}", soft_wrap=True)
    lines = fixes(findings)
    if lines:
        out.print("to mend it:")
    for line in lines:
        out.print(f"  {escaped(line)}", soft_wrap=True)
    if any(f.level == "bad" for f in findings):
        raise typer.Exit(USAGE)


def check_cache(config: str, manifest: Path | None) -> None:
    """Say what a matrix would not find, and how the cache differs from a manifest.

    Raises:
        typer.Exit: With exit code 2, if something is missing.
    """
    hub.switch_off()
    from nsbench.benchmarks.cli.doctor import fetching
    from nsbench.benchmarks.cli.prefetch import lacking, read_manifest, verify
    from nsbench.benchmarks.matrix.tune_file import named_matrix

    problems = 0
    for kind, name, reason in lacking(named_matrix(config)):
        problems += bool(reason)
        mark = "[red]missing[/]" if reason else "[green]here[/]"
        out.print(f"{mark}  {kind:8} {escaped(name)}", soft_wrap=True)
        if reason:
            out.print(f"         {escaped(reason)}", soft_wrap=True)
    if manifest is not None:
        rows = read_manifest(manifest)
        for name, problem in verify(rows):
            problems += 1
            out.print(f"[red]missing[/]  {escaped(name)}: {escaped(problem)}", soft_wrap=True)
        files = sum(len(row["files"]) for row in rows)
        out.print(f"{files} files of {escaped(str(manifest))} compared", soft_wrap=True)
    if problems:
        out.print("to mend it:")
        for line in fetching(config):
            out.print(f"  {escaped(line)}", soft_wrap=True)
        raise typer.Exit(USAGE)
    out.print("nothing is missing")

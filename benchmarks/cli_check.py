"""The command ``nsbench prefetch --check``: what is missing here, with lines that can be pasted."""

import os
import shlex
from pathlib import Path

import typer

from nsbench.benchmarks.console import USAGE, escaped, out


def check_cache(config: str, manifest: Path | None) -> None:
    """Say what a matrix would not find, and how the cache differs from a manifest.

    Raises:
        typer.Exit: With exit code 2, if something is missing.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # before anything that reads it is imported
    from nsbench.benchmarks.config import load_config
    from nsbench.benchmarks.prefetch import lacking, read_manifest, verify

    problems = 0
    for kind, name, reason in lacking(load_config(config)):
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
        home = os.environ.get("HF_HOME", "~/.cache/huggingface")
        out.print("where there is a network:")
        out.print(f"  nsbench prefetch {shlex.quote(config)} --manifest manifest.json")
        out.print(f"then copy its HF_HOME folder to {escaped(home)} here", soft_wrap=True)
        raise typer.Exit(USAGE)
    out.print("nothing is missing")

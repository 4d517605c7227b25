"""Workflow, commit hooks and templates: they parse, and name what exists."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]


def parsed(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text("utf-8"))


def test_pushes_and_pull_requests_are_checked_with_few_rights() -> None:
    flow = parsed(".github/workflows/ci.yml")
    assert set(flow[True]) == {"push", "pull_request"}  # YAML reads the key "on" as a truth value
    assert flow["permissions"] == {"contents": "read"}
    assert flow["concurrency"]["cancel-in-progress"]
    assert set(flow["jobs"]) == {"check", "test", "docs"}
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    assert all(re.search(r"@v\d+$", step["uses"]) for step in steps if "uses" in step)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = {step["run"].removeprefix("make ") for step in steps if "run" in step}
    assert targets >= {"check", "test", "docs"}
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)


def test_commit_hooks_run_the_pinned_ruff() -> None:
    (ruff,) = [r for r in parsed(".pre-commit-config.yaml")["repos"] if "ruff" in r["repo"]]
    pinned = re.search(r"^ruff==(.+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.M)
    assert ruff["rev"] == f"v{pinned[1]}"


def test_templates_ask_for_what_an_answer_needs() -> None:
    labels = {
        name: [
            part["attributes"]["label"] for part in parsed(f".github/ISSUE_TEMPLATE/{name}")["body"]
        ]
        for name in ("bug.yml", "method.yml")
    }
    assert "Output of `nsbench doctor`" in labels["bug.yml"]
    assert {"Paper", "Equation"} <= set(labels["method.yml"])

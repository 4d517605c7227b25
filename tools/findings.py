"""Write the findings of all published results: ``python -m tools.findings docs/findings.md``.

The sentences are those of each folder's ``tables/leaderboard.md``, which `nsbench rebuild` makes.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_HEAD = (
    "# Findings of the published results\n\nThe sentences that `nsbench leaderboard` prints, for "
    "every folder under `results/` that holds its records. Each comparison group has its own "
    "list; `results/README.md` says how each matrix was run and what its numbers do not show.\n"
)


def findings_of(document: str) -> list[str]:
    """Return the findings of a ``leaderboard.md``, under the heading of each comparison group."""
    out: list[str] = []
    group, inside = "", False
    for line in document.splitlines():
        if line.startswith("#"):
            inside = line == "### Findings"
            group = line.removeprefix("## ") if line.startswith("## ") else group
            if inside:
                out += ["", f"### {group}", ""]
        elif inside and line.startswith("- "):
            out.append(line)
    return out


def page(results: Path = ROOT / "results") -> str:
    """Return the page.

    Args:
        results: Folder of the published results.
    """
    parts = [_HEAD]
    for path in sorted(results.glob("*/tables/leaderboard.md")):
        if found := findings_of(path.read_text("utf-8")):
            parts.append("\n".join([f"## {path.parent.parent.name}", *found, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), "utf-8")

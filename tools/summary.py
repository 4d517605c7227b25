"""Write the page of the boards' summary: ``python -m tools.summary docs/summary.md``.

The words are the first section of ``results/README.md``, the tables those of
``results/summary/boards.md``, which `nsbench boards` makes. Links into ``results/`` become paths:
that folder is no part of the site. Its picture is copied next to the page.
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SECTION = re.compile(r"^## Summary of the tuned boards\n(.*?)^## ", re.S | re.M)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)([^)#\s]+)\)")


def page(results: Path = ROOT / "results") -> str:
    """Return the page.

    Args:
        results: Folder of the published results.

    Raises:
        ValueError: If its README has no section of that name.
    """
    found = _SECTION.search((results / "README.md").read_text("utf-8"))
    if found is None:
        raise ValueError(f"{results / 'README.md'} has no section 'Summary of the tuned boards'")
    tables = (results / "summary" / "boards.md").read_text("utf-8")
    words = _LINK.sub(_path, found[1].strip()).replace("\n### ", "\n## ")
    words = words.replace("(summary/boards.png)", "(summary.png)")
    return f"# Summary of the tuned boards\n\n{words}\n\n{_deeper(tables)}"


def _path(link: re.Match[str]) -> str:
    text, target = link[1], f"results/{link[2]}"
    return f"`{target}`" if target.endswith(text.strip("`")) else f"{text} (`{target}`)"


def _deeper(document: str) -> str:
    return re.sub(r"^#", "##", document, flags=re.M)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.write_text(page(), "utf-8")
    shutil.copyfile(ROOT / "results" / "summary" / "boards.png", out.with_name("summary.png"))

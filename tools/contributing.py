"""Rewrite the list of rooms in CONTRIBUTING.md from the first docstring line of each room.

    python -m tools.contributing CONTRIBUTING.md

The order is that of the floors in ``tests/test_house.py``.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def floors() -> dict[str, tuple[tuple[str, ...], ...]]:
    """Rooms of each package, lowest floor first."""
    tree = ast.parse((ROOT / "tests" / "test_house.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FLOORS":
            found: dict[str, tuple[tuple[str, ...], ...]] = ast.literal_eval(node.value)
            return found
    raise ValueError("tests/test_house.py has no table FLOORS")


def purpose(room: Path) -> str:
    """First docstring line of a package, or of a module without its suffix."""
    path = room / "__init__.py" if room.is_dir() else room.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return text.split("\n")[0].replace("``", "`").replace("|", "\\|")


def rows() -> Iterator[str]:
    """A table row for each package and each of its rooms."""
    yield "| floor | room | purpose |"
    yield "| --- | --- | --- |"
    listed = floors()
    for package in ("samplers", *listed):
        yield f"| | **`{package}/`** | {purpose(ROOT / package)} |"
        for number, rooms in enumerate(listed.get(package, ())):
            for room in rooms:
                path = ROOT / package / room
                name = f"{room}/" if path.is_dir() else f"{room}.py"
                yield f"| {number} | `{name}` | {purpose(path)} |"


def rewrite(text: str) -> str:
    """The document with the lines between its markers replaced."""
    table = "\n".join(["<!-- table: rooms -->", *rows(), "<!-- end -->"])
    return re.sub(r"<!-- table: rooms -->\n.*?<!-- end -->", lambda _: table, text, flags=re.S)


if __name__ == "__main__":
    document = Path(sys.argv[1])
    document.write_text(rewrite(document.read_text("utf-8")), "utf-8")

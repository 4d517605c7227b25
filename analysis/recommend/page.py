"""One document as Markdown and as HTML; every text is escaped for its medium.

The HTML is one file that opens without a network: its policy allows its own style and pictures in
the file, and nothing else.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from nsbench.analysis.tables.text import markdown_lines, markdown_text
from nsbench.benchmarks.files import write_atomically
from nsbench.benchmarks.keys import visible


@dataclass(frozen=True)
class Table:
    """A table: names of columns and rows of texts or numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A picture: its file's name, what it shows, and the content for the HTML."""

    name: str
    text: str
    svg: bytes
    kind: str = "picture"


@dataclass(frozen=True)
class Code:
    """Lines to be copied."""

    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Says:
    """A paragraph; ``strong`` for the one sentence that matters."""

    text: str
    strong: bool = False
    kind: str = "says"


Block = Table | Picture | Code | Says


@dataclass(frozen=True)
class Section:
    """A heading and what is under it."""

    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)


def markdown(title: str, sections: Sequence[Section]) -> str:
    """Return the document as Markdown."""
    lines = [f"# {markdown_text(title)}", ""]
    for section in sections:
        lines += [f"## {markdown_text(section.title)}", ""] if section.title else []
        for block in section.blocks:
            lines += [*_lines(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def _lines(block: Block) -> list[str]:
    if isinstance(block, Table):
        rows = [[markdown_text(cell) for cell in row] for row in block.rows]
        return markdown_lines([markdown_text(c) for c in block.columns], rows)
    if isinstance(block, Picture):
        return [f"![{markdown_text(block.text)}](figures/{block.name}.png)"]
    if isinstance(block, Code):
        return [f"    {visible(line)}" for line in block.text.splitlines()]
    text = markdown_text(block.text)
    return [f"**{text}**" if block.strong else text]


_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto;
  max-width: 60rem; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.strong { font-size: 1.15rem; font-weight: 600; border-left: 4px solid #0072b2;
  padding: .4rem .8rem; background: #f2f7fb; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
  border-bottom: 1px solid #ddd; min-width: 3.5rem; max-width: 26rem; }
td { overflow-wrap: break-word; } td.long { min-width: 13rem; }
th { border-bottom: 2px solid #888; overflow-wrap: normal; }
pre { overflow-x: auto; background: #f5f5f5; padding: .7rem; font-size: .85rem; }
figure { margin: 1rem 0; } img { max-width: 100%; width: 34rem; height: auto; }
figcaption { font-size: .85rem; color: #444; }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<h1>{{ title }}</h1>
{% for section in sections %}
<section>
{% if section.title %}<h2>{{ section.title|shown }}</h2>{% endif %}
{% for block in section.blocks %}
{% if block.kind == "says" %}
<p{% if block.strong %} class="strong"{% endif %}>{{ block.text|shown }}</p>
{% elif block.kind == "code" %}
<pre tabindex="0">{{ block.text|lines_shown }}</pre>
{% elif block.kind == "picture" %}
<figure><img alt="{{ block.text|shown }}" src="{{ block|address }}">
<figcaption>{{ block.text|shown }}</figcaption></figure>
{% else %}
<div class="wide" tabindex="0"><table><thead><tr>
{% for name in block.columns %}<th scope="col">{{ name|shown }}</th>{% endfor %}
</tr></thead><tbody>
{% for row in block.rows %}
<tr>
{% for cell in row %}
<td{% if cell|shown|length > 40 %} class="long"{% endif %}>{{ cell|shown }}</td>
{% endfor %}
</tr>
{% endfor %}
</tbody></table></div>
{% endif %}
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""


def html(title: str, sections: Sequence[Section]) -> str:
    """Return the document as one HTML file."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["shown"] = lambda value: visible(str(value))
    environment.filters["lines_shown"] = lambda text: "\n".join(map(visible, text.splitlines()))
    environment.filters["address"] = _address
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'"
    return environment.from_string(_PAGE).render(
        title=visible(title), sections=sections, style=Markup(_STYLE), policy=policy
    )


def _address(picture: Picture) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(picture.svg).decode("ascii")


def write_pages(folder: Path, name: str, title: str, sections: Sequence[Section]) -> list[Path]:
    """Write ``NAME.md`` and ``NAME.html`` into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {f"{name}.md": markdown(title, sections), f"{name}.html": html(title, sections)}
    for file, text in made.items():
        write_atomically(folder / file, text)
    return [folder / file for file in made]

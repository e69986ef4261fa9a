"""A report as one HTML file: everything in it, nothing loaded, no script.

In: a Report. Out: text. All of its words are escaped by the template's engine; the only markup
that comes from elsewhere are our own drawings. A policy inside the file forbids scripts and
everything from outside, should an escape ever be missed.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from scheduler.study.report.blocks import Block, Picture, Report
from workers.log import clean

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'"
"""Of the file itself. Drawings of many points hold an image as data."""

LINES = {"+": "plus", "-": "minus", "@": "at"}  # of a patch, by their first character


def render_html(report: Report) -> str:
    """The whole document."""
    page = _environment().get_template("report.html.jinja")
    return page.render(report=report, policy=POLICY)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("scheduler.study.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.tests["kind"] = lambda block, name: type(block).__name__ == name
    environment.filters |= {"drawing": _drawing, "patch": _patch}
    return environment


def _finalize(value: Any) -> Any:
    """Text without control characters, which HTML has no place for, escaped or not."""
    return clean(value) if type(value) is str else value


def _drawing(block: Block) -> Markup:
    assert isinstance(block, Picture)
    return Markup(block.svg)  # noqa: S704 - made in drawing.py; the library escapes its text


def _patch(text: str) -> Sequence[tuple[str, str]]:
    """Lines with the name of what they are."""
    return [(LINES.get(line[:1], ""), line) for line in clean(text).splitlines()]

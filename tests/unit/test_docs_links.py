"""Every link in the project's Markdown leads somewhere: to a file, and to a heading in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md"), *TOP.glob("*/*.md")])
PAGES = sorted({page for page in PAGES if not page.relative_to(TOP).parts[0].startswith(".")})


def prose(page: Path) -> str:
    """The page without its code, in which brackets mean other things."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`(?!\])", "", text)


def headings(page: Path) -> set[str]:
    """The anchors that a reader of Markdown makes of a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    found = re.findall(r"^#+ +(.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def links(page: Path) -> Iterator[str]:
    for target in LINK.findall(prose(page)):
        if not re.match(r"[a-z]+:", target):  # https:, mailto:
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), f"{page.name}: {target}"
        assert goal.is_relative_to(TOP), f"{page.name}: {target} leaves the checkout"
        if anchor and goal.suffix == ".md":
            assert anchor in headings(goal), f"{page.name}: {target}: {sorted(headings(goal))}"


def test_there_are_links_to_check() -> None:
    assert sum(1 for page in PAGES for _ in links(page)) > 20

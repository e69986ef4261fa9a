"""Titles, logs, notebooks: whatever models and training write into a report stays text."""

import re
import sqlite3
import time
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from agent import Answer
from scheduler.results import Answered, Ended
from scheduler.rules import events as ev
from scheduler.study.report.markdown import escape
from tests.fixtures.acted_study import ActedStudy, script
from tests.fixtures.lab import proposal
from tests.fixtures.reports import Page, files_of
from workers import Outcome, OutcomeStatus

ATTACK = (
    "<script>window.pwned = 1</script><img src=http://evil.example/x onerror='pwned()'>"
    "</style></svg></title> {{ 7 * 7 }} {% raw %} | pipe ``` [a](javascript:pwned()) "
    "![i](http://evil.example/i.png) <!-- \x1b[31m \u202e & &lt; $\\frac{$ #1"
)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A study whose every word is an attack."""
    path = tmp_path_factory.mktemp("attacked") / "s"
    with ActedStudy(path, f"study.notes={ATTACK!r}") as study:
        study.folder.program.write_text(ATTACK, "utf-8")
        study.end_trial(1, 2.0)
        (request, *_) = [a for a in study.actions if isinstance(a, ev.RequestProposals)]
        idea = replace(
            proposal(script(1.5), ATTACK), hypothesis=ATTACK, expected=ATTACK, origin=ATTACK
        )
        worse = replace(proposal(script(2.5), ATTACK), origin=ATTACK)
        broken = replace(proposal(script(2.6), ATTACK), origin=ATTACK)
        answer = Answer(request.request, (idea, worse, broken))
        study.send(Answered(time.time(), answer, 1.0))
        study.end_trial(study.started()[1], 1.5, log=ATTACK)
        study.end_trial(study.started()[2], 2.5, log=ATTACK)
        outcome = Outcome(study.started()[3], OutcomeStatus.CRASH, reason=ATTACK, log=ATTACK)
        study.send(Ended(time.time(), outcome))
    database = sqlite3.connect(study.folder.database)
    database.execute(
        "INSERT INTO notebook (at, upto, author, text) VALUES (1.0, 1, ?, ?)", (ATTACK, ATTACK)
    )
    database.execute(
        "INSERT INTO instruction VALUES (1, 'k', ?, 0, 'queued', NULL, 1.0, 1.0)", (ATTACK,)
    )
    database.execute("UPDATE outcome SET device = ?", (ATTACK,))
    database.commit()
    database.close()
    return files_of(study.folder)


def test_no_word_of_theirs_becomes_markup_in_the_page(attacked: dict[str, bytes]) -> None:
    page = Page(attacked["report.html"])
    tags = [tag for tag, _ in page.elements]
    assert "script" not in tags
    assert "img" not in tags
    assert tags.count("style") == 1 + tags.count("svg")  # the drawings have one of their own
    assert page.text.count("<script>window.pwned = 1</script>") > 10
    assert "{{ 7 * 7 }}" in page.text
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", attacked["report.html"])
    assert "\u202e" not in attacked["report.html"].decode()


def test_the_page_names_nothing_outside_of_itself(attacked: dict[str, bytes]) -> None:
    page = Page(attacked["report.html"])
    identities = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(identities) == len(set(identities))
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action", "poster", "srcset"):
            value = attributes.get(name)
            if value is not None:
                assert value.startswith("data:image/png;base64,") or value[1:] in identities, value
    text = attacked["report.html"].decode()
    assert "@import" not in text
    outside = re.findall(r"url\((?!#)[^)]*\)", text)
    assert outside == []
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "script" not in policy


def test_no_word_of_theirs_becomes_markup_in_markdown(attacked: dict[str, bytes]) -> None:
    text = attacked["report.md"].decode()
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    page = Page(f"<div>{html}</div>".encode())
    pictures = [a["src"] for t, a in page.elements if t == "img"]
    assert pictures == ["report-progress.png"]
    assert {tag for tag, _ in page.elements} <= {
        *("div", "h1", "h2", "p", "ul", "li", "blockquote", "strong", "pre", "code", "img"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert page.text.count("<script>window.pwned = 1</script>") > 10


@pytest.mark.parametrize(
    "text",
    [
        "# heading",
        "- item",
        "1. item",
        "+ item",
        "> quote",
        "=====",
        "a *b* _c_ `d` ~~e~~",
        "[a](b) ![c](d) <http://e>",
        "a | b",
        "x\ny",
        "\\",
        "&amp; <b>",
        "[ref]: http://x",
    ],
)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(escape(text))
    page = Page(html.encode())
    assert [tag for tag, _ in page.elements] == ["p"]
    assert page.text.strip() == " ".join(text.split())


def test_github_makes_no_links_of_it() -> None:
    assert "://" not in escape("see http://evil.example")
    assert "www." not in escape("see www.evil.example")

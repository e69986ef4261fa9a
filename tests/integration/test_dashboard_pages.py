"""The dashboard's pages in a real browser: what they make of other people's text, and for whom
they are readable: light and dark, on a phone, by keyboard, with a screen reader."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from agent import Answer
from agent.ledger import Intent, Message, Settlement
from scheduler.results import Answered, Results
from scheduler.rules import events as ev
from scheduler.study.letters import Instruct
from scheduler.study.mailbox import Mailbox
from tests.fixtures.acted_study import ActedStudy, script
from tests.fixtures.browsing import PATIENCE_MS, browser_running, needs_chromium, visiting
from tests.fixtures.lab import proposal
from tests.fixtures.made_up import Animation, make_up
from tests.fixtures.served import TOKENS, served

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)

PAGES = ("/", "/browse", "/experiment/27", "/experiment/12")
ATTACK = (
    "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'>"
    "</script><b>bold</b> ${window.pwned=3} `{{ window.pwned = 4 }}` {a}"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browser_running() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A study as it looks in the middle of a night."""
    folder = make_up(tmp_path_factory.mktemp("made-up") / "a-night")
    with Animation(folder), served(folder.path) as client:
        yield str(client.base_url).rstrip("/")


def settle(page: Page) -> None:
    """Wait until the page has been connected and filled."""
    expect(page.get_by_role("status")).to_contain_text("running")
    page.wait_for_timeout(500)


# ---- other people's text --------------------------------------------------------------------


def attacked(results: Results, request: int) -> Answered:
    """An answer whose every word is an attack."""
    prompt = (Message("user", ATTACK),)
    call = results.reserve(Intent(request, ATTACK, "improve", prompt, 10, 10, 0.1))
    results.settle(call, Settlement(ATTACK, "", 10, 10, 0.1, 1.0))
    whole = replace(
        proposal(script(1.5) + f"# {ATTACK}\n", ATTACK),
        hypothesis=ATTACK,
        expected=ATTACK,
        origin=ATTACK,
        call=call,
    )
    return Answered(time.time(), Answer(request, (whole,), arm=ATTACK), 1.0)


def test_what_models_and_training_write_stays_text(browser: Browser, tmp_path: Path) -> None:
    with ActedStudy(tmp_path / "night") as study, served(study.folder.path) as client:
        Mailbox(study.folder.inbox).post(Instruct(text=ATTACK))
        study.end_trial(1, 2.0)
        request = next(a for a in study.actions if isinstance(a, ev.RequestProposals)).request
        study.send(study.do(lambda results: attacked(results, request)))
        url = str(client.base_url).rstrip("/")
        with visiting(browser, url) as page:
            for path in ("/", "/browse", "/experiment/1"):
                page.goto(path)
                expect(page.get_by_text("window.pwned = 1").first).to_be_visible()
                page.wait_for_timeout(1500)  # a second round of news
                assert page.evaluate("window.pwned") is None
                assert page.locator("main b, img[src=x], .page b").count() == 0
            study.end_trial(study.started()[-1], 1.5, log=f"{ATTACK}\n")
            for name in ("Hypothesis and result", "What it changed", "Log", "Prompt and answer"):
                region = page.get_by_role("region", name=name, exact=True)
                expect(region).to_contain_text("<script>window.pwned = 1</script>")
            page.get_by_role("button", name="prompt: user").click()
            expect(page.get_by_text("window.pwned = 1").last).to_be_visible()
            page.goto("/")
            leaders = page.get_by_role("region", name="Leaderboard", exact=True)
            expect(leaders).to_contain_text("<script>window.pwned = 1</script>")
            assert page.evaluate("window.pwned") is None


# ---- finding --------------------------------------------------------------------------------


def test_the_list_is_filtered_sorted_and_paged(browser: Browser, url: str) -> None:
    with visiting(browser, url) as page:
        page.goto("/browse")
        rows = page.locator("tbody tr")
        expect(rows).to_have_count(50)
        page.get_by_role("button", name="Next").click()
        expect(page.get_by_text("page 2")).to_be_visible()
        expect(rows.last).to_contain_text("baseline")
        page.get_by_label("Title or hypothesis").fill("five heads")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("#27")
        page.get_by_label("Title or hypothesis").fill("")
        expect(rows).to_have_count(50)
        page.get_by_label("State").click()
        page.get_by_role("option", name="oom").click()
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("24 blocks")


def test_a_number_that_no_experiment_has_is_said_to_be_none(browser: Browser, url: str) -> None:
    with visiting(browser, url) as page:
        page.goto("/experiment/4711")
        expect(page.get_by_text("There is no experiment 4711.")).to_be_visible()


# ---- for whom -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAGES)
def test_nothing_is_wider_than_a_phone(browser: Browser, url: str, path: str) -> None:
    with visiting(browser, url, width=360) as page:
        page.goto(path)
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        wide = page.evaluate(
            "[...document.querySelectorAll('.panel')]"
            ".filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.getAttribute('aria-label'))"
        )
        assert wide == []


def test_colours_follow_the_system_until_they_are_switched(browser: Browser, url: str) -> None:
    brightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g)[0]"
    with visiting(browser, url, scheme="dark") as page:
        settle(page)
        assert int(page.evaluate(brightness)) < 60
        page.emulate_media(color_scheme="light")
        page.wait_for_function(f"{brightness} > 200")
        for _ in range(2):  # from auto over light to dark
            page.get_by_role("button", name="Colours").click()
        page.wait_for_function(f"{brightness} < 60")
        page.reload()
        page.wait_for_function(f"{brightness} < 60")


def test_the_keyboard_reaches_everything_that_does_something(browser: Browser, url: str) -> None:
    with visiting(browser, url) as page:
        settle(page)
        reached = []
        for _ in range(30):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate(
                    "(e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText)"
                    "(document.activeElement)"
                )
            )
        named = " | ".join(each.strip() for each in reached if each)
        for name in (
            *("Skip to the content", "Experiments", "Pause", "Stop", "Colours", "#6"),
            *("What should the study look into?", "Priority", "Queue it", "Withdraw instruction 5"),
        ):
            assert name in named
        page.get_by_label("What should the study look into?").focus()
        page.keyboard.type("typed by hand")
        expect(page.get_by_label("What should the study look into?")).to_have_value("typed by hand")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_accessibility_checker_finds_nothing(
    browser: Browser, url: str, scheme: Literal["dark", "light"]
) -> None:
    with visiting(browser, url, scheme=scheme) as page:
        found = []
        for path in PAGES:
            page.goto(path)
            settle(page)
            result = Axe().run(page).response
            assert "color-contrast" in [each["id"] for each in result["passes"]]
            found += [
                f"{path}: {violation['id']}: {node['target']} {node['failureSummary']}"
                for violation in result["violations"]
                for node in violation["nodes"]
            ]
        page.goto("/")
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.wait_for_timeout(500)
        found += [f"dialog: {v['id']}" for v in Axe().run(page).response["violations"]]
        assert found == []


def test_a_plot_is_told_in_words_and_parts_of_a_page_have_names(browser: Browser, url: str) -> None:
    with visiting(browser, url, token=TOKENS.read) as page:
        progress = page.get_by_role("region", name="Progress", exact=True)
        expect(progress).to_contain_text("9 kept, 49 discarded, 3 failed")
        assert page.get_by_role("main").count() == 1
        assert page.get_by_role("heading", level=1).all_inner_texts() == ["Overview"]
        for table in ("Leaderboard", "Latest decisions"):
            headers = page.get_by_role("region", name=table, exact=True).get_by_role("columnheader")
            assert headers.all_inner_texts()[:3] == ["id", "state", "val_bpb"]

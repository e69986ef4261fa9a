"""The dashboard in a real browser, while a study runs: it follows the study, and steers it."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from scheduler.results import Results
from scheduler.rules import events as ev
from scheduler.rules.states import ExperimentState, StudyState
from scheduler.study.letters import Instruct
from scheduler.study.mailbox import Mailbox
from scheduler.study.reader import Reader
from tests.fixtures.acted_study import ActedStudy
from tests.fixtures.browsing import PATIENCE_MS, browser_running, needs_chromium, visiting
from tests.fixtures.processes import wait_for
from tests.fixtures.served import TOKENS, served
from tests.synthetic import make_study
from workers import Phase, Progress

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browser_running() as browser:
        yield browser


@pytest.fixture
def study(tmp_path: Path) -> Iterator[ActedStudy]:
    with ActedStudy(tmp_path / "night") as study:
        yield study


@pytest.fixture
def url(study: ActedStudy) -> Iterator[str]:
    with served(study.folder.path) as client:
        yield str(client.base_url).rstrip("/")


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with visiting(browser, url) as page:
        yield page


def study_state(study: ActedStudy) -> StudyState:
    with Reader(study.folder.database) as reader:
        return reader.study().state


# ---- following ------------------------------------------------------------------------------


def test_the_time_of_the_slots_is_told_and_grows_with_the_trials(
    study: ActedStudy, page: Page
) -> None:
    region = page.get_by_role("region", name="Time of the slots", exact=True)
    expect(region).to_contain_text("running 100.0 %")
    study.end_trial(1, 2.0)
    expect(region).to_contain_text("trials trained per slot-hour, slots 0 to 0")
    expect(region.get_by_role("img", name="Slot by slot")).to_be_visible()


def test_a_new_experiment_and_its_result_appear_without_a_reload(
    study: ActedStudy, page: Page
) -> None:
    page.evaluate("window.stayed = true")
    study.end_trial(1, 2.0)
    leaders = page.get_by_role("region", name="Leaderboard", exact=True)
    expect(leaders.get_by_role("link", name="#0")).to_be_visible()
    study.propose(1.5)
    slots = page.get_by_role("region", name="Slots", exact=True)
    expect(slots.get_by_role("link", name="#1")).to_be_visible()
    study.end_trial(study.started()[-1], 1.5)
    expect(leaders.get_by_role("link", name="#1")).to_be_visible()
    progress = page.get_by_role("region", name="Progress", exact=True)
    expect(progress).to_contain_text("1.500000 (#1")
    assert page.evaluate("window.stayed")


def test_a_running_trial_shows_how_far_it_is_and_its_loss(study: ActedStudy, page: Page) -> None:
    slots = page.get_by_role("region", name="Slots", exact=True)
    for step in (10, 20, 30):
        share = step / 40
        report = Progress(1, Phase.TRAIN, share, step, 3.0 - share, 1000.0)
        study.do(partial(Results.progress, progress=report))
        expect(slots).to_contain_text(f"step {step}")
    expect(slots.get_by_role("img", name="training loss from")).to_be_visible()


def test_a_log_is_followed_while_it_grows(study: ActedStudy, page: Page) -> None:
    page.goto("/experiment/0")
    log = page.get_by_role("log")
    for said in ("first words\n", "second words\n"):
        report = Progress(1, Phase.TRAIN, 0.5, log=said)
        study.do(partial(Results.progress, progress=report))
        expect(log).to_contain_text(said.strip())
    study.end_trial(1, 2.0, log="the whole of it\n")
    expect(log).to_contain_text("the whole of it")
    expect(log).not_to_contain_text("first words")


def test_a_click_on_a_point_of_the_plot_opens_the_experiment(study: ActedStudy, page: Page) -> None:
    study.end_trial(1, 2.0)
    study.propose(1.5)
    study.end_trial(study.started()[-1], 1.5)
    expect(page.get_by_role("region", name="Progress", exact=True)).to_contain_text("(#1")
    chart = page.get_by_role("img", name="Progress of the study")
    chart.scroll_into_view_if_needed()
    x, y = chart.evaluate(
        "e => getElement(+e.id.slice(1)).chart.convertToPixel({seriesIndex: 3}, [1, 1.5])"
    )
    chart.click(position={"x": x, "y": y})
    page.wait_for_url("**/experiment/1")
    expect(page.get_by_role("heading", name="Experiment 1", exact=True)).to_be_visible()


# ---- steering -------------------------------------------------------------------------------


def test_an_instruction_typed_into_the_box_is_in_the_next_briefing(
    study: ActedStudy, page: Page
) -> None:
    study.end_trial(1, 2.0)
    page.get_by_label("What should the study look into?").fill("try bigger models")
    page.get_by_label("Priority").fill("3")
    page.get_by_role("button", name="Queue it").click()
    told = page.get_by_role("region", name="Instructions", exact=True)
    expect(told.get_by_role("listitem")).to_contain_text("try bigger models")
    expect(page.get_by_label("What should the study look into?")).to_have_value("")
    request = next(a for a in study.actions if isinstance(a, ev.RequestProposals))
    briefing = study.do(lambda results: results.briefing(request))
    assert [(i.text, i.priority) for i in briefing.instructions] == [("try bigger models", 3)]


def test_an_instruction_is_withdrawn_with_its_button(study: ActedStudy, page: Page) -> None:
    Mailbox(study.folder.inbox).post(Instruct(text="something else"))
    told = page.get_by_role("region", name="Instructions", exact=True)
    told.get_by_role("button", name="Withdraw instruction 1").click()
    expect(told.get_by_role("listitem")).to_contain_text("withdrawn")


def test_pause_and_unpause_arrive_and_the_page_says_so(study: ActedStudy, page: Page) -> None:
    page.get_by_role("button", name="Pause", exact=True).click()
    wait_for(lambda: study_state(study) is StudyState.PAUSED)
    expect(page.get_by_role("status")).to_contain_text("paused")
    expect(page.locator("#banner")).to_contain_text("Paused")
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_hidden()
    page.get_by_role("button", name="Unpause").click()
    wait_for(lambda: study_state(study) is StudyState.RUNNING)
    expect(page.locator("#banner")).to_be_hidden()


def test_stop_asks_first(study: ActedStudy, page: Page) -> None:
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Keep it running").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert study_state(study) is StudyState.RUNNING
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="When the trials have ended").click()
    wait_for(lambda: study_state(study) is StudyState.DRAINING)
    expect(page.get_by_role("status")).to_contain_text("draining")


def test_an_experiment_is_cancelled_on_its_page(study: ActedStudy, page: Page) -> None:
    study.end_trial(1, 2.0)
    study.propose(1.5)
    page.goto("/experiment/1")
    page.get_by_role("button", name="Cancel it").click()
    top = page.get_by_role("region", name="Hypothesis and result", exact=True)
    expect(top).to_contain_text("cancelled")
    with Reader(study.folder.database) as reader:
        one = reader.experiment(1)
    assert one is not None
    assert one.state is ExperimentState.CANCELLED
    expect(page.get_by_role("button", name="Cancel it")).to_be_hidden()


# ---- who may --------------------------------------------------------------------------------


def test_who_only_reads_sees_no_button_and_is_told_why(browser: Browser, url: str) -> None:
    with visiting(browser, url, token=TOKENS.read) as page:
        expect(page.locator("#banner")).to_contain_text("token that only reads")
        for name in ("Pause", "Unpause", "Stop", "Queue it"):
            expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
        expect(page.get_by_label("What should the study look into?")).to_have_count(0)


def test_an_open_page_ends_when_its_session_does(page: Page) -> None:
    other = page.context.new_page()
    other.goto("/browse")
    other.get_by_role("button", name="Log out").click()
    other.wait_for_url("**/login")
    page.wait_for_url("**/login")


def test_a_study_that_does_not_run_says_so_and_keeps_instructions(
    browser: Browser, tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "done", 20)
    with (
        served(folder, reading=True) as client,
        visiting(browser, str(client.base_url).rstrip("/")) as page,
    ):
        expect(page.locator("#banner")).to_contain_text("does not run")
        expect(page.get_by_role("button", name="Stop", exact=True)).to_be_hidden()
        page.get_by_label("What should the study look into?").fill("for the next night")
        page.get_by_role("button", name="Queue it").click()
        wait_for(lambda: len(Mailbox(folder / "inbox").waiting()) == 1)
        expect(page.get_by_text("It waits in the study's mailbox").first).to_be_visible()

"""The report as a verb, over HTTP, and in a browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ViewportSize

from scheduler.study.folder import StudyFolder
from tests.fixtures.browsing import PATIENCE_MS, browser_running, needs_chromium, visiting
from tests.fixtures.confirmed_study import make_confirmed
from tests.fixtures.made_up import make_up
from tests.fixtures.reports import Page
from tests.fixtures.served import TOKENS, bearer, served
from tests.fixtures.verbs import Output, call, document

FILES = ["report.html", "report.md", "report-progress.png", "report-effects.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return StudyFolder(make_confirmed(tmp_path_factory.mktemp("c") / "confirmed", 60, seed=3))


@pytest.fixture(scope="module")
def client(folder: StudyFolder) -> Iterator[httpx.Client]:
    with served(folder.path, reading=True) as client:
        yield client


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTORESEARCH_TOKEN", TOKENS.full)
    monkeypatch.delenv("AUTORESEARCH_URL", raising=False)


def told(content: bytes) -> str:
    """The page's text, without the moment at which it was made."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", "", Page(content).text)


# ---- the verb -------------------------------------------------------------------------------


def test_the_report_lies_in_the_studys_folder_unless_another_place_is_named(
    folder: StudyFolder, tmp_path: Path, capsys: Output
) -> None:
    assert call("report", folder.path, "--json") == 0
    assert document(capsys)["files"] == [str(folder.path / "report.html")]
    assert call("report", folder.path, "--format", "html,md", "-o", tmp_path, "--json") == 0
    assert document(capsys)["files"] == [str(tmp_path / name) for name in FILES]
    assert call("report", folder.path, "--format", "md", "-o", tmp_path / "my own.md") == 0
    text = (tmp_path / "my own.md").read_text()
    assert "](my%20own-progress.png)" in text
    assert (tmp_path / "my own-progress.png").is_file()
    assert not list(tmp_path.glob("*.partial"))


def test_export_writes_the_same_page(folder: StudyFolder, tmp_path: Path) -> None:
    assert call("export", "-s", folder.path, "--format", "tsv,html", "-o", tmp_path) == 0
    assert call("report", folder.path, "-o", tmp_path / "other.html") == 0
    exported, reported = (tmp_path / name for name in ("report.html", "other.html"))
    assert told(exported.read_bytes()) == told(reported.read_bytes())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--format", "pdf"), "there are html and md"),
        (("--format", "html,md", "-o", "/dev/null"), "/dev/null: the folder"),
        (("-o", "/dev/null/report.html"), "is a file"),
    ],
)
def test_bad_usage_is_one_sentence(
    folder: StudyFolder, capsys: Output, arguments: tuple[str, ...], words: str
) -> None:
    assert call("report", folder.path, *arguments) == 2
    assert words in capsys.readouterr().err


def test_behind_a_url_it_is_the_same(
    folder: StudyFolder, client: httpx.Client, tmp_path: Path, capsys: Output
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").mkdir()
    both = ("--format", "html,md", "-o")
    assert call("report", "--url", str(client.base_url), *both, tmp_path / "there", "--json") == 0
    assert [Path(each).name for each in document(capsys)["files"]] == FILES
    assert call("report", folder.path, *both, tmp_path / "here") == 0
    here, there = (tmp_path / place for place in ("here", "there"))
    assert told((here / FILES[0]).read_bytes()) == told((there / FILES[0]).read_bytes())
    for name in FILES[2:]:
        assert (here / name).read_bytes() == (there / name).read_bytes()


# ---- over HTTP ------------------------------------------------------------------------------


def test_the_page_is_served_to_readers_and_may_run_nothing(client: httpx.Client) -> None:
    answer = client.get("/report", headers=bearer(TOKENS.read))
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "sandbox" in policy
    assert "What was kept" in Page(answer.content).headings
    assert httpx.get(f"{client.base_url}/report").status_code == 401


def test_its_files_are_listed_and_no_other_is_given(client: httpx.Client) -> None:
    assert client.get("/report/files").json() == {"files": FILES}
    assert client.get("/report/files?format=html").json() == {"files": FILES[:1]}
    assert client.get("/report/files?format=md").json() == {"files": FILES[1:]}
    kinds = [client.get(f"/report/files/{name}").headers["content-type"] for name in FILES]
    assert kinds == [
        *("text/html; charset=utf-8", "text/markdown; charset=utf-8", "image/png", "image/png"),
    ]
    assert client.get("/report/files/study.db").status_code == 404
    assert client.get("/report/files?format=pdf").status_code == 422


# ---- in a browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browser_running() as browser:
        yield browser


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_can_be_read_in_any_light_and_on_a_phone(
    browser: Browser, folder: StudyFolder, tmp_path: Path, scheme: Literal["light", "dark"],
    width: int,
) -> None:  # fmt: skip
    assert call("report", folder.path, "-o", tmp_path / "r.html") == 0
    page = browser.new_page(color_scheme=scheme, viewport=ViewportSize(width=width, height=900))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: said.append(request.url) if asked(request.url) else None)
    page.goto((tmp_path / "r.html").as_uri())
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert said == []
    page.close()


def asked(url: str) -> bool:
    """Whether a request is for anything but the file itself."""
    return not url.startswith(("data:", "file:"))


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_anyone_from_reading_it(
    browser: Browser, folder: StudyFolder, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    assert call("report", folder.path, "-o", tmp_path / "r.html") == 0
    # The look at it runs a script of its own, which the page's policy forbids.
    page = browser.new_context(color_scheme=scheme, bypass_csp=True).new_page()
    page.goto((tmp_path / "r.html").as_uri())
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.context.close()


@needs_chromium
def test_the_dashboard_leads_to_it(browser: Browser, tmp_path: Path) -> None:
    folder = make_up(tmp_path / "a-night", experiments=12)
    with (
        served(folder.path, reading=True) as client,
        visiting(browser, str(client.base_url).rstrip("/")) as page,
    ):
        page.get_by_role("link", name="Report").click()
        page.get_by_role("heading", name="In short").wait_for(timeout=PATIENCE_MS)
        assert page.get_by_role("heading", level=1).inner_text() == "a-night"

"""The dashboard of a long study: how soon it is painted, and how long its questions take.

`python -m benchmarks dashboard`: a synthetic study of 10,000 experiments, its HTTP process, and
Debian's chromium. A page is measured in a fresh browser profile (nothing cached) and once more
with what the first visit left; the times are the browser's own paint timing, and the moment at
which the page's last panel stands there with its rows. Leaderboard and filters are timed over HTTP.
Last comes the memory of the HTTP process: visitors come in waves of ten and go, four times with
--full and twice without.
"""

import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import httpx
import psutil
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from benchmarks.goals import Figure
from scheduler.api.dashboard import RECONNECT_SECONDS
from tests.fixtures.served import TOKENS, served
from tests.long_study import lengthen
from tests.synthetic import make_study

FIRST, TIMES, VISITS, QUESTIONS = 250, 40, 5, 30
WAVES, MANY_WAVES = 2, 4  # of visitors: from the second on it shows whether they add up
FORGOTTEN_SECONDS = RECONNECT_SECONDS + 2  # then a page that lost its connection is forgotten
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
READY = """
() => document.querySelectorAll('canvas').length > 0
  && document.querySelectorAll('[aria-label="Leaderboard"] tbody tr').length >= 10
"""
ASKED = {
    "leaderboard": "/leaderboard",
    "newest 50": "/experiments?limit=50&order=desc",
    "kept, by metric": "/experiments?state=keep&sort=metric&limit=50",
    "failed": "/experiments?state=crash&state=oom&limit=50",
    "text in title": "/experiments?text=cosine&limit=50",
    "text that nothing has": "/experiments?text=nothing-of-the-kind&limit=50",
}


def main(*, full: bool = False) -> list[Figure]:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as place:
        folder = make_study(Path(place) / "long", FIRST, slots=8)
        count = lengthen(folder / "study.db", TIMES)
        with served(folder) as client:
            print(f"{count:,} experiments, load {os.getloadavg()[0]:.1f}")
            worst = _questions(client)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path="/usr/bin/chromium", args=["--no-sandbox"]
                )
                paint = _visits(browser, str(client.base_url))
                _memory(browser, str(client.base_url), MANY_WAVES if full else WAVES)
                browser.close()
    return [
        Figure("first paint of the page, 10,000 experiments", paint / 1000, "s", 2),
        Figure("leaderboard and filters over HTTP, the slowest median", worst, "ms", 100),
    ]


def _questions(client: httpx.Client) -> float:
    medians = []
    print("\n| question over HTTP | ms, median | worst |\n| --- | --- | --- |")
    for name, path in ASKED.items():
        taken = [_timed(partial(client.get, path)) for _ in range(QUESTIONS)]
        print(f"| {name} | {median(taken):.1f} | {max(taken):.1f} |")
        medians.append(median(taken))
    return max(medians)


def _timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - begun)


def _visits(browser: Browser, url: str) -> float:
    """Print them; the milliseconds of a first visit's first paint."""
    print("\n| page | visit | first paint, ms | all there, ms |\n| --- | --- | --- | --- |")
    fresh, again = [], []
    for _ in range(VISITS):
        context = _login(browser, url)
        fresh.append(_visit(context, url))
        again.append(_visit(context, url))
        context.close()
    for name, visits in (("first", fresh), ("next", again)):
        paint, ready = (median(each) for each in zip(*visits, strict=True))
        print(f"| overview | {name} | {paint:.0f} | {ready:.0f} |")
    return median(paint for paint, _ in fresh)


def _login(browser: Browser, url: str) -> BrowserContext:
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("#token", TOKENS.full)
    page.click("button")
    page.wait_for_selector("canvas")
    page.goto("about:blank")
    return context


def _visit(context: BrowserContext, url: str) -> tuple[float, float]:
    page = context.new_page()
    page.goto(url, wait_until="commit")
    page.wait_for_function(READY, timeout=60_000, polling=20)
    ready = float(page.evaluate("performance.now()"))
    paint = float(page.evaluate(PAINT))
    page.close()
    return paint, ready


def _memory(browser: Browser, url: str, waves: int) -> None:
    """What open pages cost the process; visitors who are gone should not add up."""
    (process,) = [
        p for p in psutil.Process().children() if "scheduler.api" in " ".join(p.cmdline())
    ]
    figures = [process.memory_info().rss]
    for _ in range(waves):
        context = _login(browser, url)
        pages = [context.new_page() for _ in range(10)]
        for page in pages:
            page.goto(url, wait_until="commit")
        for page in pages:
            page.wait_for_function(READY, timeout=60_000)
        figures.append(process.memory_info().rss)
        context.close()
        time.sleep(FORGOTTEN_SECONDS)
        figures.append(process.memory_info().rss)
    shown = ", ".join(f"{each / 2**20:.0f}" for each in figures)
    print(f"\nmemory of the HTTP process, MiB, before and with 10 pages open, closed, ...: {shown}")


if __name__ == "__main__":
    main(full=True)

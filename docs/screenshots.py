"""Makes the pictures of the dashboard in `docs/images/`, from a study that is made up.

`python -m docs.screenshots [NAME ...]`, with Debian's chromium: every page as a desktop and a phone
show it, light and dark; or those named. What is in them never trained, and means nothing.
"""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.fixtures.made_up import Animation, make_up
from tests.fixtures.served import TOKENS, served

IMAGES = Path(__file__).parent / "images"
CURVE_SECONDS = 25  # in which loss curves grow to something that can be seen
PHONE = ViewportSize(width=390, height=844)
DESKTOP = ViewportSize(width=1360, height=1050)


@dataclass(frozen=True)
class Picture:
    """One picture."""

    name: str
    path: str
    scheme: Literal["dark", "light"]
    phone: bool = False
    whole: bool = True  # all of the page, not only what a window shows
    shown_by: str = ".panel"  # what is there once there is something to see


PICTURES = (
    Picture("overview-light", "/", "light", whole=False),
    Picture("overview-dark", "/", "dark", whole=False),
    Picture("overview-phone-light", "/", "light", phone=True, whole=False),
    Picture("overview-phone-dark", "/", "dark", phone=True, whole=False),
    Picture("experiment-light", "/experiment/27", "light", whole=False),
    Picture("experiment-dark", "/experiment/27", "dark"),
    Picture("experiment-phone-light", "/experiment/27", "light", phone=True, whole=False),
    Picture("browse-light", "/browse", "light", whole=False),
    Picture("report-light", "/report#section-5", "light", whole=False, shown_by="figure"),
    Picture("report-dark", "/report#section-5", "dark", whole=False, shown_by="figure"),
)


def main() -> None:
    """Make them."""
    wanted = [each for each in PICTURES if not sys.argv[1:] or each.name in sys.argv[1:]]
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = make_up(Path(place) / "a-night")
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        with Animation(folder), served(folder.path) as client:
            for number, picture in enumerate(wanted):
                page = _open(browser, str(client.base_url), picture)
                page.wait_for_timeout(1000 * (1.5 if number else CURVE_SECONDS))
                file = IMAGES / f"{picture.name}.png"
                page.screenshot(path=file, full_page=picture.whole)
                page.context.close()
                _shrink(file)
                print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
        browser.close()


def _open(browser: Browser, url: str, picture: Picture) -> Page:
    context = browser.new_context(
        viewport=PHONE if picture.phone else DESKTOP, color_scheme=picture.scheme
    )
    page = context.new_page()
    page.goto(f"{url}/login")
    page.fill("#token", TOKENS.full)
    page.click("button")
    page.goto(url + picture.path)
    page.wait_for_selector(picture.shown_by)
    return page


def _shrink(file: Path) -> None:
    """256 colours are enough for a page, and a third of the bytes."""
    with Image.open(file) as image:
        image.convert("RGB").quantize(
            256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        ).save(file, optimize=True)


if __name__ == "__main__":
    main()

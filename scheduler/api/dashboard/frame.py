"""What every page has: the head with the study's state and steering, light or dark, and the look.

In: a page's title, and who looks. Out: a context to build the page's content in, and the Head,
which the page brings up to date.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from nicegui import ui

from scheduler.api.dashboard.look import LOOK
from scheduler.api.dashboard.steering import Head
from scheduler.api.dashboard.visitor import Visitor

REMEMBER = "localStorage.setItem('autoresearch-dark', {!r})"
RECALL = "return localStorage.getItem('autoresearch-dark')"
LOG_OUT = "() => fetch('/logout', {method: 'POST'}).then(() => location.assign('/login'))"
SHADES = {"auto": None, "light": False, "dark": True}


@contextmanager
def frame(visitor: Visitor, title: str, *, shown: bool = True) -> Iterator[Head]:
    """The page around its content; `shown`: its title is also a line that one sees."""
    name = visitor.context.folder.name
    ui.page_title(f"{title} - {name}")
    ui.add_css(LOOK)
    dark = ui.dark_mode(None)
    with ui.header(bordered=True).classes("items-center gap-3 wrap").style("padding: .5rem 1rem"):
        ui.link("Skip to the content", "#content").classes("skip")
        ui.link(name, "/").classes("text-lg font-bold").style("text-decoration: none")
        head = Head(visitor)
        with ui.row().classes("items-center gap-3").props('role="navigation" aria-label="Pages"'):
            ui.link("Experiments", "/browse")
            ui.link("Report", "/report")
            ui.link("API", "/docs")
        head.add_buttons()
        _add_shade(dark)
    with ui.column().classes("page").props('id="content" tabindex="-1"'):
        heading(1, title).classes("" if shown else "unseen")
        head.add_banner()
        yield head
        out = ui.button("Log out", icon="logout", color=None).props("flat dense no-caps")
        out.classes("plain").on("click", js_handler=LOG_OUT)


def heading(level: int, text: str) -> ui.label:
    """A heading; its text is text."""
    label = ui.label(text)
    label.tag = f"h{level}"
    return label.classes("text")


def _add_shade(dark: ui.dark_mode) -> None:
    names = list(SHADES)

    def switch() -> None:
        chosen = names[(names.index(state["shade"]) + 1) % len(names)]
        state["shade"] = chosen
        dark.value = SHADES[chosen]
        button.props(f'aria-label="Colours: {chosen}. Switch"')
        tip.text = f"colours: {chosen}"
        ui.run_javascript(REMEMBER.format(chosen))

    state = {"shade": "auto"}
    button = ui.button(icon="contrast", on_click=switch).props("flat round dense color=white")
    button.props('aria-label="Colours: auto. Switch"')
    with button:
        tip = ui.tooltip("colours: auto")

    async def recall() -> None:
        shade = None
        with suppress(TimeoutError):  # the page is gone already, or the machine very busy
            shade = await ui.run_javascript(RECALL, timeout=10.0)
        if shade in SHADES and shade != state["shade"]:
            state["shade"] = names[names.index(shade) - 1]
            switch()

    # Not by a timer: the library answers a page's request as soon as anything of it waits for the
    # browser, and what the page has to await until then would come a second later.
    ui.context.client.on_connect(recall)


def keep_up(visitor: Visitor, update: Callable[[], Awaitable[None]]) -> None:
    """Call `update` about once a second, as long as the page is open and may be."""

    async def look() -> None:
        if visitor.may_read:
            await update()
        else:
            timer.deactivate()
            ui.navigate.to("/login")

    timer = ui.timer(1.0, look)

"""What every page has: head with the study's name and state, steering, light or dark, and the look.

In: a page's title, and who looks. Out: a context to build the page's content in, and a function
that brings the head up to date. Buttons that this visitor can't use are not there, and the page
says why.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from nicegui import ui
from starlette.requests import Request

from scheduler.api.context import Context
from scheduler.api.dashboard import words
from scheduler.api.dashboard.snapshot import Snapshot, Snapshots
from scheduler.errors import SchedulerError
from scheduler.rules.states import StudyState
from scheduler.study.letters import AnyLetter, Pause, Stop, Unpause

LOOK = """
:root { --nicegui-default-padding: 0.75rem; --nicegui-default-gap: 0.75rem }
body { font-variant-numeric: tabular-nums }
.page { width: 100%; max-width: 82rem; margin: 0 auto; padding: 1rem; gap: 1rem }
.panel { width: 100%; padding: 1rem; border-radius: .6rem; box-shadow: none;
  border: 1px solid rgba(128, 128, 128, .3); gap: .5rem; min-width: 0; overflow: hidden }
.panel li, .panel ul { min-width: 0; max-width: 100% }
.page h1 { font-size: 1.35rem; font-weight: 700; line-height: 1.3; margin: 0 }
.panel h2 { font-size: 1.05rem; font-weight: 650; line-height: 1.3; margin: 0 }
.columns { display: grid; width: 100%; gap: 1rem; grid-template-columns: minmax(0, 1fr) }
@media (min-width: 1000px) { .columns { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) } }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  width: 100%; margin: 0 }
.facts dt { opacity: .75; font-size: .8rem } .facts dd { margin: 0; font-weight: 600 }
.slots { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .6rem;
  width: 100% }
.slot { border: 1px solid rgba(128, 128, 128, .3); border-radius: .5rem; padding: .5rem .7rem;
  min-width: 0 }
.one-line { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 100% }
.text { white-space: pre-wrap; overflow-wrap: anywhere }
.code { white-space: pre; overflow: auto; max-height: 34rem; font: .8rem/1.45 ui-monospace,
  SFMono-Regular, Menlo, Consolas, monospace; margin: 0; width: 100%; padding: .75rem;
  border-radius: .4rem; background: rgba(128, 128, 128, .1) }
.code .plus { background: rgba(46, 160, 67, .22); display: block }
.code .minus { background: rgba(248, 81, 73, .2); display: block }
.code .at { color: #8250df; display: block } .body--dark .code .at { color: #c297ff }
.quiet { opacity: .75 } .mono { font-family: ui-monospace, Menlo, Consolas, monospace }
.skip { position: absolute; left: -999px } .skip:focus { left: 1rem; top: 1rem; z-index: 9999;
  background: #fff; color: #000; padding: .5rem 1rem }
a { text-underline-offset: .15em }
.body--light a { color: #0b5cad } .body--dark a { color: #7cc4ff }
.q-header a { color: inherit } :focus-visible { outline: 2px solid #2f81f7; outline-offset: 2px }
.q-table th { opacity: .85; font-weight: 600 } .q-table td.wrap { white-space: normal }
.body--light { background: #f6f7f9 } .body--light .panel { background: #fff }
.body--dark { background: #101214 } .body--dark .panel { background: #181b1f }
.body--light .text-negative { color: #b3261e !important }
.body--light .text-positive { color: #1a7f37 !important }
.body--light .text-grey { color: #57606a !important }
.body--dark .text-negative { color: #ff8f85 !important }
.body--dark .text-positive { color: #5fd47a !important }
.body--dark .text-grey { color: #a3adb8 !important }
.body--dark .text-primary { color: #7cc4ff !important }
@media (prefers-reduced-motion: reduce) { * { transition: none !important; animation: none
  !important } }
"""
REMEMBER = "localStorage.setItem('autoresearch-dark', {!r})"
RECALL = "return localStorage.getItem('autoresearch-dark')"
SHADES = {"auto": None, "light": False, "dark": True}


@dataclass(frozen=True)
class Visitor:
    """Who looks at a page."""

    snapshots: Snapshots
    may_write: bool

    @property
    def context(self) -> Context:
        """The study."""
        return self.snapshots.context

    @property
    def may_steer(self) -> bool:
        """Whether pause, stop and the like would do anything."""
        return self.may_write and self.context.is_running

    @classmethod
    def of(cls, snapshots: Snapshots, request: Request) -> "Visitor":
        """Whoever sent the request for the page."""
        return cls(snapshots, snapshots.context.may_write(request))

    async def tell(self, letter: AnyLetter, done: str) -> bool:
        """Leave a letter and say what became of it; True where it was done."""
        try:
            reply = await self.context.ask(letter)
        except SchedulerError as error:
            ui.notify(str(error), type="negative")
            return False
        if reply is None:
            ui.notify("left in the study's mailbox; it has not answered yet", type="warning")
        elif reply.refused:
            ui.notify(f"not done: {reply.refused}", type="negative", timeout=8000)
        else:
            ui.notify(done, type="positive")
        return reply is not None and not reply.refused


@contextmanager
def frame(visitor: Visitor, title: str) -> Iterator["Head"]:
    """The page around its content."""
    name = visitor.context.folder.name
    ui.page_title(f"{title} - {name}" if title else name)
    ui.add_css(LOOK)
    ui.add_head_html('<meta name="color-scheme" content="light dark">')
    dark = ui.dark_mode(None)
    ui.link("Skip to the content", "#content").classes("skip")
    with (
        ui.header(bordered=True)
        .classes("items-center gap-3 py-2 px-4 wrap")
        .style("background: #1c2733; color: #fff")
    ):
        ui.link(name, "/").classes("text-lg font-bold no-underline")
        head = Head(visitor)
        ui.space()
        with ui.row().classes("items-center gap-2").props('role="navigation" aria-label="Pages"'):
            ui.link("Experiments", "/browse")
            ui.link("API", "/docs")
        head.add_buttons()
        _add_shade(dark)
    with ui.column().classes("page").props('id="content" tabindex="-1"'):
        yield head


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

    ui.timer(0.1, recall, once=True)


class Head:
    """State and steering, in the bar above every page."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        with (
            ui.row()
            .classes("items-center gap-2 no-wrap")
            .props('role="status" aria-live="polite" id="state"')
        ):
            self._icon = ui.icon("circle").props('aria-hidden="true"')
            self._text = ui.label("…").classes("text")
        self._buttons: dict[str, ui.button] = {}

    def add_buttons(self) -> None:
        """Pause, unpause and stop, for those who may."""
        if not self._visitor.may_write:
            ui.label("read only").classes("quiet").tooltip(
                "you are logged in with the token that only reads"
            )
            return
        visitor = self._visitor

        async def pause() -> None:
            await visitor.tell(Pause(), "paused: running trials end, nothing new starts")

        async def unpause() -> None:
            await visitor.tell(Unpause(), "the study goes on")

        dialog = _stop_dialog(visitor)
        for name, icon, act in (
            ("Pause", "pause", pause),
            ("Unpause", "play_arrow", unpause),
            ("Stop", "stop", dialog.open),
        ):
            button = ui.button(name, icon=icon, on_click=act).props(
                "outline dense no-caps color=white"
            )
            button.set_visibility(False)
            self._buttons[name] = button

    def show(self, snapshot: Snapshot | None) -> None:
        """Bring the bar up to date."""
        if snapshot is None:
            self._text.set_text("nothing is recorded yet")
            return
        icon, _ = words.STATES[snapshot.study.state]
        self._icon.set_name(icon)
        self._text.set_text(words.condition(snapshot.study, runs=snapshot.runs))
        state = snapshot.study.state
        for name, states in (
            ("Pause", (StudyState.RUNNING,)),
            ("Unpause", (StudyState.PAUSED,)),
            ("Stop", (StudyState.RUNNING, StudyState.PAUSED, StudyState.DRAINING)),
        ):
            if (button := self._buttons.get(name)) is not None:
                button.set_visibility(snapshot.runs and state in states)


def _stop_dialog(visitor: Visitor) -> ui.dialog:
    async def stop(*, now: bool) -> None:
        dialog.close()
        words_ = "stopping now" if now else "stopping once the running trials have ended"
        await visitor.tell(Stop(now=now), words_)

    with ui.dialog().props('aria-label="Stop the study"') as dialog, ui.card().classes("gap-3"):
        ui.label("Stop the study?").classes("text-lg font-bold")
        ui.label(
            "The same command takes it up again. Trials that are cut short run again then."
        ).classes("text")
        with ui.row().classes("gap-2"):
            ui.button("When the trials have ended", on_click=lambda: stop(now=False)).props(
                "no-caps"
            )
            ui.button("Now", on_click=lambda: stop(now=True)).props("no-caps color=negative")
            ui.button("Keep it running", on_click=dialog.close).props("no-caps flat")
    return dialog


def keep_up(update: Callable[[], Awaitable[None]]) -> None:
    """Call `update` about once a second, as long as the page is open."""
    ui.timer(1.0, update)

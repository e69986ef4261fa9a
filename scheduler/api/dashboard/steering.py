"""The study's state in the bar above every page, with the buttons that steer it, and the banner.

Buttons that this visitor can't use are not there, and a word says why.
"""

from nicegui import ui

from scheduler.api.dashboard import words
from scheduler.api.dashboard.snapshot import Snapshot
from scheduler.api.dashboard.visitor import Visitor
from scheduler.rules.states import StudyState
from scheduler.study.letters import Pause, Stop, Unpause

BUTTONS = {
    "Pause": ("pause", (StudyState.RUNNING,)),
    "Unpause": ("play_arrow", (StudyState.PAUSED,)),
    "Stop": ("stop", (StudyState.RUNNING, StudyState.PAUSED, StudyState.DRAINING)),
}
"""Icon, and the states of the study in which the button does something."""

READ_ONLY = "You are logged in with the token that only reads."
RESTS = "This study does not run: `autoresearch run` with its folder takes it up again."


class Head:
    """State and steering."""

    def __init__(self, visitor: Visitor) -> None:
        """The state, where the bar is being built."""
        self._visitor = visitor
        self._buttons: dict[str, ui.button] = {}
        self._shown: object = None
        state = ui.row().classes("items-center gap-2 no-wrap state").props('role="status"')
        with state.props('aria-live="polite" id="state"'):
            self._icon = ui.icon("circle").props('aria-hidden="true"')
            self._text = ui.label("…").classes("one-line")

    def add_buttons(self) -> None:
        """Pause, unpause and stop, for those who may."""
        if not self._visitor.may_write:
            ui.label("read only").classes("quiet")
            return
        visitor = self._visitor

        async def pause() -> None:
            await visitor.tell(Pause(), "Paused: running trials end, nothing new starts.")

        async def unpause() -> None:
            await visitor.tell(Unpause(), "The study goes on.")

        acts = {"Pause": pause, "Unpause": unpause, "Stop": _stop_dialog(visitor).open}
        for name, (icon, _) in BUTTONS.items():
            button = ui.button(name, icon=icon, on_click=acts[name])
            button.props("outline dense no-caps color=white padding='xs sm'")
            button.set_visibility(False)
            self._buttons[name] = button

    def add_banner(self) -> None:
        """Where the page's content begins: what keeps the study from work."""
        with ui.row().classes("banner items-center no-wrap").props('id="banner"') as self._banner:
            ui.icon("info", size="sm").props('aria-hidden="true"')
            self._why = ui.label("").classes("text grow")
        self._banner.set_visibility(False)

    def show(self, snapshot: Snapshot | None) -> None:
        """Bring it up to date."""
        if snapshot is None:
            self._text.set_text("nothing is recorded yet")
            return
        study, runs = snapshot.study, snapshot.runs
        now = (study.state, study.reason, study.text, tuple(study.troubles.items()), runs)
        if now == self._shown:
            return
        self._shown = now
        icon, _ = words.STATES[study.state]
        self._icon.set_name(icon)
        self._text.set_text(words.condition(study, runs=runs))
        for name, button in self._buttons.items():
            button.set_visibility(runs and study.state in BUTTONS[name][1])
        lines = [f"{name}: {why}" for name, why in study.troubles.items()]
        if study.state is not StudyState.RUNNING or not runs:
            lines.insert(0, _sentence(words.condition(study, runs=runs)))
        if not runs:
            lines.append(RESTS)
        if not self._visitor.may_write:
            lines.append(READ_ONLY)
        self._why.set_text("\n".join(lines))
        self._banner.set_visibility(bool(lines))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _stop_dialog(visitor: Visitor) -> ui.dialog:
    async def stop(*, now: bool) -> None:
        dialog.close()
        done = "Stopping now." if now else "Stopping once the running trials have ended."
        await visitor.tell(Stop(now=now), done)

    with ui.dialog().props('aria-label="Stop the study"') as dialog, ui.card().classes("gap-3"):
        ui.label("Stop the study?").classes("text-lg font-bold")
        ui.label(
            "The same command takes it up again. Trials that are cut short run again then."
        ).classes("text")
        with ui.row().classes("gap-2"):
            for text, look, act in (
                ("When the trials have ended", "solid", lambda: stop(now=False)),
                ("Now", "danger", lambda: stop(now=True)),
                ("Keep it running", "plain", dialog.close),
            ):
                button = ui.button(text, on_click=act, color=None).props("no-caps unelevated")
                button.classes(look)
    return dialog

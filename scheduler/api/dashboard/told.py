"""The instruction box, and what came of each instruction."""

from collections.abc import Mapping

from nicegui import ui

from scheduler.api.dashboard import words
from scheduler.api.dashboard.panels import link_to
from scheduler.api.dashboard.snapshot import NAMED, Snapshot
from scheduler.api.dashboard.steering import READ_ONLY
from scheduler.api.dashboard.visitor import LATER, Visitor
from scheduler.study.letters import LONGEST_TEXT, Instruct, Withdraw
from scheduler.study.records import Experiment, InstructionRecord


class Told:
    """The panel of one page."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._shown: object = None
        if visitor.may_write:
            self._add_box()
        else:
            ui.label(READ_ONLY).classes("quiet text")
        self._waits = ui.label(LATER).classes("quiet text")
        self._list = ui.column().classes("w-full gap-2").props('role="list"')

    def _add_box(self) -> None:
        async def send() -> None:
            text = (box.value or "").strip()
            if not 1 <= len(text) <= LONGEST_TEXT:
                ui.notify("Say what the study should look into.", type="warning")
                return
            letter = Instruct(text=text, priority=int(priority.value or 0))
            send_it.disable()
            if await self._visitor.tell(letter, "Queued: the next briefing holds it."):
                box.set_value("")
            send_it.enable()

        box = ui.textarea("What should the study look into?").classes("w-full")
        box.props(f'outlined autogrow maxlength="{LONGEST_TEXT}" for="instruction"')
        with ui.row().classes("items-center gap-3 w-full"):
            priority = ui.number("Priority", value=0, min=-1000, max=1000, format="%d")
            priority.props("outlined dense").classes("narrow")
            send_it = ui.button("Queue it", icon="send", on_click=send, color=None)
            send_it.props("no-caps unelevated").classes("solid")
        if not self._visitor.context.config.agent.models:
            ui.label(
                "No language model is set, and the tuner reads none: resume the study with --model."
            ).classes("quiet text")

    def show(self, snapshot: Snapshot) -> None:
        """List what was asked for, the newest first."""
        now = (snapshot.instructions, snapshot.waiting, snapshot.results, snapshot.runs)
        if now == self._shown:
            return
        self._shown = now
        self._waits.set_visibility(not snapshot.runs and self._visitor.may_write)
        self._list.clear()
        with self._list:
            if not (snapshot.instructions or snapshot.waiting):
                ui.label("None yet.").classes("quiet")
            for letter in reversed(snapshot.waiting):
                with ui.column().classes("w-full gap-0").props('role="listitem"'):
                    ui.label("waiting in the mailbox").classes("quiet")
                    ui.label(letter.text).classes("text w-full")
            for told in snapshot.instructions:
                self._add(told, snapshot.results)

    def _add(self, told: InstructionRecord, results: Mapping[int, Experiment]) -> None:
        icon, colour = words.TOLD[told.state]
        with ui.column().classes("w-full gap-0").props('role="listitem"'):
            with ui.row().classes("items-center gap-2 w-full no-wrap"):
                ui.icon(icon, color=colour).props('aria-hidden="true"')
                ui.label(f"{told.id} · {told.state}").classes("quiet")
                if told.priority:
                    ui.label(f"priority {told.priority}").classes("quiet")
                ui.space()
                if self._visitor.may_write and not told.state.is_final:
                    self._add_withdraw(told.id)
            ui.label(told.text).classes("text w-full")
            if told.experiments:
                self._add_results(told, results)

    def _add_withdraw(self, number: int) -> None:
        async def withdraw() -> None:
            await self._visitor.tell(Withdraw(number), f"Instruction {number} is withdrawn.")

        button = ui.button(icon="undo", on_click=withdraw, color=None).props("flat round dense")
        button.props(f'aria-label="Withdraw instruction {number}"').tooltip("withdraw").classes(
            "plain"
        )

    def _add_results(self, told: InstructionRecord, results: Mapping[int, Experiment]) -> None:
        with ui.row().classes("gap-2"):
            ui.label("led to").classes("quiet")
            if (more := len(told.experiments) - NAMED) > 0:
                ui.label(f"{more:,} more, and").classes("quiet")
            for number in told.experiments[-NAMED:]:
                if (experiment := results.get(number)) is not None:
                    figure = words.metric(experiment.metric)
                    link_to(number, f"#{number} {experiment.state} {figure}")

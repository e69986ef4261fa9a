"""The page `/experiment/NUMBER`: one experiment, live as long as it is not decided.

In: its number. Out: hypothesis against result, what it changed, what its trials took and printed,
and the call of the model that it came from. All of it is text from models and training: it is
shown as text.
"""

from dataclasses import dataclass

from nicegui import ui
from starlette.requests import Request

from scheduler.api.dashboard import words
from scheduler.api.dashboard.evidence import add_calls, add_trial, cut
from scheduler.api.dashboard.frame import frame, heading, keep_up
from scheduler.api.dashboard.panels import Facts, code, link_to, panel, state_badge
from scheduler.api.dashboard.running_log import RunningLog
from scheduler.api.dashboard.slots import Card
from scheduler.api.dashboard.snapshot import Snapshot
from scheduler.api.dashboard.visitor import Visitor, Visitors
from scheduler.errors import SchedulerError
from scheduler.figures import change
from scheduler.rules.order import OrderCheck, check_order
from scheduler.rules.states import ExperimentState
from scheduler.study.letters import Cancel
from scheduler.study.listing import by_numbers, calls_of
from scheduler.study.patch import unified_diff
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, TrialRecord
from scheduler.study.trial_logs import TrialLogs, kept_tails

ANCESTORS = 12  # nearest ones that are named


@dataclass(frozen=True)
class Whole:
    """An experiment with what belongs to it and may still change."""

    experiment: Experiment
    trials: list[TrialRecord]
    children: list[Experiment]
    ancestors: list[Experiment]  # the oldest first, the parent last
    order: OrderCheck  # of the champions


def add_page(visitors: Visitors) -> None:
    """Register the page."""

    @ui.page("/experiment/{name}")
    async def experiment(request: Request, name: str) -> None:
        visitor, number = visitors.of(request), int(name) if name.isdecimal() else -1
        context, whole = visitor.context, None
        try:
            whole = await context.read(
                lambda reader: _read(reader, number, minimize=context.minimize)
            )
        except SchedulerError as error:
            why = str(error)
        else:
            why = f"There is no experiment {name}."
        with frame(visitor, f"Experiment {name}") as head:
            if whole is None:
                ui.label(why)
            else:
                diff, calls = await context.read(
                    lambda reader: (_diff(reader, number), calls_of(reader, whole.experiment))
                )
                page = _Page(visitor, number)
                with panel("Its code" if whole.experiment.parent is None else "What it changed"):
                    code(cut(diff) or "nothing", "Changes as a patch")
                page.add_trials_and_log()
                if calls:
                    with panel("Prompt and answer"):
                        add_calls(calls)
        seen = -1

        async def update() -> None:
            nonlocal seen
            if context.follower.version != seen:
                seen, now = await visitor.snapshots.newest()
                head.show(now)
                if whole is not None and now is not None:
                    await page.update(now)

        await update()
        keep_up(visitor, update)


def _read(reader: Reader, number: int, *, minimize: bool) -> Whole | None:
    experiment = reader.experiment(number) if 0 <= number < 2**63 else None
    if experiment is None:
        return None
    kept = experiment.state is ExperimentState.KEEP
    before = sorted(reader.lineage(number) - {number})[-ANCESTORS:]  # a parent is always older
    found = by_numbers(reader, before)
    return Whole(
        experiment=experiment,
        trials=reader.trials(number),
        children=reader.kept_children(number),
        ancestors=[found[each] for each in before if each in found],
        order=check_order(reader.figures() if kept else (), minimize=minimize),
    )


def _diff(reader: Reader, number: int) -> str:
    experiment = reader.experiment(number)
    parent = experiment.parent if experiment else None
    files = reader.files(number)
    if parent is None:
        return "\n".join(files.values())
    return unified_diff(reader.files(parent), files)


class _Page:
    """The panels whose content can change."""

    def __init__(self, visitor: Visitor, number: int) -> None:
        self._visitor, self._number = visitor, number
        self._whole: Whole | None = None
        self._events = -1  # of the journal, when the experiment was read
        self._steered = False  # whether a button to cancel it is there
        self._top = ui.column().classes("w-full")
        with panel("Now") as self._now:
            self._card = Card()
        self._now.set_visibility(False)

    def add_trials_and_log(self) -> None:
        """The lower ones, where the page is being built."""
        with panel("Trials"):
            self._trials = ui.column().classes("w-full gap-4")
        with panel("Log"):
            self._log = RunningLog(TrialLogs(self._visitor.context.folder.experiment(self._number)))

    async def update(self, now: Snapshot) -> None:
        """Read it anew where the study has moved; draw what differs."""
        context = self._visitor.context
        if self._events != (newest := context.follower.newest) or self._whole is None:
            whole = await context.read(
                lambda reader: _read(reader, self._number, minimize=context.minimize)
            )
            self._events = newest
            if whole is not None and whole != self._whole:
                self._whole = whole
                self._show_top(whole)
                self._show_trials(whole)
        if self._whole is None:
            return
        if self._steered != self._may_cancel(self._whole.experiment):
            self._show_top(self._whole)
        mine = next((slot for slot in now.slots if slot.experiment == self._number), None)
        self._now.set_visibility(mine is not None)
        if mine is not None and mine.trial is not None:
            self._card.show(mine, now.curves.get(mine.trial, ()))
        await self._log.update(
            undecided=not self._whole.experiment.state.is_final,
            kept_tail=kept_tails(self._whole.trials),
        )

    def _may_cancel(self, one: Experiment) -> bool:
        return not one.state.is_final and self._visitor.may_steer

    def _show_top(self, whole: Whole) -> None:
        one = whole.experiment
        self._steered = self._may_cancel(one)
        self._top.clear()
        with self._top, panel("Hypothesis and result"):
            ui.label(words.title(one)).classes("text-lg font-bold text")
            with ui.row().classes("items-center gap-4"):
                state_badge(one.state)
                ui.label(f"by {one.origin}").classes("quiet")
                if one.instruction is not None:
                    ui.label(f"serves instruction {one.instruction}").classes("quiet")
                if self._steered:
                    self._add_cancel()
            _add_result(self._visitor.context.metric, whole)
            _add_order(whole)
            _add_kin(whole)

    def _add_cancel(self) -> None:
        async def cancel() -> None:
            await self._visitor.tell(
                Cancel(self._number), f"Experiment {self._number} is cancelled."
            )

        button = ui.button("Cancel it", icon="cancel", on_click=cancel, color=None)
        button.props("flat dense no-caps").classes("plain")

    def _show_trials(self, whole: Whole) -> None:
        self._trials.clear()
        with self._trials:
            if not whole.trials:
                ui.label("None yet.").classes("quiet")
            for trial in whole.trials:
                add_trial(trial)


def _add_result(metric: str, whole: Whole) -> None:
    one = whole.experiment
    parent = next((each for each in whole.ancestors if each.id == one.parent), None)
    figures = {
        "expected": one.expected or words.NONE,
        "against its parent": words.difference(one.metric, parent.metric if parent else None),
        metric: words.metric(one.metric),
        **({"measured in": one.repeats.words} if one.repeats else {}),
    }
    Facts(figures).show(figures)
    for name, text in (
        ("Hypothesis", one.hypothesis),
        ("Decision", one.reason),
        ("Lesson", one.lesson),
    ):
        if text:
            heading(3, name)
            ui.label(text).classes("text")


def _add_order(whole: Whole) -> None:
    """By how much it beat the champion before it, by each measure, and whether that is in doubt."""
    number, order = whole.experiment.id, whole.order
    said = [
        f"{name}: {change(gain.other)} to #{gain.over}, as against {change(gain.usual)}"
        for name, each in (("on the audit split", order.audit), ("longer budget", order.long))
        for gain in each.gains
        if gain.experiment == number
    ]
    if said:
        heading(3, "Does its gain hold?")
        for each in said:
            ui.label(each).classes("text")
        for each in order.about(number):
            ui.label(each).classes("text bad")


def _add_kin(whole: Whole) -> None:
    one = whole.experiment
    if whole.ancestors:
        heading(3, "Lineage")
        with ui.row().classes("gap-2 items-baseline"):
            for each in whole.ancestors[:-1]:
                link_to(each.id)
                ui.label("→").props('aria-hidden="true"')
            parent = whole.ancestors[-1]
            link_to(parent.id, f"#{parent.id} {words.title(parent)}")
    kin = {"Combines it with": one.combines, "Mends": one.mends, "Takes out": one.ablates}
    for name, number in kin.items():
        if number is not None:
            heading(3, name)
            link_to(number)
    if one.rebases:
        heading(3, "Carries over what was overtaken")
        with ui.row().classes("gap-3 items-baseline"):
            for number in one.rebases:
                link_to(number)
    if whole.children:
        heading(3, "Kept on top of it")
        with ui.row().classes("gap-3 items-baseline"):
            for child in whole.children:
                link_to(child.id)

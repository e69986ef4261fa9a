"""The page `/experiment/NUMBER`: one experiment, live as long as it is not decided.

In: its number. Out: hypothesis against result, what it changed, what its trials took and printed,
and the call of the model that it came from. All of it is text from models and training: it is
shown as text.
"""

from dataclasses import dataclass

from nicegui import ui
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from scheduler.api.dashboard import words
from scheduler.api.dashboard.frame import Visitor, frame, keep_up
from scheduler.api.dashboard.panels import Facts, code, link_to, panel, state_badge
from scheduler.api.dashboard.snapshot import Snapshots
from scheduler.study.artifacts import unified_diff
from scheduler.study.calls import CallRecord
from scheduler.study.folder import StudyFolder
from scheduler.study.letters import Cancel
from scheduler.study.listing import calls_of
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, TrialRecord

LOG_BYTES = 64 * 1024  # of a log's end; the whole is at /experiments/NUMBER/log
PHASES = ("startup", "warm_up", "train", "eval", "teardown")


@dataclass(frozen=True)
class Whole:
    """An experiment with what belongs to it."""

    experiment: Experiment
    parent: Experiment | None
    trials: list[TrialRecord]
    diff: str
    calls: list[CallRecord]
    children: list[Experiment]


def add_page(snapshots: Snapshots) -> None:
    """Register the page."""

    @ui.page("/experiment/{number}")
    async def experiment(request: Request, number: int) -> None:
        visitor = Visitor.of(snapshots, request)
        with frame(visitor, f"Experiment {number}") as head:
            _, now = await snapshots.newest()
            head.show(now)
            whole = await visitor.context.read(lambda reader: _read(reader, number))
            if whole is None:
                ui.label(f"There is no experiment {number}.").classes("text-lg")
                return
            page = _Page(visitor, whole)
        seen = visitor.context.follower.version

        async def update() -> None:
            nonlocal seen
            if visitor.context.follower.version != seen:
                seen, now = await snapshots.newest()
                head.show(now)
                await page.update()

        await page.update()
        keep_up(update)


def _read(reader: Reader, number: int) -> Whole | None:
    experiment = reader.experiment(number) if 0 <= number < 2**63 else None
    if experiment is None:
        return None
    parent = None if experiment.parent is None else reader.experiment(experiment.parent)
    before = {} if parent is None else reader.files(parent.id)
    files = reader.files(number)
    return Whole(
        experiment=experiment,
        parent=parent,
        trials=reader.trials(number),
        diff=unified_diff(before, files) if before else "\n".join(files.values()),
        calls=calls_of(reader, experiment),
        children=reader.kept_children(number),
    )


class _Page:
    """Its panels: what can change is brought up to date, the rest is built once."""

    def __init__(self, visitor: Visitor, whole: Whole) -> None:
        self._visitor, self._number = visitor, whole.experiment.id
        self._shown: Whole | None = None
        self._log = ""
        ui.html(f"<h1>Experiment {self._number}</h1>", sanitize=False)
        self._top = ui.column().classes("w-full")
        with panel("What it changed" if whole.parent else "Its code"):
            code(whole.diff or "nothing", "Changes as a patch")
        with panel("Trials"):
            self._trials = ui.column().classes("w-full")
        with panel("Log"):
            self._log_note = ui.label("").classes("quiet")
            self._log_box = (
                ui.label("")
                .classes("code")
                .props('tabindex="0" role="log" aria-label="What it prints"')
            )
        if whole.calls:
            _add_calls(whole.calls)

    async def update(self) -> None:
        """Read it anew; draw what differs."""
        whole = await self._visitor.context.read(lambda reader: _read(reader, self._number))
        if whole is not None and whole != self._shown:
            self._shown = whole
            self._show_top(whole)
            self._show_trials(whole)
        folder = self._visitor.context.folder
        log = await run_in_threadpool(_log, folder, self._number, whole)
        if log != self._log:
            self._log = log
            self._log_box.set_text(log)
        undecided = whole is not None and not whole.experiment.state.is_final
        self._log_note.set_text("" if log else "Nothing yet." if undecided else "Nothing was kept.")

    def _show_top(self, whole: Whole) -> None:
        one = whole.experiment
        self._top.clear()
        with self._top, panel("Hypothesis and result"):
            ui.label(words.title(one)).classes("text-lg text")
            with ui.row().classes("items-center gap-4"):
                state_badge(one.state)
                ui.label(f"by {one.origin}").classes("quiet")
                if not one.state.is_final and self._visitor.may_steer:
                    self._add_cancel()
            _pairs(self._visitor.context.metric, whole)

    def _add_cancel(self) -> None:
        async def cancel() -> None:
            await self._visitor.tell(
                Cancel(self._number), f"experiment {self._number} is cancelled"
            )

        ui.button("Cancel it", icon="cancel", on_click=cancel).props("flat dense no-caps")

    def _show_trials(self, whole: Whole) -> None:
        self._trials.clear()
        with self._trials:
            if not whole.trials:
                ui.label("None yet.").classes("quiet")
            for trial in whole.trials:
                _add_trial(trial)


def _pairs(metric: str, whole: Whole) -> None:
    one, parent = whole.experiment, whole.parent
    against = parent.metric if parent else None
    figures = {
        metric: words.metric(one.metric),
        "against its parent": words.difference(one.metric, against),
        "expected": one.expected or words.NONE,
    }
    Facts(list(figures)).show(figures)
    for name, text in (
        ("Hypothesis", one.hypothesis),
        ("Decision", one.reason),
        ("Lesson", one.lesson),
    ):
        if text:
            ui.label(name).classes("quiet text-xs")
            ui.label(text).classes("text")
    with ui.row().classes("gap-4 items-baseline"):
        if parent is not None:
            ui.label("parent").classes("quiet")
            link_to(parent.id, f"#{parent.id} {words.title(parent)}")
        for name, number in (("combines", one.combines), ("mends", one.mends)):
            if number is not None:
                ui.label(name).classes("quiet")
                link_to(number)
        if one.instruction is not None:
            ui.label(f"serves instruction {one.instruction}").classes("quiet")
    if whole.children:
        with ui.row().classes("gap-3 items-baseline"):
            ui.label("kept on top of it").classes("quiet")
            for child in whole.children:
                link_to(child.id)


def _add_trial(trial: TrialRecord) -> None:
    outcome = trial.outcome
    with ui.column().classes("w-full gap-1"):
        words_ = [f"trial {trial.id}", f"seed {trial.seed}", str(trial.state)]
        if trial.slot is not None:
            words_.append(f"slot {trial.slot}")
        ui.label(" · ".join(words_)).classes("quiet")
        if trial.reason:
            ui.label(trial.reason).classes("text")
        if outcome is None:
            return
        if outcome.reason:
            ui.label(outcome.reason).classes("text text-negative")
        memory = max(outcome.peak_device_memory_bytes, outcome.peak_memory_bytes)
        figures = {
            **{p.replace("_", " "): f"{getattr(outcome.timings, p):.2f} s" for p in PHASES},
            "metric": words.metric(outcome.metric),
            "steps": f"{outcome.steps:,}",
            "tokens": f"{outcome.tokens:,}",
            "memory": f"{memory / 1e9:.2f} GB",
            "device": f"{outcome.device or words.NONE}, {outcome.sandbox or 'no'} sandbox",
        }
        Facts(list(figures)).show(figures)


def _add_calls(calls: list[CallRecord]) -> None:
    with panel("Prompt and answer"):
        for call in calls:
            cost = words.dollars(call.dollars)
            ui.label(
                f"{call.model}, {call.purpose}: {call.input_tokens:,} tokens in, "
                f"{call.output_tokens:,} out, {cost}, {call.seconds:.1f} s"
            ).classes("quiet text")
            if call.error:
                ui.label(call.error).classes("text text-negative")
            for message in call.prompt:
                with ui.expansion(f"prompt: {message.role}").classes("w-full"):
                    ui.label(message.text).classes("code text")
            with ui.expansion("answer", value=True).classes("w-full"):
                ui.label(call.answer or "nothing came").classes("code text")


def _log(folder: StudyFolder, number: int, whole: Whole | None) -> str:
    """The end of the log's file; without one, the tail that the database keeps."""
    path = folder.experiment(number).log
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
        return text if size <= LOG_BYTES else f"… the end of {size:,} bytes …\n{text}"
    except OSError:
        outcomes = [t.outcome for t in whole.trials if t.outcome is not None] if whole else []
        return outcomes[-1].log if outcomes else ""

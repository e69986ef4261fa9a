"""What stands behind an experiment's result: its trials, and the call of the model it came from.

In: records of the database. Out: parts of a page. What models and training have written is text.
"""

from collections.abc import Sequence

from nicegui import ui

from scheduler.api.dashboard import words
from scheduler.api.dashboard.panels import Facts
from scheduler.rules.states import TrialKind
from scheduler.study.calls import CallRecord
from scheduler.study.records import TrialRecord
from workers.log import sentence

PHASES = {
    "startup": "#8b949e",
    "warm_up": "#bf8700",
    "train": "#2a9d4a",
    "eval": "#2f81f7",
    "teardown": "#8b949e",
}
MOST_SHOWN = 200_000  # characters of a prompt's part


def add_trial(trial: TrialRecord) -> None:
    """One trial, with its times."""
    outcome = trial.outcome
    with ui.column().classes("w-full gap-2"):
        said = [f"trial {trial.id}", f"seed {trial.seed}", str(trial.state)]
        if trial.kind is not TrialKind.USUAL:
            said.append("longer budget, decides nothing")
        if trial.slot is not None:
            said.append(f"slot {trial.slot}")
        ui.label(" · ".join(said)).classes("quiet")
        if trial.reason:
            ui.label(trial.reason).classes("text")
        if outcome is None:
            return
        if outcome.reason:
            ui.label(outcome.reason).classes("text bad")
        seconds = {name: float(getattr(outcome.timings, name)) for name in PHASES}
        _add_bar(seconds)
        memory = max(outcome.peak_device_memory_bytes, outcome.peak_memory_bytes)
        figures = {
            **{name.replace("_", " "): f"{value:.2f} s" for name, value in seconds.items()},
            "process": "started before" if outcome.warm else "started for it",
            "metric": words.metric(outcome.metric),
            "on the audit split": words.metric(outcome.audit_metric),
            "steps": f"{outcome.steps:,}",
            "tokens": f"{outcome.tokens:,}",
            "memory": f"{memory / 1e9:.2f} GB",
            "device": outcome.hardware or words.NONE,
            "sandbox": outcome.sandbox or words.NONE,
            "who measured": outcome.judge or words.NONE,
            **{sentence(name, 60): f"{value:.6g}" for name, value in outcome.metrics.items()},
        }
        Facts(figures, many=True).show(figures)


def _add_bar(seconds: dict[str, float]) -> None:
    """The phases side by side; the figures below say the same."""
    with ui.element("div").classes("phases").props('aria-hidden="true"'):
        for name, value in seconds.items():
            ui.element("div").style(f"flex: {value:.3f} 1 0; background: {PHASES[name]}")


def add_calls(calls: Sequence[CallRecord]) -> None:
    """What the model was told and what it said; the long prompt travels when it is opened."""
    for call in calls:
        ui.label(
            f"{call.model}, {call.purpose}: {call.input_tokens:,} tokens in, "
            f"{call.output_tokens:,} out, {words.dollars(call.dollars)}, {call.seconds:.1f} s"
        ).classes("quiet text")
        if call.error:
            ui.label(call.error).classes("text bad")
        for message in call.prompt:
            _Folded(f"prompt: {message.role}", message.text)
        _Folded("answer", call.answer or "nothing came", opened=True)


class _Folded:
    """Text behind a line that opens it."""

    def __init__(self, title: str, text: str, *, opened: bool = False) -> None:
        self._text = cut(text)
        self._box = ui.expansion(title, value=opened, on_value_change=self._fill)
        self._box.classes("w-full")
        self._filled = False
        if opened:
            self._fill()

    def _fill(self) -> None:
        if not self._filled:
            self._filled = True
            with self._box:
                ui.label(self._text).classes("code text").props('tabindex="0" role="region"').props(
                    f'aria-label="{self._box.text}"'
                )


def cut(text: str) -> str:
    """The text, or as much of it as a browser should hold."""
    if len(text) <= MOST_SHOWN:
        return text
    return f"{text[:MOST_SHOWN]}\n… {len(text) - MOST_SHOWN:,} more characters: see the API"

"""Numbers and states as a page shows them. Pure; the terminal has its own in `scheduler/cli`."""

from scheduler.rules.states import ExperimentState, InstructionState, StopReason, StudyState
from scheduler.study.records import Experiment, Study

NONE = "\N{EN DASH}"

SIGNS = {
    ExperimentState.QUEUED: ("schedule", "grey"),
    ExperimentState.RUNNING: ("play_circle", "primary"),
    ExperimentState.CONFIRMING: ("rule", "primary"),
    ExperimentState.KEEP: ("check_circle", "positive"),
    ExperimentState.DISCARD: ("remove_circle_outline", "grey"),
    ExperimentState.CRASH: ("error", "negative"),
    ExperimentState.TIMEOUT: ("timer_off", "negative"),
    ExperimentState.OOM: ("memory", "negative"),
    ExperimentState.REJECTED: ("gpp_bad", "negative"),
    ExperimentState.CANCELLED: ("cancel", "grey"),
}
"""Icon and colour; the word stands beside them, as colour alone says nothing to many."""

TOLD = {
    InstructionState.QUEUED: ("schedule", "grey"),
    InstructionState.IN_USE: ("play_circle", "primary"),
    InstructionState.SERVED: ("check_circle", "positive"),
    InstructionState.WITHDRAWN: ("undo", "grey"),
    InstructionState.EXPIRED: ("hourglass_disabled", "grey"),
}
STATES = {
    StudyState.RUNNING: ("play_circle", "positive"),
    StudyState.PAUSED: ("pause_circle", "warning"),
    StudyState.DRAINING: ("hourglass_bottom", "warning"),
    StudyState.STOPPED: ("stop_circle", "grey"),
    StudyState.FAILED: ("error", "negative"),
}
REASONS = {
    StopReason.MAX_EXPERIMENTS: "all experiments are done",
    StopReason.MAX_HOURS: "its hours are used up",
    StopReason.MAX_DOLLARS: "its dollars are spent",
    StopReason.MAX_TOKENS: "its tokens are spent",
    StopReason.MAX_CALLS: "its calls are spent",
    StopReason.PLATEAU: "nothing better was found for long",
    StopReason.SIGNAL: "it was interrupted",
    StopReason.INSTRUCTION: "a person asked for it",
    StopReason.NO_PROPOSALS: "there are no more ideas",
}


def metric(value: float | None) -> str:
    """A metric; a failure has none."""
    return NONE if value is None else f"{value:.6f}"


def difference(value: float | None, reference: float | None) -> str:
    """Against another one, with its sign."""
    if value is None or reference is None:
        return NONE
    return f"{value - reference:+.6f}".replace("-", "\N{MINUS SIGN}")


def duration(seconds: float) -> str:
    """In the two largest units."""
    whole = int(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def dollars(value: float | None) -> str:
    """An amount, or that it is not known."""
    return "price not known" if value is None else f"{value:.2f} $"


def count(number: int, one: str, more: str = "") -> str:
    """Such as `1 call`, `1,200 calls`."""
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def condition(study: Study, *, runs: bool) -> str:
    """Where the study stands, in a sentence without its full stop."""
    if not runs and study.state in (StudyState.RUNNING, StudyState.DRAINING):
        return "nothing runs it now; it was not ended when it was last heard of"
    why = study.text or (REASONS.get(study.reason, str(study.reason)) if study.reason else "")
    return f"{study.state}: {why}" if why else str(study.state)


def elapsed(study: Study, at: float) -> float:
    """Seconds for which the study has been open."""
    return study.seconds + (max(0.0, at - study.opened_at) if study.state.is_open else 0.0)


def title(experiment: Experiment) -> str:
    """One line."""
    return " ".join(experiment.title.split()) or "untitled"

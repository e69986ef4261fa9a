"""Numbers and states as a page shows them. Pure; the terminal has its own in `scheduler/cli`."""

from scheduler import figures
from scheduler.reasons import why
from scheduler.rules.states import ExperimentState, InstructionState, StudyState
from scheduler.study.records import Experiment, Study

NONE = "\N{EN DASH}"

SIGNS = {
    ExperimentState.QUEUED: ("schedule", "var(--quiet)"),
    ExperimentState.RUNNING: ("play_circle", "var(--busy)"),
    ExperimentState.CONFIRMING: ("rule", "var(--busy)"),
    ExperimentState.KEEP: ("check_circle", "var(--good)"),
    ExperimentState.DISCARD: ("remove_circle_outline", "var(--quiet)"),
    ExperimentState.CRASH: ("error", "var(--bad)"),
    ExperimentState.TIMEOUT: ("timer_off", "var(--bad)"),
    ExperimentState.OOM: ("memory", "var(--bad)"),
    ExperimentState.REJECTED: ("gpp_bad", "var(--bad)"),
    ExperimentState.CANCELLED: ("cancel", "var(--quiet)"),
}
"""Icon and colour; the word stands beside them, as colour alone says nothing to many."""

TOLD = {
    InstructionState.QUEUED: ("schedule", "var(--quiet)"),
    InstructionState.IN_USE: ("play_circle", "var(--busy)"),
    InstructionState.SERVED: ("check_circle", "var(--good)"),
    InstructionState.WITHDRAWN: ("undo", "var(--quiet)"),
    InstructionState.EXPIRED: ("hourglass_disabled", "var(--quiet)"),
}
STATES = {
    StudyState.RUNNING: ("play_circle", "var(--good)"),
    StudyState.PAUSED: ("pause_circle", "var(--wait)"),
    StudyState.DRAINING: ("hourglass_bottom", "var(--wait)"),
    StudyState.STOPPED: ("stop_circle", "var(--quiet)"),
    StudyState.FAILED: ("error", "var(--bad)"),
}


def metric(value: float | None) -> str:
    """A metric; a failure has none."""
    return NONE if value is None else figures.figure(value)


def difference(value: float | None, reference: float | None) -> str:
    """Against another one, with its sign."""
    if value is None or reference is None:
        return NONE
    return figures.change(value - reference).replace("-", "\N{MINUS SIGN}")


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


def count(number: float, one: str, more: str = "") -> str:
    """Such as `1 call`, `1,200 calls`."""
    return figures.count(number, one, more)


def experiments(study: Study) -> str:
    """How many there are, and what became of them."""
    counts = dict(study.counts)
    parts = [
        (counts.pop(ExperimentState.KEEP, 0), "kept"),
        (counts.pop(ExperimentState.DISCARD, 0), "discarded"),
        (sum(n for state, n in counts.items() if state.is_failure), "failed"),
        *((n, state.value) for state, n in counts.items() if not state.is_failure),
    ]
    return f"{study.experiments:,}: " + ", ".join(f"{n:,} {name}" for n, name in parts if n)


def condition(study: Study, *, runs: bool) -> str:
    """Where the study stands, in a sentence without its full stop."""
    if not runs and study.state in (StudyState.RUNNING, StudyState.DRAINING):
        return "nothing runs it now; it was not ended when it was last heard of"
    reason = why(study)
    return f"{study.state}: {reason}" if reason else str(study.state)


def title(experiment: Experiment) -> str:
    """One line."""
    return " ".join(experiment.title.split()) or "untitled"

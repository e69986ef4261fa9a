"""What a person may ask of a running study: pause, unpause, end, give up an experiment, add one.

`objection` says why a command can't be followed, in words for the person; `step` follows those to
which there is none.
"""

from scheduler.rules import events as ev
from scheduler.rules.decisions import give_up
from scheduler.rules.state import State
from scheduler.rules.states import StopReason, StudyState, TrialState
from scheduler.rules.trials import end_trial, plan_again
from scheduler.rules.turn import Turn

BY_A_PERSON = "a person paused it"


def objection(state: State, event: ev.Event) -> str:
    """Why the study can't do what the event asks for; "" where it can."""
    why = ""
    match event:
        case ev.Paused() if state.study is not StudyState.RUNNING:
            why = f"the study is {state.study}"
        case ev.Unpaused() if state.study is not StudyState.PAUSED:
            why = f"the study is {state.study}, not paused"
        case ev.DrainAsked() | ev.CancelAsked() if state.study.is_over:
            why = f"the study is {state.study}"
        case ev.Withdrawn(instruction=number) if number not in state.instructions:
            why = f"instruction {number} is not open"
        case ev.Cancelled(experiment=number):
            entry = state.experiments.get(number)
            if entry is None:
                why = f"experiment {number} is decided already"
            elif entry.parent is None and state.champion is None:
                why = "it is the baseline, and without one nothing can be compared"
    return why


def pause(turn: Turn) -> None:
    """Start nothing more. What runs ends, and what comes back is queued."""
    turn.move_study(StudyState.PAUSED, StopReason.INSTRUCTION, BY_A_PERSON)


def unpause(turn: Turn) -> None:
    """Go on. What the study paused for is forgiven, or it would pause again at once."""
    forgive(turn)
    turn.move_study(StudyState.RUNNING)


def drain(turn: Turn, reason: StopReason) -> None:
    """Start nothing more; the study stops when the running trials have ended.

    At a plateau it may still be starting long trials: a person ends that too.
    """
    at_plateau = turn.state.reason is StopReason.PLATEAU and not turn.state.study.is_over
    if turn.state.study in (StudyState.RUNNING, StudyState.PAUSED) or at_plateau:
        turn.move_study(StudyState.DRAINING, reason)


def cut_short(turn: Turn, reason: StopReason) -> None:
    """End now. The trials' experiments stay queued, first in line."""
    if not turn.state.study.is_over:
        turn.move_study(StudyState.DRAINING, reason)
    for trial in sorted(
        (t for t in turn.state.trials.values() if t.slot is not None),
        key=lambda t: t.id,
        reverse=True,
    ):
        turn.actions.append(ev.CancelTrial(trial.id))
        end_trial(turn, trial, TrialState.CANCELLED, reason="the study was cancelled")
        plan_again(turn, trial)


def cancel(turn: Turn, experiment: int) -> None:
    """Give an experiment up that is not decided; a running trial of it is cut short."""
    turn.change(waiting=tuple(n for n in turn.state.waiting if n != experiment))
    give_up(turn, turn.state.experiments[experiment], "a person cancelled it")


def forgive(turn: Turn) -> None:
    """Forget what went wrong in a row, and the silences that followed."""
    turn.tally(
        failures_in_row=0,
        plain_failures_in_row=0,
        losses_in_row=0,
        empty_in_row=0,
        agent_failures_in_row=0,
        agent_failure="",
        ask_after=0.0,
        empty_fills=0,
        fill_after=0.0,
        spent="",
    )

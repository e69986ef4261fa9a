"""What the agent's answers lead to: new experiments, silences, and rebases of overtaken wins.

In: an answer, or the news that a request came to nothing. The machine hands it over; what an
experiment's outcome leads to is decided in `decisions.py`.
"""

from dataclasses import replace

from agent import Purpose
from scheduler.rules import events as ev
from scheduler.rules import instructions, stopping
from scheduler.rules.decisions import consider, face_the_champion
from scheduler.rules.fleet import REFERENCE
from scheduler.rules.noise import SCREENING
from scheduler.rules.requests import UNIQUE, request
from scheduler.rules.state import Ask, ExperimentEntry, State
from scheduler.rules.states import InstructionState
from scheduler.rules.trials import plan
from scheduler.rules.turn import Turn

SMOOTHING = 0.2  # weight of the newest measurement in the averages of `Pace`
LONGEST_SILENCE = 60.0  # seconds for which an agent without ideas is left alone


def take(turn: Turn, event: ev.Answered) -> None:
    """Take an answer in, unless it was asked for in an earlier session, or came twice."""
    state = turn.state
    if (ask := state.asked.get(event.request)) is None:
        return
    turn.note_ask(event.request, None)
    if event.seconds is not None:
        answer_seconds = average(state.pace.answer_seconds, event.seconds)
        turn.change(pace=replace(state.pace, answer_seconds=answer_seconds))
    turn.tally(agent_failures_in_row=0, agent_failure="")
    for number in event.told:
        instructions.move(turn, number, InstructionState.IN_USE)
    _note_emptiness(turn, ask, event)
    if ask.purpose is Purpose.REBASE:
        _take_rebases(turn, ask, event)
    elif ask.purpose is Purpose.ABLATE:
        _take_ablations(turn, event)
    else:
        _take_drafts(turn, ask, event)
    if event.spent and state.policy.stop_when_spent:
        turn.tally(spent=event.spent)  # what was paid for still runs


def take_failure(turn: Turn, event: ev.AnswerFailed) -> None:
    """Note that a request came to nothing; what only one answer can bring is asked for again."""
    if (ask := turn.state.asked.get(event.request)) is None:
        return
    turn.note_ask(event.request, None)
    tally = turn.state.tally
    # An agent that dies takes all its requests with it: that is one failure, not many.
    if event.request >= tally.failed_before:
        failures = tally.agent_failures_in_row + 1
        turn.tally(
            agent_failures_in_row=failures,
            agent_failure=event.reason,
            failed_before=turn.state.next_request,
        )
        _hush(turn, failures)
    if ask.purpose is Purpose.FILL:
        turn.tally(fill_after=turn.state.tally.ask_after)
    elif ask.purpose in UNIQUE and stopping.broken(turn.state) is None:
        request(turn, ask)
    elif ask.purpose is Purpose.REBASE:
        face_the_champion(turn, ask.wins)


def average(before: float | None, newest: float) -> float:
    """The exponential average after one more measurement."""
    return newest if before is None else before + SMOOTHING * (newest - before)


# ---- new experiments ------------------------------------------------------------------------


def add_baseline(turn: Turn, size: int) -> None:
    """The code as it is, as an experiment: everything else is measured against it."""
    state = turn.state
    wanted = state.policy.baseline_repeats
    add(turn, ExperimentEntry(state.next_experiment, None, 0, wanted=wanted, size=size), None)


def add(
    turn: Turn,
    entry: ExperimentEntry,
    draft: int | None,
    mends: int | None = None,
    *,
    first: bool = False,
) -> None:
    """Take an experiment in and queue its trials; who mends goes before what is new."""
    turn.change(next_experiment=entry.id + 1)
    turn.put(entry)
    turn.facts.append(
        ev.ExperimentAdded(entry.id, draft, entry.parent, entry.wanted, mends, entry.mended)
    )
    # An edit that is taken out of the champion is compared with its further seeds.
    start = SCREENING if entry.ablates is None else SCREENING + 1
    wants = REFERENCE if entry.parent is None or entry.ablates is not None else ""
    for number in range(start, start + entry.wanted):
        plan(turn, entry.id, number, first=first or mends is not None, wants=wants)


def entry_of(state: State, draft: ev.Draft, ask: Ask | None = None) -> ExperimentEntry:
    """The experiment that a draft becomes."""
    return ExperimentEntry(
        state.next_experiment,
        draft.parent,
        draft.champions,
        by_model=draft.by_model,
        instruction=draft.instruction,
        mended=ask.mended if ask else 0,
        rebases=draft.rebases,
        ablates=draft.ablates,
        wanted=_wanted(state, draft),
        size=draft.size,
    )


def _wanted(state: State, draft: ev.Draft) -> int:
    """How many trials it begins with; what carries overtaken wins over is confirmed at once."""
    criteria = state.policy.criteria
    if draft.ablates is not None and criteria is not None:
        return criteria.champion_seeds
    return 0 if draft.rebases else 1


def _take_drafts(turn: Turn, ask: Ask, event: ev.Answered) -> None:
    limit = turn.state.policy.max_experiments
    for number, draft in enumerate(event.drafts):
        if limit is not None and turn.state.tally.proposed >= limit:
            break
        turn.tally(proposed=turn.state.tally.proposed + 1)
        add(turn, entry_of(turn.state, draft, ask), number, mends=ask.broken)


# ---- rebases --------------------------------------------------------------------------------


def _take_rebases(turn: Turn, ask: Ask, event: ev.Answered) -> None:
    """Edits of overtaken wins, on a champion's code: no new ideas, no limit counts them."""
    champion = turn.state.champion
    assert champion is not None, "nothing is overtaken without a champion"
    fits = [d.parent == champion.experiment and {*d.rebases} <= {*ask.wins} for d in event.drafts]
    if not all(fits):  # overtaken once more meanwhile, or a person gave one of them up
        request(turn, ask)
        return
    carried: set[int] = set()
    for number, draft in enumerate(event.drafts):
        entry = entry_of(turn.state, draft)
        add(turn, entry, number)
        carried |= {*draft.rebases}
        consider(turn, turn.state.experiments[entry.id])
    face_the_champion(turn, [win for win in ask.wins if win not in carried])


def _take_ablations(turn: Turn, event: ev.Answered) -> None:
    """The champion without each of its edits, unless it was overtaken meanwhile."""
    champion = turn.state.champion
    for number, draft in enumerate(event.drafts):
        if champion is not None and draft.parent == champion.experiment:
            add(turn, entry_of(turn.state, draft), number)


# ---- silences -------------------------------------------------------------------------------


def _note_emptiness(turn: Turn, ask: Ask, event: ev.Answered) -> None:
    """Leave an agent that brought nothing alone for a while; where that was no fault, count it."""
    tally = turn.state.tally
    if ask.purpose is Purpose.FILL:
        empty = 0 if event.drafts else tally.empty_fills + 1
        turn.tally(empty_fills=empty, fill_after=turn.now + _silence(empty) if empty else 0.0)
    elif ask.purpose is Purpose.IMPROVE:
        if event.drafts:
            turn.tally(empty_in_row=0, troubled_in_row=0)
        elif event.troubled:
            turn.tally(troubled_in_row=tally.troubled_in_row + 1)
            _hush(turn, tally.troubled_in_row + 1)
        else:
            turn.tally(empty_in_row=tally.empty_in_row + 1)
            _hush(turn, tally.empty_in_row + 1)


def _hush(turn: Turn, times: int) -> None:
    """The agent brought nothing, so many times in a row: leave it alone, longer each time."""
    turn.tally(ask_after=turn.now + _silence(times))


def _silence(times: int) -> float:
    return min(LONGEST_SILENCE, 2.0 ** min(times - 1, 16))

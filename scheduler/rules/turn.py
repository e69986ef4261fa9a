"""One step of the rules under way: the state so far, and what was said and ordered.

The rooms of the rules (`trials`, `decisions`, `instructions`) take a Turn and change it; the
machine makes one for each event.
"""

from dataclasses import replace

from scheduler.rules import events as ev
from scheduler.rules.state import Ask, ExperimentEntry, State
from scheduler.rules.states import ExperimentState, StopReason, StudyState


class Turn:
    """One step under way: the state so far, and the facts and actions collected."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.facts: list[ev.Fact] = []
        self.actions: list[ev.Action] = []

    def change(self, **fields: object) -> None:
        """Replace fields of the state. There are a dozen of such changes in an event."""
        changed = object.__new__(State)
        # As `dataclasses.replace` does, which takes five times as long for so many fields.
        changed.__dict__.update(self.state.__dict__, **fields)
        self.state = changed

    def tally(self, **fields: float | str) -> None:
        """Replace counters of the state."""
        self.change(tally=replace(self.state.tally, **fields))  # type: ignore[arg-type]

    def put(self, entry: ExperimentEntry) -> None:
        """Store an undecided experiment, and record its state if that changed."""
        before = self.state.experiments.get(entry.id)
        self.change(experiments=self.state.experiments.set(entry.id, entry))
        if before is not None and before.state is not entry.state:
            self.facts.append(ev.ExperimentMoved(entry.id, entry.state))

    def note_ask(self, number: int, ask: Ask | None) -> None:
        """Keep what a request asks for; None: it is under way no more."""
        state = self.state
        under_way = state.under_way
        if (before := state.asked.get(number)) is not None:
            under_way = under_way.adding(before, -1)
        if ask is None:
            self.change(asked=state.asked.delete(number), under_way=under_way)
        else:
            self.change(asked=state.asked.set(number, ask), under_way=under_way.adding(ask))

    def hold(self, entry: ExperimentEntry) -> None:
        """Keep an undecided experiment for later; it asks for no more trials until then."""
        confirming = ExperimentState.CONFIRMING
        self.put(replace(entry, state=confirming, wanted=len(entry.results)))

    def move_study(self, to: StudyState, reason: StopReason | None = None, text: str = "") -> None:
        """Change the state of the study; its clock stands still while it is not open."""
        tally, was_open = self.state.tally, self.state.study.is_open
        if was_open and not to.is_open:
            spent = tally.seconds_before + self.now - tally.opened_at
            self.tally(seconds_before=spent, opened_at=self.now, seen_at=self.now)
        elif to.is_open and not was_open:
            self.tally(opened_at=self.now, seen_at=self.now)
        self.change(study=to, reason=reason)
        self.facts.append(ev.StudyMoved(to, reason, text))

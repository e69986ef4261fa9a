"""The results actor's side of the mailbox: a letter becomes an event of the rules, and a reply.

In: letters as they lie in the study's inbox. Out: for each the event that the rules are to take in,
what is to be written with it, and the reply. Whether a command can be followed is for the rules to
say (`rules/commands.py`); whether an edit is worth a trial, for the agent's checks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent import Proposal
from agent.check import NOTHING_NEW, Refusal, complete, same_code
from agent.globs import Editable
from agent.proposal import PERSON
from scheduler.briefings import contract_of
from scheduler.rules import events as ev
from scheduler.rules.commands import objection
from scheduler.rules.state import State
from scheduler.rules.states import StopReason
from scheduler.study.config import Config
from scheduler.study.facts import Contents, NewInstruction, NewReply
from scheduler.study.letters import (
    STEERING,
    AnyLetter,
    Cancel,
    Instruct,
    Pause,
    Stop,
    Submit,
    Unpause,
    Withdraw,
    digest,
)
from scheduler.study.reader import Reader
from scheduler.study.task_section import editable_of

NUMBERED = {kind.kind for kind in (Instruct, Withdraw, Submit, Cancel)}
"""Kinds of letters that make or move something with a number."""

NOT_RUNNING = "the study did not run when this was asked"


@dataclass(frozen=True)
class Posted:
    """A letter has arrived."""

    at: float
    letter: AnyLetter


def take_up(
    posted: Posted, state: State, reader: Reader, config: Config
) -> tuple[ev.Event, Contents]:
    """A letter as an event. One that came before, or that is refused, is the passing of time."""
    letter, nothing = posted.letter, ev.Ticked(posted.at)
    if reader.reply(letter.key) is not None:
        return nothing, Contents()
    reply = NewReply(letter.key, letter.kind, digest(letter))
    event, contents, why = _understand(posted, state, reader, config)
    if why := why or objection(state, event):
        return nothing, Contents(reply=replace(reply, refused=why))
    return event, replace(contents, reply=reply)


def finish_reply(contents: Contents, facts: tuple[ev.Fact, ...]) -> Contents:
    """The contents with the number of what the letter made or moved in its reply."""
    if contents.reply is None or contents.reply.refused or contents.reply.kind not in NUMBERED:
        return contents
    for fact in facts:
        match fact:
            case (
                ev.ExperimentAdded(id=number)
                | ev.InstructionAdded(id=number)
                | ev.InstructionMoved(id=number)
                | ev.ExperimentMoved(id=number)
            ):
                return replace(contents, reply=replace(contents.reply, number=number))
    return contents


def check_edit(
    letter: Submit,
    parent: int,
    base: Mapping[str, str],
    *,
    self_reported: bool = False,
    editable: Editable = NOTHING_NEW,
) -> Proposal | Refusal:
    """A person's edit of the files `base` as a proposal, or why it is worth no trial."""
    edit = Proposal(
        title=" ".join(letter.title.split()) or "untitled",
        hypothesis=letter.hypothesis,
        parent=parent,
        files=letter.files,
        origin=PERSON,
        expected=letter.expected,
        instruction=letter.instruction,
    )
    return complete(edit, base, contract_of(base, self_reported=self_reported), editable)


def _understand(
    posted: Posted, state: State, reader: Reader, config: Config
) -> tuple[ev.Event, Contents, str]:
    """The event that a letter stands for, what comes with it, and why it can't be, if it can't."""
    at, letter = posted.at, posted.letter
    contents, why = Contents(), ""
    event: ev.Event
    match letter:
        case Submit():
            return _understand_edit(at, letter, state, reader, config)
        case Instruct(text=text, priority=priority, lifetime=lifetime, key=key):
            event = ev.Instructed(at, lifetime)
            contents = Contents(instruction=NewInstruction(key, text, priority))
        case Withdraw(instruction=number):
            event = ev.Withdrawn(at, number)
        case Cancel(experiment=number):
            event = ev.Cancelled(at, number)
            why = "" if reader.experiment(number) else f"there is no experiment {number}"
        case Pause():
            event = ev.Paused(at)
        case Unpause():
            event = ev.Unpaused(at)
        case Stop(now=now):
            asked = ev.CancelAsked if now else ev.DrainAsked
            event = asked(at, StopReason.INSTRUCTION)
    if isinstance(letter, STEERING) and letter.at < reader.session_began():
        why = NOT_RUNNING
    return event, contents, why


def _understand_edit(
    at: float, letter: Submit, state: State, reader: Reader, config: Config
) -> tuple[ev.Event, Contents, str]:
    champion = state.champion.experiment if state.champion else None
    number = letter.parent if letter.parent is not None else champion
    parent = reader.baseline() if number is None else reader.experiment(number)
    if parent is None:
        why = "there is no code to edit yet" if number is None else f"no experiment {number}"
        return ev.Ticked(at), Contents(), why
    if letter.instruction is not None and letter.instruction not in state.instructions:
        return ev.Ticked(at), Contents(), f"instruction {letter.instruction} is not open"
    whole = check_edit(
        letter,
        parent.id,
        reader.files(parent.id),
        self_reported=config.task.self_reported,
        editable=editable_of(config.task),
    )
    if isinstance(whole, Refusal):
        return ev.Ticked(at), Contents(), whole.reason
    if (same := reader.same_code(whole.fingerprint)) is not None:
        return ev.Ticked(at), Contents(), same_code(f"experiment {same}")
    draft = ev.Draft(parent.id, state.champions, instruction=letter.instruction, size=whole.size)
    return ev.Submitted(at, draft), Contents(proposals=(whole,)), ""

"""Checks a proposal before a slot is spent on it, and completes it.

In: a proposal and the briefing that it answers. Out: the proposal with its fingerprint,
skeleton and constants, or a Refusal with a reason that whoever wrote it can act on. It reads
the edit as text: whether the code runs, and whether it learns, only a trial can tell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from agent.briefing import Briefing
from agent.errors import SourceError
from agent.proposal import Proposal
from agent.source import fingerprint, functions, identify


@dataclass(frozen=True)
class Refusal:
    """A proposal that is worth no trial."""

    title: str
    reason: str

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.title or 'untitled'}: {self.reason}"


def known_code(briefing: Briefing) -> dict[str, str]:
    """The fingerprints that a briefing knows, each with words for the experiment that has it."""
    experiments = (*briefing.past(), *briefing.pending)
    known = {e.fingerprint: f"experiment {e.id} ({e.state})" for e in experiments if e.fingerprint}
    champion = briefing.champion
    return known | {fingerprint(champion.files): f"its parent, experiment {champion.experiment}"}


def check(proposal: Proposal, briefing: Briefing, known: Mapping[str, str]) -> Proposal | Refusal:
    """The completed proposal, or why it is refused.

    `known` is what `known_code` gives, with the answer's earlier proposals. A proposal must edit
    the briefing's champion, touch editable files only, parse, still define what the task calls,
    and be code that is not known.
    """
    title = " ".join(proposal.title.split())
    champion = briefing.champion
    if not title:
        return Refusal(title, "it has no title")
    if proposal.parent != champion.experiment:
        return Refusal(title, f"the code of its parent, {proposal.parent}, is not in the briefing")
    if foreign := sorted(proposal.files.keys() - champion.files.keys()):
        allowed = ", ".join(sorted(champion.files))
        return Refusal(title, f"{', '.join(foreign)} can't be edited; only {allowed} can")
    files = {**champion.files, **proposal.files}
    try:
        identity = identify(files)
        lost = _lost_functions(files, briefing)
    except SourceError as error:
        return Refusal(title, f"it does not parse: {error}")
    owner = known.get(identity.fingerprint)
    if lost or owner is not None:
        same = f"it is the same code as {owner}, but for layout and comments"
        return Refusal(title, lost or same)
    return replace(
        proposal,
        title=title,
        fingerprint=identity.fingerprint,
        skeleton=identity.skeleton,
        constants=identity.constants,
    )


def _lost_functions(files: Mapping[str, str], briefing: Briefing) -> str:
    """Which functions that the task calls are not defined any more, in words; or ""."""
    for path, wanted in briefing.contract.items():
        if lost := sorted(set(wanted) - functions(files[path])):
            return f"{path} defines no function {', '.join(lost)} any more"
    return ""

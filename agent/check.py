"""Checks a proposal before a slot is spent on it, and completes it.

In: a briefing, then proposals that answer it, one after the other. Out: each with its fingerprint,
skeleton and constants, or a Refusal with a reason that whoever wrote it can act on. It reads the
edit as text: whether the code runs, and whether it learns, only a trial can tell.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from agent.briefing import Briefing
from agent.errors import SourceError
from agent.globs import Editable
from agent.proposal import Proposal
from agent.source import fingerprint, functions, identify

MOST_NAMED = 40  # files that a refusal lists
NOTHING_NEW = Editable()


@dataclass(frozen=True)
class Refusal:
    """A proposal that is worth no trial."""

    title: str
    reason: str

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.title or 'untitled'}: {self.reason}"


def complete(
    proposal: Proposal,
    base: Mapping[str, str],
    contract: Mapping[str, tuple[str, ...]],
    editable: Editable = NOTHING_NEW,
) -> Proposal | Refusal:
    """A proposal whose edit of the files `base` is looked at as text, with what that tells of it.

    It must touch these files only, or add some that are `editable`, parse, and still define what
    the task calls (the contract).
    """
    new = sorted(proposal.files.keys() - base.keys())
    if foreign := [name for name in new if not editable.allows(name)]:
        allowed = ", ".join(sorted(base)[:MOST_NAMED])
        more = f", and new files that fit {editable}," if editable.patterns else ""
        words = f"{', '.join(foreign)} can't be edited; only {allowed}{more} can"
        return Refusal(proposal.title, words)
    if (clash := _clash(new, base)) is not None:
        return Refusal(proposal.title, f"{clash} would be a file and a folder at once")
    files = {**base, **proposal.files}
    try:
        identity = identify(files)
        lost = _lost_functions(files, contract)
    except SourceError as error:
        return Refusal(proposal.title, f"it does not parse: {error}")
    if lost:
        return Refusal(proposal.title, lost)
    return replace(
        proposal,
        fingerprint=identity.fingerprint,
        skeleton=identity.skeleton,
        constants=identity.constants,
        size=identity.size,
    )


def same_code(owner: str) -> str:
    """Why code that there is already is worth no trial."""
    return f"it is the same code as {owner}, but for layout and comments"


class Checker:
    """Checks the proposals of one answer, whoever brings them: each must be new among them too."""

    def __init__(self, briefing: Briefing) -> None:
        """Raises SourceError if the champion's own code does not parse."""
        self._briefing = briefing
        self._codes = briefing.codes()
        self._open = {each.id for each in briefing.instructions}
        experiments = (*briefing.past(), *briefing.pending)
        self._known = {
            e.fingerprint: f"experiment {e.id} ({e.state})" for e in experiments if e.fingerprint
        }
        for code in self._codes.values():
            words = f"the code of experiment {code.experiment}"
            self._known.setdefault(fingerprint(code.files), words)
        champion = briefing.champion
        words = f"its parent, experiment {champion.experiment}"
        self._known[fingerprint(champion.files)] = words

    def take(self, proposal: Proposal) -> Proposal | Refusal:
        """The completed proposal, or why it is refused.

        It must edit code that the briefing holds, touch editable files only, parse, still define
        what the task calls, and be code that is not known.
        """
        title = " ".join(proposal.title.split())
        if not title:
            return Refusal(title, "it has no title")
        base = self._base(proposal)
        if base is None:
            return Refusal(
                title, f"the code of its parent, {proposal.parent}, is not in the briefing"
            )
        briefing = self._briefing
        whole = complete(replace(proposal, title=title), base, briefing.contract, briefing.editable)
        if isinstance(whole, Refusal):
            return whole
        if (owner := self._known.get(whole.fingerprint)) is not None:
            return Refusal(title, same_code(owner))
        self._known[whole.fingerprint] = f'"{title}", proposed just before'
        served = proposal.instruction if proposal.instruction in self._open else None
        return replace(whole, instruction=served)

    def _base(self, proposal: Proposal) -> Mapping[str, str] | None:
        """The files that the proposal's stand upon: those of its parent, or what it mends."""
        broken = self._briefing.broken
        if broken is not None and proposal.mends == broken.code.experiment:
            return broken.code.files
        code = self._codes.get(proposal.parent)
        return None if code is None else code.files


def _clash(new: Iterable[str], base: Mapping[str, str]) -> str | None:
    """A name that an added file would need as a folder, or that would be in its place."""
    names = {*base, *new}
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return min(names & folders, default=None)


def _lost_functions(files: Mapping[str, str], contract: Mapping[str, tuple[str, ...]]) -> str:
    """Which functions that the task calls are not defined any more, in words; or ""."""
    for path, wanted in contract.items():
        if lost := sorted(set(wanted) - functions(files[path])):
            return f"{path} defines no function {', '.join(lost)} any more"
    return ""

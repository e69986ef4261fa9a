"""Takes each kept edit out of the champion's code in turn, to show what it contributes.

In: a briefing whose purpose is to ablate, with the kept edits of the champion's line as its wins.
Out: a proposal for each that can be taken out: the edit is made backwards, by the three-way merge
that also carries edits over. A constant that a later edit changed again is left as it is. Where
later edits stand on the same lines, or nothing is left that differs from known code, there is none.
"""

from collections.abc import Mapping

from agent.briefing import Briefing, Win
from agent.check import Checker, Refusal
from agent.errors import SourceError
from agent.merging import Merged, carry
from agent.proposal import ABLATION, Proposal
from agent.source import constants_of, edit_constants


def ablate(briefing: Briefing, checker: Checker) -> tuple[list[Proposal], list[str]]:
    """Proposals, and why there is none for the other edits ("title: reason")."""
    proposals, refused = [], []
    champion = briefing.champion
    for win in briefing.wins:
        title = f"without #{win.code.experiment}: {win.code.title}"
        try:
            merged = _take_out(win, champion.files)
        except SourceError as error:
            merged = Merged(conflicts=str(error))
        if not merged.is_clean:
            refused.append(f"{title}: later edits stand on its lines")
            continue
        taken = checker.take(
            Proposal(
                title=title,
                hypothesis=f"What does the edit of #{win.code.experiment} contribute? If nothing, "
                "the code without it is as good.",
                parent=champion.experiment,
                files={p: t for p, t in merged.files.items() if champion.files.get(p) != t},
                origin=ABLATION,
                ablates=win.code.experiment,
            )
        )
        if isinstance(taken, Refusal):
            refused.append(str(taken))
        else:
            proposals.append(taken)
    return proposals, refused


def _take_out(win: Win, ours: Mapping[str, str]) -> Merged:
    """The champion's files without the edit. Raises SourceError where something doesn't parse."""
    kept, today = constants_of(win.code.files), constants_of(ours)
    before = constants_of(win.base)
    changed_again = {
        name: value for name, value in kept.items() if name in before and today.get(name) != value
    }
    return carry(win.code.files, {**win.base, **edit_constants(win.base, changed_again)}, ours)

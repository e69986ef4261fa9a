"""Keep or discard: what an experiment's trials say against the champion's on the same hardware.

Two rules. The plain one compares means. The other asks for evidence: a first trial that passes the
noise gate is confirmed with further seeds, beside the champion's (`evidence.py`). Both compare
within one class of hardware, and keep nothing that was not measured on the reference (`fleet.py`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from statistics import fmean

from scheduler.figures import amount, change, figure
from scheduler.rules.evidence import (
    NO_TRIAL,
    Criteria,
    Decision,
    Evidence,
    not_worse,
    screen,
    weigh,
)
from scheduler.rules.fleet import REFERENCE, Ground
from scheduler.rules.noise import SCREENING, Noise, repeats
from scheduler.rules.policy import Policy
from scheduler.rules.state import Champion, Result

TRIFLE = 0.01  # part of the code by which it has to be smaller to count as simpler
STRAYS = 3  # trials in a row on other classes, after which one counts as gone
MOST_TRIALS = 4  # of a candidate for each seed, where slots of one kind are of several classes


def judge(
    results: tuple[Result, ...],
    champion: Champion | None,
    noise: Mapping[str, Noise],
    policy: Policy,
    ground: Ground,
    *,
    size: int = 0,
) -> Evidence:
    """Whether to keep an experiment, to discard it, or which trials are needed to tell.

    Without a champion the experiment is the baseline, which is kept. Nothing else is kept without
    a trial on the reference, and nothing is compared across classes of hardware. The class of the
    reference is that of the experiment's newest trial there. `size`: of its code; clearly less than
    the champion's need not be better, but for the plain comparison.
    """
    if champion is None:
        hardware = home(results, ground.reference)
        seeds = sum(r.hardware == hardware for r in results)
        words = f"the baseline, over {seeds} trial{'s' if seeds > 1 else ''}"
        return Evidence(Decision.KEEP, None, None, seeds, None, words, hardware=hardware)
    smaller = policy.criteria is not None and policy.criteria.simplicity_margin > 0
    smaller = smaller and is_smaller(size, champion.size)
    if not results:  # it carries an overtaken win over: screened on its old base
        there = home(champion.results, ground.reference)
        return _within(there, results, champion, noise, policy, smaller=smaller)
    if not any(r.accelerator == ground.reference for r in results):
        return _screen_elsewhere(results[-1], champion, noise, policy, ground, smaller=smaller)
    return _on_reference(results, champion, noise, policy, ground, smaller=smaller)


def _on_reference(
    results: tuple[Result, ...],
    champion: Champion,
    noise: Mapping[str, Noise],
    policy: Policy,
    ground: Ground,
    *,
    smaller: bool,
) -> Evidence:
    """Compare on the reference, or have the champion measured on what its slots are made of."""
    hardware = home(results, ground.reference)
    if by_number(champion.results, hardware):
        found = _within(hardware, results, champion, noise, policy, smaller=smaller)
        if not found.champion_needs or not _out_of_reach(hardware, champion, ground):
            return found
    elif hardware not in ground.sought or REFERENCE in ground.awaited:
        return _more(hardware, REFERENCE, champion_needs=(_usable(champion),))
    # Slots of one kind that are of several classes: the champion's trial came to lie on another.
    if len(results) >= MOST_TRIALS * (1 + _seeds(policy)):
        words = f"discarded: the champion could not be measured on {hardware}"
        seeds = len(by_number(results, hardware))
        return Evidence(Decision.DISCARD, None, None, seeds, None, words, hardware=hardware)
    fresh = 1 + max(r.number for r in results)
    return _more(hardware, REFERENCE, candidate_needs=(fresh,))


def is_smaller(size: int, than: int) -> bool:
    """Whether code is smaller by more than a trifle; 0 is a size that was not counted."""
    return 0 < size <= (1 - TRIFLE) * than


def by_number(results: Iterable[Result], hardware: str) -> dict[int, float]:
    """What was measured on one class of hardware, by the numbers of the trials."""
    return {r.number: r.metric for r in results if r.hardware == hardware}


def home(results: Sequence[Result], reference: str) -> str:
    """The class in which an experiment's metric stands: of its newest trial on the reference.

    Without a trial there, of its newest one.
    """
    return ([r for r in results if r.accelerator == reference] or results)[-1].hardware


def _screen_elsewhere(
    last: Result,
    champion: Champion,
    noise: Mapping[str, Noise],
    policy: Policy,
    ground: Ground,
    *,
    smaller: bool,
) -> Evidence:
    """What was measured on another kind of slot goes to the reference, if it is worth that.

    It is compared with what the champion does on the same class; where no trial of the champion
    came about there, nothing can be said of it, and it goes to the reference unscreened.
    """
    hardware, kind = last.hardware, last.accelerator
    theirs = by_number(champion.results, hardware)
    if not theirs and (hardware not in ground.sought or kind in ground.awaited):
        return _more(hardware, kind, champion_needs=(_usable(champion),))
    if theirs and policy.criteria is None:
        found = _compare({last.number: last.metric}, theirs, champion.experiment, policy)
        if found.verdict is Decision.DISCARD:
            return _on(hardware, found)
    elif theirs and policy.criteria is not None:
        known = noise.get(hardware, Noise())
        worth_it = screen(
            last.metric, theirs, known, policy.criteria, minimize=policy.minimize, smaller=smaller
        )
        if not worth_it:
            return _on(hardware, _not_worth_it(last.metric, theirs, known, policy.criteria))
    there = home(champion.results, ground.reference)
    measured = by_number((r for r in champion.results if r.accelerator == ground.reference), there)
    if policy.criteria is None:
        lacking = () if measured else (_usable(champion),)
        return _more(there, REFERENCE, (SCREENING + 1,), lacking)
    found = weigh(
        *({}, measured, Noise(), policy.criteria),
        minimize=policy.minimize,
        barred=champion.barred,
    )
    return _more(there, REFERENCE, found.candidate_needs, found.champion_needs)


def _within(
    hardware: str,
    results: tuple[Result, ...],
    champion: Champion,
    noise: Mapping[str, Noise],
    policy: Policy,
    *,
    smaller: bool,
) -> Evidence:
    """Compare on one class, on which both were measured."""
    ours, theirs = by_number(results, hardware), by_number(champion.results, hardware)
    if policy.criteria is None:
        return _on(hardware, _compare(ours, theirs, champion.experiment, policy))
    known = noise.get(hardware, Noise())
    found = _confirm(
        *(ours, theirs, known, policy.criteria),
        minimize=policy.minimize,
        smaller=smaller,
        barred=champion.barred,
    )
    return _on(hardware, found)


def _compare(
    ours: Mapping[int, float], theirs: Mapping[int, float], champion: int, policy: Policy
) -> Evidence:
    """A plain comparison of means. A tie is no win."""
    metric = fmean(theirs.values())
    difference = fmean(ours.values()) - metric
    keep = difference < 0 if policy.minimize else difference > 0
    against = f"experiment {champion} ({figure(metric)})"
    where = "below" if difference < 0 else "above"
    words = f"{amount(abs(difference))} {where} {against}" if difference else f"equal to {against}"
    verdict = Decision.KEEP if keep else Decision.DISCARD
    return Evidence(verdict, difference, None, len(ours), None, words)


def _confirm(
    ours: Mapping[int, float],
    theirs: Mapping[int, float],
    known: Noise,
    criteria: Criteria,
    *,
    minimize: bool,
    smaller: bool,
    barred: frozenset[int],
) -> Evidence:
    """Screen by the first trial, then weigh the others."""
    # What has no first trial was screened on its old base: it carries an overtaken win over.
    first = None if repeats(ours) else ours.get(SCREENING)
    if first is not None and not screen(
        first, theirs, known, criteria, minimize=minimize, smaller=smaller
    ):
        return _not_worth_it(first, theirs, known, criteria)
    if not (smaller and known.sigma):  # without noise to speak of it has to be better
        return weigh(ours, theirs, known, criteria, minimize=minimize, barred=barred)
    found = not_worse(ours, theirs, known, criteria, minimize=minimize, barred=barred)
    return replace(found, words=f"{found.words} (its code is smaller)")


def _not_worth_it(
    first: float, theirs: Mapping[int, float], known: Noise, criteria: Criteria
) -> Evidence:
    effect = first - fmean((repeats(theirs) or theirs).values())
    gate = criteria.gate * (known.sigma or 0.0)
    which = "mean without its first trial" if repeats(theirs) else "first trial"
    words = (
        f"discarded: {change(effect)} in its first trial against the champion's {which}, "
        f"not better by the gate of {gate:.2g}"
    )
    return Evidence(Decision.DISCARD, effect, None, 0, None, words)


def _usable(champion: Champion) -> int:
    """The first further seed with which the champion doesn't fail."""
    return next(n for n in count(SCREENING + 1) if n not in champion.barred)


def _more(
    hardware: str,
    wants: str,
    candidate_needs: tuple[int, ...] = (),
    champion_needs: tuple[int, ...] = (),
) -> Evidence:
    """Trials that are to be run before anything can be said."""
    return Evidence(
        *(Decision.MORE, None, None, 0, None, NO_TRIAL),
        candidate_needs=candidate_needs,
        champion_needs=champion_needs,
        hardware=hardware,
        wants=wants,
    )


def _on(hardware: str, evidence: Evidence) -> Evidence:
    """The same, found on this class of hardware; what is missing runs on the reference."""
    return replace(evidence, hardware=hardware, wants=REFERENCE)


def _out_of_reach(hardware: str, champion: Champion, ground: Ground) -> bool:
    """Whether the champion's newest trials on the reference were all of other classes."""
    newest = [r.hardware for r in champion.results if r.accelerator == ground.reference][-STRAYS:]
    return len(newest) == STRAYS and hardware not in newest


def _seeds(policy: Policy) -> int:
    return 0 if policy.criteria is None else policy.criteria.most_seeds

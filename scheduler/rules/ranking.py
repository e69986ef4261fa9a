"""Keep or discard: what an experiment's trials say against the champion.

Two rules. The plain one compares means. The other asks for evidence: a first trial that passes the
noise gate is confirmed with further seeds, beside the champion's (`evidence.py`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from statistics import fmean

from scheduler.rules.evidence import Criteria, Decision, Evidence, not_worse, screen, weigh
from scheduler.rules.noise import SCREENING, Noise, repeats
from scheduler.rules.state import Champion, Policy, Result

TRIFLE = 0.01  # part of the code by which it has to be smaller to count as simpler


def judge(
    results: tuple[Result, ...],
    champion: Champion | None,
    noise: Mapping[str, Noise],
    policy: Policy,
    size: int = 0,
) -> Evidence:
    """Whether to keep an experiment, to discard it, or which trials are needed to tell.

    Without a champion the experiment is the baseline, which is kept. `size`: of its code; clearly
    less than the champion's need not be better, but for the plain comparison.
    """
    if champion is None:
        trials = f"{len(results)} trial{'s' if len(results) > 1 else ''}"
        words = f"the baseline, over {trials}"
        return Evidence(Decision.KEEP, None, None, len(results), None, words)
    if policy.criteria is None:
        return _compare(results, champion, minimize=policy.minimize)
    smaller = is_smaller(size, champion.size) and policy.criteria.simplicity_margin > 0
    return _confirm(
        results, champion, noise, policy.criteria, minimize=policy.minimize, smaller=smaller
    )


def is_smaller(size: int, than: int) -> bool:
    """Whether code is smaller by more than a trifle; 0 is a size that was not counted."""
    return 0 < size <= (1 - TRIFLE) * than


def by_number(results: Iterable[Result], hardware: str) -> dict[int, float]:
    """What was measured on one class of hardware, by the numbers of the trials."""
    return {r.number: r.metric for r in results if r.hardware == hardware}


def _compare(results: tuple[Result, ...], champion: Champion, *, minimize: bool) -> Evidence:
    """A plain comparison of means. A tie is no win."""
    difference = fmean(r.metric for r in results) - champion.metric
    keep = difference < 0 if minimize else difference > 0
    against = f"experiment {champion.experiment} ({champion.metric:.6f})"
    where = "below" if difference < 0 else "above"
    words = f"{abs(difference):.6f} {where} {against}" if difference else f"equal to {against}"
    verdict = Decision.KEEP if keep else Decision.DISCARD
    return Evidence(verdict, difference, None, len(results), None, words)


def _confirm(
    results: tuple[Result, ...],
    champion: Champion,
    noise: Mapping[str, Noise],
    criteria: Criteria,
    *,
    minimize: bool,
    smaller: bool,
) -> Evidence:
    """Screen by the first trial, then weigh the others. Within one class of hardware, where the
    champion was measured on it; else the words say that it was not."""
    hardware = (results or champion.results)[0].hardware
    ours, theirs = by_number(results, hardware), by_number(champion.results, hardware)
    elsewhere = ""
    if not theirs:
        theirs = {r.number: r.metric for r in champion.results}
        elsewhere = " (the champion was measured on other hardware)"
    known, first = noise.get(hardware, Noise()), ours.get(SCREENING)
    # What has no first trial was screened on its old base: it carries an overtaken win over.
    screened = first is None or screen(
        first, theirs, known, criteria, minimize=minimize, smaller=smaller
    )
    if first is not None and not repeats(ours) and not screened:
        effect = first - fmean((repeats(theirs) or theirs).values())
        gate = criteria.gate * (known.sigma or 0.0)
        words = f"discarded: {effect:+.6f} in its first trial, not better by the gate of {gate:.2g}"
        return Evidence(Decision.DISCARD, effect, None, 0, None, words + elsewhere)
    test = not_worse if smaller else weigh
    found = test(ours, theirs, known, criteria, minimize=minimize)
    return _with_words(found, elsewhere + " (its code is smaller)" * smaller)


def _with_words(evidence: Evidence, more: str) -> Evidence:
    """The same with more words."""
    return replace(evidence, words=evidence.words + more) if more else evidence

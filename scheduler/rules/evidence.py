"""Is a candidate better than the champion, or is it luck? Screened by one trial, then tested.

In come the metrics of both by the numbers of their trials (equal numbers share a seed) and the
noise of their class of hardware; out goes `Evidence`: keep, discard, or which trials are needed
next. Pure; it plans no trial and knows no state of the study. Rebasing is not its matter: both
must have been run on the same base, the candidate being an edit of this champion.

**The test.** A candidate whose first trial passes the gate is confirmed with further seeds, and
tested after 1, 2, 4, ... of them, up to `most_seeds`. The difference of the means is divided by
its standard error and looked up in Student's t with the degrees of freedom of the pooled noise.
Each look has a share of `false_keep_rate`, in proportion to its seeds (Bonferroni, with weights); p
is divided by that share, so that it is at most `false_keep_rate` if and only if the candidate is
kept. Early looks give up what is unlikely
to be better by the smallest effect; that costs true effects, never the rate.

**What the rate means.** A candidate that is no better than its champion, screened in or not, is
kept with a chance of at most `false_keep_rate`, whatever the number of looks, as the chances of a
union add up to at most their sum; the expected number of false keeps is at most that rate times
the number of such candidates. This is proven for normal noise and looks that don't depend on each
other's figures; the gate makes it far less. With the defaults simulation shows 1.3 % of the
candidates without an effect kept, which is 7 % of those screened in (2.0 and 8 % against a champion
with one trial that counts). For the screened ones alone nothing is proven: the champion's trials
serve in both places, and one measured too bad lets more in and loses to more of them. Nor is it the
share of what is kept, which depends on the odds (`false_share`): with one edit in ten better by
two sigmas, of which 79 % are kept, and the others nil, 13 %; with one in five, 6 %. Harmful ones
hardly ever get in.

**The luck of the first trial** (winner's curse) is left out: by it the candidate was chosen, so it
says nothing more. The same goes for the champion's, which would make it look better than it is.
What stops at a good moment is lucky still, and is not corrected: kept edits of truly 1, 2, 3 and 4
sigmas are stated as 1.6, 2.5, 3.3 and 4.2 on average. A rebased candidate was chosen on its old
base; its trials on the new one start with the second number and all count.
"""

# ruff: noqa: PLC0415 - scipy takes a moment, and most who read a study compute nothing
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from scheduler.figures import degrees_of_freedom
from scheduler.rules.noise import SCREENING, Noise, repeats

ROUNDING = 1e-12  # of a metric: a standard error below it is none, but an error of arithmetic
FEW = 5  # degrees of freedom below which the words say so: t at 1 % is over 3.3 there, not 2.3
MOST_DECIMALS = 9  # of an effect; a smaller error is written with an exponent

EXACT = "every repeat gave the same figure: the seed changes nothing, so no p"
NO_TRIAL = "undecided: no trial that counts yet"


class Decision(StrEnum):
    """What the evidence allows."""

    KEEP = "keep"
    DISCARD = "discard"
    MORE = "more"


@dataclass(frozen=True)
class Criteria:
    """When a candidate is screened in, kept and given up. `benchmarks/keep.py` tuned the defaults.

    Sizes of effects are in units of the metric, or, where `relative`, parts of the champion's.
    """

    false_keep_rate: float = 0.08  # of candidates that are no better, screened in or not
    smallest_effect: float = 0.001  # what is smaller may be missed
    relative: bool = True
    miss_rate: float = 0.4  # per look, of candidates better by the smallest effect: given up
    most_seeds: int = 16  # that confirm, beside the screening trial; 0: plain comparison
    champion_seeds: int = 4  # that a new champion is run with; every later test profits
    gate: float = 1.0  # sigmas by which a first trial has to be better than the champion
    simplicity_margin: float = 1.0  # sigmas by which smaller code may be worse; 0: by nothing

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not (0 < self.false_keep_rate < 0.5 and 0 < self.miss_rate <= 0.5):
            raise ValueError("false_keep_rate must lie between 0 and 0.5, as must miss_rate")
        if self.most_seeds < 0 or self.smallest_effect < 0 or self.simplicity_margin < 0:
            raise ValueError("most_seeds, smallest_effect and simplicity_margin can't be negative")

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which a candidate is tested: each twice the one before."""
        looks = []
        seeds = 1
        while seeds < self.most_seeds:
            looks.append(seeds)
            seeds *= 2
        return (*looks, self.most_seeds)

    def share(self, look: int) -> float:
        """The part of the false keep rate that the look after so many seeds may use up."""
        return look / sum(self.looks)

    def size(self, effect: float, metric: float) -> float:
        """An effect in units of the metric."""
        return effect * abs(metric) if self.relative else effect


@dataclass(frozen=True)
class Evidence:
    """A verdict and what it rests on."""

    verdict: Decision
    effect: float | None  # candidate minus champion, units of the metric; None before the first
    standard_error: float | None  # None where the noise is unknown; 0 where no repeat differed
    seeds: int  # that confirm: the candidate's, without the screening trial
    p: float | None  # chance of such a win without an effect, all looks counted; None: no test
    words: str
    candidate_needs: tuple[int, ...] = ()  # numbers of the trials that are to be run next
    champion_needs: tuple[int, ...] = ()
    hardware: str = ""  # the class within which the two were compared
    wants: str = ""  # the kind of slot that the trials must run on; see fleet.py

    @property
    def is_exact(self) -> bool:
        """Whether no repeat differed, so that the difference is real and no test can be made."""
        return self.p is None and self.standard_error == 0


def screen(
    candidate: float,
    champion: Mapping[int, float],
    noise: Noise,
    criteria: Criteria,
    *,
    minimize: bool,
    smaller: bool = False,
) -> bool:
    """Whether a first trial with this metric is worth a confirmation.

    Where the noise is unknown, every win is. `smaller` code need not win: it may be worse by less
    than the simplicity margin.
    """
    reference = _mean(repeats(champion) or champion)
    gain = reference - candidate if minimize else candidate - reference
    sigma = noise.sigma or 0.0
    enough = -criteria.simplicity_margin if smaller and sigma > 0 else criteria.gate
    return gain > enough * sigma


def weigh(
    candidate: Mapping[int, float],
    champion: Mapping[int, float],
    noise: Noise,
    criteria: Criteria,
    *,
    minimize: bool,
    barred: Collection[int] = (),
) -> Evidence:
    """Weigh a candidate that was screened in, whenever a trial that was asked for has ended.

    The noise holds the repeats of both already. Where the trials of a look are not all there, those
    that are missing are asked for, and nothing is tested: one look has one test. Where the noise is
    unknown, trials are asked for until it is known or `most_seeds` are used up; then, and where
    `most_seeds` is 0, means are compared plainly, and the words say so. `barred`: seeds, by number,
    with which the champion fails; it is given others.
    """
    return _weigh(
        *(candidate, champion, noise, criteria),
        claim="better",
        margin=0.0,
        minimize=minimize,
        barred=barred,
    )


def not_worse(
    candidate: Mapping[int, float],
    champion: Mapping[int, float],
    noise: Noise,
    criteria: Criteria,
    *,
    minimize: bool,
    barred: Collection[int] = (),
) -> Evidence:
    """Weigh smaller code: it is kept if it is worse by less than the simplicity margin.

    A non-inferiority test: the same as `weigh`, against a champion that is worse by the margin.
    `false_keep_rate` holds for candidates that are worse by the margin or more; one that is equal
    is kept four times out of five if most_seeds is 13 (sigma / margin)^2. Kept edits may add up:
    ten of them can cost ten margins. Where the noise is unknown, it has to be better.
    """
    margin = criteria.simplicity_margin * (noise.sigma or 0.0)
    words = f"not worse by {margin:.2g}"
    return _weigh(
        *(candidate, champion, noise, criteria),
        claim=words,
        margin=margin,
        minimize=minimize,
        barred=barred,
    )


def champion_due(champion: Mapping[int, float], criteria: Criteria) -> tuple[int, ...]:
    """The trials that a new champion, or a baseline, is still to be run with."""
    wanted = range(SCREENING + 1, SCREENING + 1 + criteria.champion_seeds)
    return tuple(n for n in wanted if n not in champion)


def _weigh(
    candidate: Mapping[int, float],
    champion: Mapping[int, float],
    noise: Noise,
    criteria: Criteria,
    *,
    claim: str,
    margin: float,
    minimize: bool,
    barred: Collection[int],
) -> Evidence:
    sign = -1.0 if minimize else 1.0
    if criteria.most_seeds == 0:
        return _unconfirmed(candidate, champion, sign, margin)
    ours, theirs = repeats(candidate), repeats(champion)
    due = next((n for n in criteria.looks if n >= len(ours)), criteria.most_seeds)
    after = next((n for n in criteria.looks if n > due), criteria.most_seeds)
    lacking = _next_numbers(theirs, ours, due - len(theirs), barred)
    if len(ours) < due or lacking:
        more = _next_numbers(ours, theirs, due - len(ours))
        lacking = lacking or _missing(more, theirs, barred)
        words = NO_TRIAL if not ours else "undecided: trials of this look are missing"
        return Evidence(Decision.MORE, None, None, len(ours), None, words, more, lacking)

    effect, error, degrees, pairs = _estimate(ours, theirs, noise)
    compared = _pairs(pairs) if pairs else _over(ours, theirs)
    last = len(ours) >= criteria.most_seeds
    if error is None and last:
        return _compare(ours, theirs, sign, margin, "the noise is unknown, without repeats")
    if error is None:
        more = _next_numbers(ours, theirs, after - len(ours))
        words = f"undecided: {effect:+.4g} {compared}, the noise is unknown"
        needed = _missing(more, theirs, barred)
        return Evidence(Decision.MORE, effect, None, len(ours), None, words, more, needed)

    nothing = ROUNDING * max(abs(_mean(ours)), abs(_mean(theirs)))
    if error <= nothing:
        return _exact(ours, effect, compared, keep=sign * effect > nothing)

    from scipy.special import stdtr, stdtrit

    gain = sign * effect + margin  # over a champion that is worse by the margin
    p = min(1.0, float(stdtr(degrees, -gain / error)) / criteria.share(due))
    hope = float(stdtrit(degrees, 1 - criteria.miss_rate)) * error
    smallest = criteria.size(criteria.smallest_effect, _mean(theirs))
    least = 0.0 if margin > 0 else smallest  # of the gain: an equal candidate has the margin
    if p <= criteria.false_keep_rate:
        verdict, why = Decision.KEEP, f": {claim}" if margin > 0 else ""
    elif gain + hope < least:
        aim = claim if margin > 0 else f"{claim} by {smallest:.2g}"
        verdict, why = Decision.DISCARD, f": unlikely to be {aim}"
    elif last:
        verdict, why = Decision.DISCARD, f": not shown to be {claim}"
    else:
        verdict, why = Decision.MORE, ""
    more = _next_numbers(ours, theirs, after - len(ours)) if verdict is Decision.MORE else ()
    names = {"keep": "kept", "discard": "discarded", "more": "undecided"}
    words = f"{names[verdict]}: {_within(effect, error)} {compared}, p = {p:.2g}{why}"
    if degrees < FEW:
        words += f" (sigma rests on {degrees_of_freedom(degrees)} only)"
    needed = _missing(more, theirs, barred)
    return Evidence(verdict, effect, error, len(ours), p, words, more, needed)


def _unconfirmed(
    candidate: Mapping[int, float], champion: Mapping[int, float], sign: float, margin: float
) -> Evidence:
    """Where nothing is confirmed: one trial of each is enough."""
    if not (candidate and champion):
        first = () if candidate else (SCREENING,)
        second = () if champion else (SCREENING,)
        return Evidence(Decision.MORE, None, None, 0, None, NO_TRIAL, first, second)
    return _compare(candidate, champion, sign, margin, "no confirmation is asked for")


def _estimate(
    ours: Mapping[int, float], theirs: Mapping[int, float], noise: Noise
) -> tuple[float, float | None, float, int]:
    """The effect, its standard error, and the degrees of freedom of that; of how many pairs.

    Of all trials, 0 pairs, or of the pairs alone where those were shown to vary less.
    """
    effect = _mean(ours) - _mean(theirs)
    if noise.sigma is None:
        return effect, None, 0.0, 0
    error = noise.sigma * math.sqrt(1 / len(ours) + 1 / len(theirs))
    shared = ours.keys() & theirs.keys()
    if shared and noise.pair_variance is not None:
        paired = math.sqrt(noise.pair_variance / len(shared))
        if ROUNDING * error < paired < error:  # pairs that never differ have shown nothing
            gaps = {n: ours[n] - theirs[n] for n in shared}
            return _mean(gaps), paired, float(noise.pair_degrees), len(gaps)
    return effect, error, noise.degrees, 0


def _exact(ours: Mapping[int, float], effect: float, compared: str, *, keep: bool) -> Evidence:
    """Where every repeat gave the same figure: any difference is real, and luck has no part."""
    verdict = Decision.KEEP if keep else Decision.DISCARD
    words = f"{'kept' if keep else 'discarded'}: {effect:+.4g} {compared}; {EXACT}"
    return Evidence(verdict, effect, 0.0, len(ours), None, words)


def _compare(
    ours: Mapping[int, float], theirs: Mapping[int, float], sign: float, margin: float, why: str
) -> Evidence:
    """The plain comparison, which says that it is one."""
    effect = _mean(ours) - _mean(theirs)
    keep = sign * effect + margin > 0
    words = (
        f"{'kept' if keep else 'discarded'} by a plain comparison, which luck can win ({why}): "
        f"{effect:+.4g} {_over(ours, theirs)}"
    )
    verdict = Decision.KEEP if keep else Decision.DISCARD
    seeds = len(repeats(ours))
    return Evidence(verdict, effect, None, seeds, None, words)


def _missing(
    numbers: Iterable[int], theirs: Mapping[int, float], barred: Collection[int]
) -> tuple[int, ...]:
    """Those of the numbers with which the champion was not run, and can be."""
    return tuple(n for n in numbers if n not in theirs and n not in barred)


def _next_numbers(
    ours: Mapping[int, float],
    theirs: Mapping[int, float],
    count: int,
    barred: Collection[int] = (),
) -> tuple[int, ...]:
    """The next trials to run: seeds that the other has already, then new ones."""
    known = sorted(theirs.keys() - ours.keys() - {*barred})
    highest = max((SCREENING, *ours, *theirs, *barred))
    fresh = (
        n for n in range(SCREENING + 1, highest + count + 1) if n not in ours and n not in barred
    )
    return tuple(dict.fromkeys((*known, *fresh)))[: max(0, count)]


def _mean(metrics: Mapping[int, float]) -> float:
    return math.fsum(metrics.values()) / len(metrics)


def _seeds(metrics: Mapping[int, float]) -> str:
    return f"{len(metrics)} seed{'s' if len(metrics) > 1 else ''}"


def _over(ours: Mapping[int, float], theirs: Mapping[int, float]) -> str:
    """Which means were compared; a figure of the whole experiment may rest on more trials."""
    apart = SCREENING not in {*ours, *theirs}
    left_out = " (first trials left out)" if apart else ""
    return f"over {_seeds(ours)} against the champion's {len(theirs)}{left_out}"


def _pairs(count: int) -> str:
    return f"over the {f'{count} seeds' if count > 1 else 'seed'} that both ran"


def _within(effect: float, error: float) -> str:
    """An effect with its error, of which two figures are shown, and four decimals at least."""
    decimals = max(4, 1 - math.floor(math.log10(error))) if error > 0 else 4
    if decimals > MOST_DECIMALS:
        return f"{effect:+.3g} ± {error:.2g}"
    return f"{effect:+.{decimals}f} ± {error:.{decimals}f}"

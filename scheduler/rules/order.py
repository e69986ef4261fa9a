"""Does the order of the champions hold where it was not made: on the audit split, in long trials?

In come the figures of the champions, trial by trial; out goes an `OrderCheck`: for each of the two
measures the rank correlation with the usual metric, the gain of each champion over the one before
it by both, and a warning where a gain is not there. Pure; it decides nothing, and nothing that is
decided depends on it. When what is measured is `checks.py`'s matter.

**When a gain is doubted.** By the usual metric the champion is better than the one before; by the
other measure less than half as much (audit) or not at all (long: most gains shrink as trainings
grow, all of them honestly); and the difference between the two gains is larger than its noise,
one-sided, at a chance of `CHANCE` for each gain by Student's t. What lies within the noise is no
warning, and where the noise is unknown there is none, and the words say so.

**The noise.** Audit and usual metric are of the same trained model, so that the luck of its seed is
in both: what counts is by how much their difference varies when the seed alone changes, pooled over
the champions. Where no code was run twice, the gains of the other champions stand in: by how much
they usually differ between the two splits, from `FEWEST` of them on. A long trial is taken to vary
as much as a usual one.

Figures compare within one class of hardware: that of the newest champion.
"""

# ruff: noqa: PLC0415 - scipy takes a moment, and most who read a study compute nothing
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import fmean

from scheduler.rules.estimate import estimate
from scheduler.rules.noise import Noise, repeats
from scheduler.rules.states import TrialKind

CHANCE = 0.025  # at which a gain that holds is doubted
FEWEST = 3  # champions for a rank correlation; other gains for the noise of one
HALF = 0.5  # of a gain, that has to be there on the audit split


@dataclass(frozen=True)
class Figure:
    """One trial of a champion."""

    champion: int  # the how-many-eth it is; 1 is the baseline
    experiment: int
    number: int  # of the trial: equal numbers share a seed
    kind: TrialKind
    metric: float
    audit: float | None = None
    hardware: str = ""
    home: str = ""  # the class on which its champion was kept


@dataclass(frozen=True)
class Leader:
    """A champion by both measures."""

    experiment: int
    usual: float  # of the same trials as `other`, where that is the audit
    other: float


@dataclass(frozen=True)
class Gain:
    """What a champion gained over the one before it: differences of the metric."""

    experiment: int
    over: int
    usual: float
    other: float
    noise: float | None  # standard error of the difference between the two; None: unknown
    warning: str = ""  # in plain words, where the gain is in doubt


@dataclass(frozen=True)
class Comparison:
    """The champions by the usual metric and by another measure."""

    leaders: tuple[Leader, ...] = ()  # that have both, the baseline first
    tau: float | None = None  # Kendall's; None where they are too few
    turned: int = 0  # pairs that are the other way round
    gains: tuple[Gain, ...] = ()
    words: str = "not measured"


@dataclass(frozen=True)
class OrderCheck:
    """Whether the order holds."""

    audit: Comparison = Comparison()
    long: Comparison = Comparison()
    warnings: tuple[str, ...] = ()

    def about(self, experiment: int) -> tuple[str, ...]:
        """The warnings about one champion."""
        gains = (*self.audit.gains, *self.long.gains)
        return tuple(g.warning for g in gains if g.experiment == experiment and g.warning)


def check_order(figures: Sequence[Figure], *, minimize: bool) -> OrderCheck:
    """Compare the champions by all that was measured of them."""
    lines = _by_champion(figures)
    sign = 1.0 if minimize else -1.0
    audit, long = _by_audit(lines, sign), _by_long(lines, sign)
    warnings = tuple(g.warning for c in (audit, long) for g in c.gains if g.warning)
    return OrderCheck(audit, long, warnings)


def _by_champion(figures: Sequence[Figure]) -> list[list[Figure]]:
    """The trials of each champion, the baseline first, on the newest one's hardware."""
    if not figures:
        return []
    newest = max(f.champion for f in figures)
    hardware = next(f.home or f.hardware for f in figures if f.champion == newest)
    lines: dict[int, list[Figure]] = {}
    for figure in figures:
        if figure.hardware == hardware:
            lines.setdefault(figure.champion, []).append(figure)
    return [lines[number] for number in sorted(lines)]


def _by_audit(lines: Iterable[list[Figure]], sign: float) -> Comparison:
    audited = [[f for f in line if f.audit is not None] for line in lines]
    audited = [line for line in audited if line]
    leaders = [
        Leader(
            line[0].experiment, fmean(f.metric for f in line), fmean(f.audit or 0.0 for f in line)
        )
        for line in audited
    ]
    noise = Noise()
    for line in audited:
        noise = noise.taking_all([(f.audit or 0.0) - f.metric for f in line])
    sizes = [len(line) for line in audited]
    errors = [_error(noise, 1 / a + 1 / b) for a, b in pairwise(sizes)]
    missing = [sign * (g.other - g.usual) for g in _gains(leaders, errors)]
    degrees = noise.degrees
    if noise.sigma is None:
        degrees = len(missing) - 1.0
        errors = [_usual_size(missing[:n] + missing[n + 1 :]) for n in range(len(missing))]
    gains = [
        _doubt(gain, degrees, sign, share=HALF, places=("on validation", "on audit"))
        for gain in _gains(leaders, errors)
    ]
    return _comparison(leaders, gains)


def _by_long(lines: Iterable[list[Figure]], sign: float) -> Comparison:
    leaders, sizes, noise = [], [], Noise()
    for line in lines:
        metrics = {f.number: f.metric for f in line if f.kind is TrialKind.USUAL}
        baseline = line[0].champion == 1
        counted = repeats(metrics, baseline=baseline)
        noise = noise.taking_all(counted.values())
        long = [f.metric for f in line if f.kind is TrialKind.LONG]
        if long and metrics:
            usual = estimate(metrics, baseline=baseline)
            leaders.append(Leader(line[0].experiment, usual.mean, long[-1]))
            sizes.append(usual.trials)
    errors = [_error(noise, 1 / a + 1 / b + 2) for a, b in pairwise(sizes)]
    gains = [
        _doubt(gain, noise.degrees, sign, share=0.0, places=("as usual", "with the longer budget"))
        for gain in _gains(leaders, errors)
    ]
    return _comparison(leaders, gains)


def _gains(leaders: Sequence[Leader], errors: Sequence[float | None]) -> list[Gain]:
    return [
        Gain(new.experiment, old.experiment, new.usual - old.usual, new.other - old.other, error)
        for (old, new), error in zip(pairwise(leaders), errors, strict=True)
    ]


def _error(noise: Noise, parts: float) -> float | None:
    return None if noise.sigma is None else noise.sigma * math.sqrt(parts)


def _usual_size(others: Sequence[float]) -> float | None:
    """The root of the mean square; None where they are too few to know it."""
    if len(others) < FEWEST:
        return None
    return math.sqrt(fmean(each * each for each in others))


def _doubt(
    gain: Gain, degrees: float, sign: float, *, share: float, places: tuple[str, str]
) -> Gain:
    """The same with a warning, where one is due."""
    if gain.noise is None or sign * gain.usual >= 0:
        return gain
    from scipy.special import stdtrit

    noise = float(stdtrit(degrees, 1 - CHANCE)) * gain.noise
    if sign * gain.other < share * sign * gain.usual or sign * (gain.other - gain.usual) <= noise:
        return gain
    rest = "only" if sign * gain.other >= 0 else "for the most part"
    where = "on the validation split" if share else "in short trainings"
    return Gain(
        gain.experiment,
        gain.over,
        gain.usual,
        gain.other,
        gain.noise,
        f"gain of #{gain.experiment} over #{gain.over} is {gain.usual:+.2g} {places[0]}, "
        f"{gain.other:+.2g} {places[1]} (noise of the difference ± {gain.noise:.2g}): "
        f"it may live {where} {rest}",
    )


def _comparison(leaders: Sequence[Leader], gains: Sequence[Gain]) -> Comparison:
    if not leaders:
        return Comparison()
    pairs = list(combinations(leaders, 2))
    turned = sum((a.usual - b.usual) * (a.other - b.other) < 0 for a, b in pairs)
    tau = _tau(leaders, turned) if len(leaders) >= FEWEST else None
    if not pairs:
        words = "one champion is measured: there is no order yet"
    elif turned:
        words = f"{turned} of {len(pairs)} pairs of champions are the other way round"
    else:
        words = f"the order of {len(leaders)} champions holds"
    if tau is not None:
        words += f" (Kendall's tau {tau:.2f})"
    if any(gain.noise is None for gain in gains):
        words += "; how much of it is noise is not known, as too little was run twice"
    return Comparison(tuple(leaders), tau, turned, tuple(gains), words)


def _tau(leaders: Sequence[Leader], turned: int) -> float | None:
    """Kendall's tau-b, as scipy.stats.kendalltau has it, whose import takes a second.

    M. G. Kendall: The treatment of ties in ranking problems, Biometrika 33 (1945).
    """
    usual = [a.usual != b.usual for a, b in combinations(leaders, 2)]
    other = [a.other != b.other for a, b in combinations(leaders, 2)]
    if not any(usual) or not any(other):
        return None
    agreeing = sum(u and o for u, o in zip(usual, other, strict=True)) - turned
    return (agreeing - turned) / math.sqrt(sum(usual) * sum(other))

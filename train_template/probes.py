"""Which windows the referee asks, in which order, and what must agree in the answers.

In: the validation tokens, the settings and a secret. Out: a `Plan` of questions; and, from the
log-probabilities that came back, the first thing that no honest model would have done. Pure:
nothing is sent, and nothing is scored here. The probes stand in the same stream as what is scored,
in the same shape, so that a candidate that cheats elsewhere must first find out which they are.

What is covered, one test a line (tests/integration/test_exam.py):

    looks at all of the window            causality: prefix asked with another tail
    looks at the next token only          causality: also at the last place before the other tail
    looks ahead in the first batches only statelessness: what is asked first is asked again last
    looks ahead, and replays old logits   foresight: nobody foresees what is drawn at random
      for a prefix that it has seen
    learns from the questions             statelessness
    remembers the windows that it saw     statelessness, and causality (half of the other tails
      (whole, or by their beginning)        come before the true ones)
    rewrites its answers while they are   nothing to gain: the referee judges a copy (`exam`)
      judged
    trains on after the budget, before    the time of its answers (`referee.check_waits`)
      it answers
    logits not finite, far too large,     `exam` and `score`
      of another shape or number format

What is not:

    learns from the questions, and replays its old logits for every prefix that it has seen
    looks ahead only where it has found, from both sides, that the text is whole
    gains less than the tolerance (`Tolerance.mean`) by any of these
    knows the validation text: that it never sees it before the exam is the sandbox's part

A model in which windows of a batch compete (experts of limited capacity, statistics over the batch)
is refused as stateful: its loss would depend on what it is asked together with.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from train_template.errors import DataError
from train_template.exam import Precision
from train_template.job import Settings
from train_template.score import Floats
from train_template.tokenizer import Ids

FEWEST = 8  # windows that are asked with another tail, and as many are asked again
SHARE = 0.05  # or this share of all
RESERVE_SHARE = 1 / 16  # of the windows are never scored, where the settings would take all
RESERVE_TOKENS = 65_536  # of the reserve are searched for a tail: more takes longer than it helps
PLACES = 64  # of the reserve to draw from at least: the more, the harder to foresee
CONTEXT = 8  # tokens before a place that may agree with those before the seam
IMPOSSIBLE = 16.0  # nats: an honest model foresees so much in one of e^16 = 9 million exams at most


@dataclass(frozen=True)
class Tolerance:
    """By how many nats the log-probability of a token may differ between two equal questions.

    `largest` bounds each token; `mean`, over all tokens of a probe, bounds what can be gained.
    """

    largest: float
    mean: float


# An equal question lies in another row of another batch, where sums may be taken in another order.
# On a CPU that moves a token by 5e-7 nats in float32, and by nothing in most models; the room is
# for devices and models that give float32 and compute in TF32 or bfloat16 (autocast).
FLOAT32 = Tolerance(largest=0.25, mean=0.005)
# One step of bfloat16 is 0.06 between logits 8 and 16 and 0.125 between 16 and 32: sums that fall
# on the other side of a rounding move a single token by as much, and the mean by far less.
SIXTEEN_BITS = Tolerance(largest=1.0, mean=0.02)


@dataclass(frozen=True)
class Pair:
    """A window's question, and one that has its first tokens and another tail."""

    true: int  # numbers of questions
    altered: int
    prefix: int  # tokens that both have


@dataclass(frozen=True)
class Seam:
    """Where text was drawn at random."""

    question: int
    position: int  # of the logits that should not foresee the next token
    chance: float  # with which that token was drawn


@dataclass(frozen=True)
class Plan:
    """All questions of an exam, in the order in which they are asked; Q fills whole batches."""

    windows: Ids  # [Q, T + 1]: T tokens to ask, each followed by its target
    genuine: Ids  # [Q, T]: the targets in the true window, also where the tail is another
    scored: npt.NDArray[np.bool_]  # [Q]
    pairs: tuple[Pair, ...]
    seams: tuple[Seam, ...]
    repeats: tuple[tuple[int, int], ...]  # a question and the earlier one that it repeats

    @property
    def targets(self) -> Ids:
        """The targets of each question, as they follow in it; shape [Q, T]."""
        return self.windows[:, 1:]


def windows_asked(validation_tokens: int, length: int) -> int:
    """How many windows of T = `length` tokens and a target so many tokens are."""
    return validation_tokens // (length + 1)


def windows_at_most(tokens: int, length: int) -> int:
    """How many of a split's windows can be scored: the probes draw from the rest.

    The scheduler reckons with the same two before a study starts (scheduler/study/data.py).
    """
    cut = tokens // (length + 1)
    return cut - max(1, math.ceil(cut * RESERVE_SHARE))


def make_plan(tokens: Ids, settings: Settings, windows: int, secret: int) -> Plan:
    """Cut `tokens`, shape [N], into windows of T + 1, and order them for batches of `windows`.

    The first `windows_asked` are scored, whatever the secret. Raises DataError where there is not
    one to score and one to spare.
    """
    length = settings.sequence_length
    cut = tokens[: len(tokens) // (length + 1) * (length + 1)].reshape(-1, length + 1)
    count = min(
        windows_asked(settings.validation_tokens, length), windows_at_most(len(tokens), length)
    )
    if count < 1:
        raise DataError(
            f"{min(len(tokens), settings.validation_tokens)} validation tokens are too few for two "
            f"windows of {length} and a target: use more text, or a shorter data.sequence_length"
        )
    random = np.random.default_rng(secret)
    reserve = cut[count:].reshape(-1)[:RESERVE_TOKENS]
    probes = min(count, max(FEWEST, math.ceil(count * SHARE)))
    return _Planner(cut[:count], reserve, random).plan(probes, windows)


class _Planner:
    """Draws one plan."""

    def __init__(self, scored: Ids, reserve: Ids, random: np.random.Generator) -> None:
        self._scored = scored
        self._reserve = reserve
        self._random = random
        self._length = scored.shape[1] - 1

    def plan(self, probes: int, windows: int) -> Plan:
        count = len(self._scored)
        asked = list(self._scored)
        keys = self._random.random(count)  # the order of the questions, as numbers in [0, 1)
        tails: list[tuple[int, int, list[tuple[int, float]]]] = []  # true, prefix, seams
        late = self._random.permutation(probes) % 2  # half of the altered ones come second
        chosen = self._random.choice(count, size=probes, replace=False)
        for true, second in zip(chosen.tolist(), late.tolist(), strict=True):
            prefix = int(self._random.integers(1, self._length)) if self._length > 1 else 0
            drawn = self._altered(self._scored[true], prefix) if prefix else None
            if drawn is None:  # no place that differs: one token a window, or one kind of token
                continue
            # Half a stream apart, so in different batches, and at any place of it.
            first = self._random.random() / 2
            keys[true] = first if second else first + 0.5
            keys = np.append(keys, first + 0.5 if second else first)
            asked.append(drawn[0])
            tails.append((true, prefix, drawn[1]))
        order = np.argsort(keys, kind="stable")
        place = np.argsort(order)  # question number of each entry of `asked`
        pairs, seams = [], []
        for number, (true, prefix, drawn_at) in enumerate(tails, start=count):
            pairs.append(Pair(int(place[true]), int(place[number]), prefix))
            seams += [Seam(int(place[number]), at, chance) for at, chance in drawn_at]
        originals = self._repeats(len(asked), max(FEWEST, probes), windows)
        genuine = asked[:count] + [self._scored[true] for true, _, _ in tails]
        entries = [int(entry) for entry in order] + [int(order[again]) for again in originals]
        scored = np.zeros(len(entries), dtype=np.bool_)
        scored[place[:count]] = True
        return Plan(
            windows=np.stack([asked[entry] for entry in entries]),
            genuine=np.stack([genuine[entry][1:] for entry in entries]),
            scored=scored,
            pairs=tuple(pairs),
            seams=tuple(seams),
            repeats=tuple(enumerate(originals, start=len(asked))),
        )

    def _altered(self, window: Ids, prefix: int) -> tuple[Ids, list[tuple[int, float]]] | None:
        """The window with another tail, and where its pieces begin; None if there is no other.

        Each piece is drawn from places of the reserve whose text before agrees with the text
        before the seam as far as possible, so that seams don't show.
        """
        altered, seams = window.copy(), []
        least = max(2, self._length // 16)
        at = prefix
        while at <= self._length:
            other = int(window[at]) if at == prefix else None
            places = self._places(altered[max(0, at - CONTEXT) : at], other)
            if places is None:
                return None
            following = self._reserve[places]
            drawn = int(self._random.choice(places))
            seams.append((at - 1, float((following == self._reserve[drawn]).mean())))
            size = min(int(self._random.integers(least, 4 * least)), self._length + 1 - at)
            altered[at : at + size] = self._reserve.take(range(drawn, drawn + size), mode="wrap")
            at += size
        return altered, seams

    def _places(self, context: Ids, other: int | None) -> npt.NDArray[np.intp] | None:
        """Places of the reserve to draw from, whose token differs from `other`."""
        all_places = np.arange(len(self._reserve))
        places = all_places if other is None else np.flatnonzero(self._reserve != other)
        if not len(places):
            return None
        for back in range(1, len(context) + 1):
            fitting = places[self._reserve[places - back] == context[-back]]
            if len(fitting) < PLACES or np.ptp(self._reserve[fitting]) == 0:
                break
            places = fitting
        return places

    def _repeats(self, asked: int, fewest: int, windows: int) -> list[int]:
        """Numbers of questions to ask again at the end, in other batches, up to a whole batch.

        Half of them from the first batch, the others from the first half of all.
        """
        batches = max(2, math.ceil((asked + fewest) / windows))  # one would be one company
        count = batches * windows - asked
        early = min(asked, windows)
        half = max(early, asked // 2)
        limits = np.where(np.arange(count) % 2 == 0, early, half)
        return [int(number) for number in self._random.integers(limits)]


def find_fault(plan: Plan, own: Floats, genuine: Floats, precision: Precision) -> str | None:
    """What no honest model would have answered, as one sentence; None if there is nothing.

    `own` and `genuine`, [Q, T], are the log-probabilities in nats of `plan.targets` and of
    `plan.genuine`. Statelessness is judged first: a model that learns answers every pair unequally.
    """
    tolerance = FLOAT32 if precision is Precision.FLOAT32 else SIXTEEN_BITS
    again = [np.abs(own[later] - own[first]) for later, first in plan.repeats]
    seen = _disagreement(again, tolerance)
    if seen:
        return f"not stateless: {seen} when the same window was asked again"
    changes = [
        np.abs(genuine[pair.true, : pair.prefix] - genuine[pair.altered, : pair.prefix])
        for pair in plan.pairs
    ]
    # A model that sees one token ahead differs only at the last place before the other tail.
    seen = _disagreement(changes, tolerance) or _disagreement(
        [change[-1:] for change in changes], tolerance
    )
    if seen:
        return f"not causal: {seen} when only later text was changed"
    nats = foresight(plan, own)
    if nats > IMPOSSIBLE:
        return (
            f"not causal: it foresaw text that was drawn at random in {len(plan.seams)} places; "
            f"the odds of that are 1 to 1e{nats / math.log(10):.0f}"
        )
    return None


def _disagreement(changes: list[Floats], tolerance: Tolerance) -> str:
    """What was seen, where it is more than the tolerance; else empty."""
    if not changes:
        return ""
    every = np.concatenate(changes)
    largest, mean = float(every.max()), float(every.mean(dtype=np.float64))
    if largest <= tolerance.largest and mean <= tolerance.mean:
        return ""
    number = sum(bool(change.max() > tolerance.mean) for change in changes)
    return (
        f"in {number} of {len(changes)} windows the log-probability of a token changed by up to "
        f"{largest:.2g} nats"
    )


def foresight(plan: Plan, own: Floats) -> float:
    """Evidence, in nats, that the drawn tokens were known before they were shown.

    A bet at fair odds on each draw: with half of what it has, the candidate buys the drawn token
    at its chance q for its probability p, and the factor ½ + ½ p / q has a mean of at most 1
    whatever an honest model believes. So the product exceeds e^x with a chance of at most e^-x
    (Ville's inequality), for any model and any text: there is nothing to calibrate.
    """
    nats = 0.0
    for seam in plan.seams:
        p = math.exp(float(own[seam.question, seam.position]))
        nats += math.log(0.5 + 0.5 * p / seam.chance)
    return nats

"""Where the time of each slot went: an unbroken line of segments, each of one kind. Pure.

In: how many slots there were from when on, the states of the study, and the trials that held slots.
Out: for each slot the spans in which it existed, and segments that cover them without a gap and
without an overlap, so that their seconds add up to those of the slot.

Two clocks are in it. When a slot was given away and when the outcome was there, the driver's clock
says; all segments are told by that one. How long each phase lasted, a worker's monotonic clock
says, and is taken as it is. Where the phases lie in between, its wall clock says; that of another
node may be fast or slow, so they are shifted by the least that makes them fit between the driver's
two times. A shift moves seconds between `dispatch` and `return`, and changes no sum.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate, pairwise

from scheduler.rules.states import StudyState, TrialState


class Kind(StrEnum):
    """What a slot was doing, in the order in which views tell it."""

    TRAIN = "training"
    STARTUP = "start-up"  # of the processes: sandbox, imports; and the fetching of task and data
    WARM_UP = "warm-up"  # building and compiling the model
    EVAL = "evaluation"
    TEARDOWN = "teardown"
    DISPATCH = "dispatch"  # given to a trial, which its worker has not begun: Ray's part
    RETURN = "return"  # the worker has ended, the study has no outcome yet: Ray's part too
    RUNNING = "running"  # a trial that goes on: its phases are told with its outcome
    LOST = "lost"  # a trial that ended without an outcome
    CANCELLED = "cancelled"  # a trial that was cut short
    IDLE = "idle"  # no trial, though the study ran
    PAUSED = "paused"
    ENDING = "ending"  # nothing more was to be started, but others still ran


PHASES = (Kind.STARTUP, Kind.WARM_UP, Kind.TRAIN, Kind.EVAL, Kind.TEARDOWN)
"""Of a trial, in the order in which they follow each other."""
RAY = (Kind.DISPATCH, Kind.RETURN)
WITHOUT_TRIAL = (Kind.IDLE, Kind.PAUSED, Kind.ENDING)
SHOWN = 0.05  # per cent below which a kind is not named in a sentence


@dataclass(frozen=True)
class Count:
    """How many slots there are from then on; `over`: a session ended, and its trials with it."""

    at: float
    slots: int
    over: bool = False


@dataclass(frozen=True)
class Move:
    """The state of the study from then on."""

    at: float
    state: StudyState


@dataclass(frozen=True)
class Held:
    """A trial, as it held a slot. Times of the driver's clock, but for `began`."""

    trial: int
    slot: int
    state: TrialState
    assigned_at: float
    ended_at: float | None  # None: it runs
    began: float | None = None  # on its node's clock; None: it has no outcome
    phases: tuple[float, ...] = ()  # seconds, as PHASES; empty: it has no outcome

    @property
    def shift(self) -> float:
        """What is added to its node's clock, so that its phases lie where they can have been."""
        if self.began is None or self.ended_at is None:
            return 0.0
        latest = max(self.assigned_at, self.ended_at - sum(self.phases))
        return min(max(self.began, self.assigned_at), latest) - self.began


@dataclass(frozen=True)
class Segment:
    """One slot, one thing, from `start` to `end`."""

    kind: Kind
    start: float
    end: float
    trial: int | None = None

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class Line:
    """One slot. Its segments cover its spans, in order."""

    slot: int
    spans: tuple[tuple[float, float], ...]  # in which it existed
    segments: tuple[Segment, ...]

    @property
    def seconds(self) -> float:
        """For how long it existed."""
        return sum(end - start for start, end in self.spans)

    def totals(self) -> dict[Kind, float]:
        """Seconds of each kind that occurs, in the order of the kinds."""
        return totals([self])


def totals(lines: Iterable[Line]) -> dict[Kind, float]:
    """Seconds of each kind that occurs in any of the lines, in the order of the kinds."""
    found: defaultdict[Kind, float] = defaultdict(float)
    for line in lines:
        for segment in line.segments:
            found[segment.kind] += segment.seconds
    return {kind: found[kind] for kind in Kind if kind in found}


class Open:
    """The time in which there was any slot: what a drawing shows, without the days in between."""

    def __init__(self, of: Iterable[Line]) -> None:
        self._spans = _joined(span for line in of for span in line.spans)
        self._starts = [start for start, _ in self._spans]
        lengths = (end - start for start, end in self._spans)
        self._before = list(accumulate(lengths, initial=0.0))

    @property
    def seconds(self) -> float:
        """All of it."""
        return self._before[-1]

    @property
    def breaks(self) -> Sequence[float]:
        """After how many seconds of it there was a time without any slot."""
        return self._before[1:-1]

    def until(self, at: float) -> float:
        """How much of it there was before a time."""
        place = bisect_right(self._starts, at) - 1
        if place < 0:
            return 0.0
        start, end = self._spans[place]
        return self._before[place] + min(at, end) - start


def occupancy(seconds: Mapping[Kind, float]) -> float | None:
    """Of the time in which the study ran, the share for which trials held the slots.

    Neither a pause nor the end, when the last trials have the cluster for themselves, counts.
    None: it did not run.
    """
    idle = seconds.get(Kind.IDLE, 0.0)
    held = sum(part for kind, part in seconds.items() if kind not in WITHOUT_TRIAL)
    return held / (held + idle) if held + idle > 0 else None


def in_words(seconds: Mapping[Kind, float]) -> str:
    """Such as `81.0 % training, 9.5 % idle, 3.1 % warm-up`: training, then the largest."""
    whole = sum(seconds.values())
    if whole <= 0:
        return ""
    shares = {kind.value: part for kind, part in seconds.items() if kind not in RAY}
    shares["Ray"] = sum(seconds.get(kind, 0.0) for kind in RAY)
    parts = [(100 * part / whole, name) for name, part in shares.items()]
    parts.sort(key=lambda part: (part[1] != Kind.TRAIN, -part[0]))
    return ", ".join(f"{share:.1f} % {name}" for share, name in parts if share >= SHOWN)


def lines(
    counts: Sequence[Count],
    moves: Sequence[Move],
    held: Iterable[Held],
    since: float,
    until: float,
) -> list[Line]:
    """The line of each slot that existed between two times, in order of their numbers.

    `counts` and `moves` in order of time, from the last one before `since` on. A slot that was
    counted no more existed for as long as its trial went on.
    """
    ends = [each.at for each in counts if each.over]
    spans = _counted(counts, until)
    by_slot: defaultdict[int, list[tuple[float, float, Held]]] = defaultdict(list)
    for each in sorted(held, key=lambda h: (h.assigned_at, h.trial)):
        place = bisect_left(ends, each.assigned_at)
        session = ends[place] if place < len(ends) else until
        end = min(until if each.ended_at is None else each.ended_at, session)
        before = by_slot[each.slot]
        start = max(each.assigned_at, before[-1][1]) if before else each.assigned_at
        if end > start:
            before.append((start, end, each))
            spans[each.slot].append((start, end))
    found = []
    for slot in sorted(spans):
        exists = _within(_joined(spans[slot]), since, until)
        if exists:
            segments = _segments(exists, by_slot.get(slot, []), moves)
            found.append(Line(slot, tuple(exists), tuple(segments)))
    return found


def _counted(counts: Sequence[Count], until: float) -> defaultdict[int, list[tuple[float, float]]]:
    """When each slot was counted among those that there are."""
    spans: defaultdict[int, list[tuple[float, float]]] = defaultdict(list)
    open_since: list[float] = []
    for each in counts:
        while len(open_since) > each.slots:
            start = open_since.pop()
            spans[len(open_since)].append((start, max(start, each.at)))
        open_since += [each.at] * (each.slots - len(open_since))
    for slot, start in enumerate(open_since):
        spans[slot].append((start, max(start, until)))
    return spans


def _joined(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _within(
    spans: Iterable[tuple[float, float]], since: float, until: float
) -> list[tuple[float, float]]:
    cut = ((max(start, since), min(end, until)) for start, end in spans)
    return [(start, end) for start, end in cut if end > start]


def _segments(
    spans: Sequence[tuple[float, float]],
    trials: Sequence[tuple[float, float, Held]],
    moves: Sequence[Move],
) -> Iterator[Segment]:
    """The spans, covered. Trials are in order, and none of them overlaps another."""
    place = 0
    for begin, over in spans:
        at = begin
        while place < len(trials) and trials[place][0] < over:
            start, end, held = trials[place]
            place += 1
            if end <= at:
                continue
            yield from _gap(at, start, moves)
            for each in _of_trial(start, end, held):
                low, high = max(each.start, begin), min(each.end, over)
                if high > low:
                    yield Segment(each.kind, low, high, each.trial)
            at = min(end, over)
        yield from _gap(at, over, moves)


def _gap(start: float, end: float, moves: Sequence[Move]) -> Iterator[Segment]:
    """A slot without a trial: what for, the state of the study says."""
    if end <= start:
        return
    low, high = bisect_right(moves, start, key=_at), bisect_left(moves, end, key=_at)
    edges = [start, *(move.at for move in moves[low:high]), end]
    kind, since = _gap_kind(moves[low - 1].state if low else StudyState.RUNNING), start
    for number, (_, edge) in enumerate(pairwise(edges), low):
        following = _gap_kind(moves[number].state) if number < high else None
        if following is not kind:
            if edge > since:
                yield Segment(kind, since, edge)
            since = edge
            kind = following or kind


def _at(move: Move) -> float:
    return move.at


def _gap_kind(state: StudyState) -> Kind:
    if state is StudyState.RUNNING:
        return Kind.IDLE
    return Kind.PAUSED if state is StudyState.PAUSED else Kind.ENDING


WITHOUT_OUTCOME = {
    TrialState.RUNNING: Kind.RUNNING,
    TrialState.CANCELLED: Kind.CANCELLED,
    TrialState.LOST: Kind.LOST,
    TrialState.DONE: Kind.LOST,  # what an outcome told is not there: it never happens
}


def _of_trial(start: float, end: float, held: Held) -> Iterator[Segment]:
    """A trial from the time when it was given its slot until it gave it back."""
    if held.began is None or not held.phases:
        yield Segment(WITHOUT_OUTCOME.get(held.state, Kind.LOST), start, end, held.trial)
        return
    at = start
    edge = held.began + held.shift
    for kind, seconds in zip((Kind.DISPATCH, *PHASES), (0.0, *held.phases), strict=True):
        edge += max(0.0, seconds)
        stop = min(max(edge, at), end)
        if stop > at:
            yield Segment(kind, at, stop, held.trial)
            at = stop
    if end > at:
        yield Segment(Kind.RETURN, at, end, held.trial)


@dataclass(frozen=True)
class SlotTime:
    """The same for all slots together, of sums that are kept: nothing is read for it but them.

    To the second where slots go while their trials go on; `lines` is exact.
    """

    ended: Mapping[Kind, float] = field(default_factory=dict)  # seconds of trials that have ended
    exists: float = 0.0  # seconds for which slots existed, until ...
    counted_at: float = 0.0  # ... the newest count
    slots: int = 0  # since then
    running: int = 0  # trials
    given: float = 0.0  # sum of the times at which they were given their slots
    heard_at: float = 0.0  # the newest time that the study has noted: the end, where it was killed

    def at(self, now: float | None) -> dict[Kind, float]:
        """Seconds of each kind until `now`, in the order of the kinds; None: nothing runs it.

        Idle is what is left over: paused and ending are in it.
        """
        now = self.heard_at if now is None else now
        exists = self.exists + self.slots * max(0.0, now - self.counted_at)
        found = {kind: seconds for kind, seconds in self.ended.items() if seconds > 0}
        if (running := self.running * now - self.given) > 0 and self.running:
            found[Kind.RUNNING] = running
        if (idle := exists - sum(found.values())) > 0:
            found[Kind.IDLE] = idle
        return {kind: found[kind] for kind in Kind if kind in found}

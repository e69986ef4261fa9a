"""A timeline in the Trace Event Format, which chrome://tracing and ui.perfetto.dev open.

In: a Timeline. Out: one JSON document. A process is a node, a thread a slot; a trial is a slice
with its phases below it, and what else a slot's time went into stands beside them. Times are
microseconds from the beginning of the timeline, which `otherData` names. It is the format's object
form, with complete events (`ph: "X"`) and metadata events (`ph: "M"`).
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from scheduler.rules.timeline import Line
from scheduler.study.timeline import Timeline, TrialTime

UNKNOWN = "node unknown"  # of a slot on which no trial of the timeline has ended
Event = dict[str, Any]


def trace(timeline: Timeline, name: str) -> dict[str, Any]:
    """The document, for `json.dump`. `name` is the study's."""
    trials = {each.id: each for each in timeline.trials}
    homes = sorted({home for line in timeline.lines for home in _homes(line, trials)})
    processes = {home: number for number, home in enumerate(homes, 1)}
    events: list[Event] = []
    for home, number in processes.items():
        events.append(_named("process_name", number, 0, home))
    for line in timeline.lines:
        for home in sorted(set(_homes(line, trials))):
            events.append(
                _named("thread_name", processes[home], line.slot + 1, f"slot {line.slot}")
            )
            order = {"sort_index": line.slot}
            events.append(_metadata("thread_sort_index", processes[home], line.slot + 1, order))
        events += _slices(line, trials, processes, timeline.since)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "study": name,
            "began_at": timeline.since,  # Unix seconds: ts 0
            "ended_at": timeline.until,
            "clock": "the driver's; phases were put right by at most (seconds, by node): "
            + (", ".join(f"{n or UNKNOWN} {s:+.3f}" for n, s in timeline.shifts.items()) or "0"),
        },
    }


def _homes(line: Line, trials: Mapping[int, TrialTime]) -> list[str]:
    """The node of each of its segments: of its trial, else of the last before it that is known."""
    known = [trials[each.trial].node if each.trial is not None else "" for each in line.segments]
    home = next((node for node in known if node), UNKNOWN)
    found = []
    for node in known:
        home = node or home
        found.append(home)
    return found


def _slices(
    line: Line, trials: Mapping[int, TrialTime], processes: Mapping[str, int], since: float
) -> Iterator[Event]:
    where = zip(line.segments, _homes(line, trials), strict=True)
    for number, group in groupby(where, key=lambda pair: pair[0].trial):
        pieces = list(group)
        trial = None if number is None else trials[number]
        if trial is not None:  # the longer slice first: what follows it lies in it
            whole = _micros(pieces[0][0].start, since), _micros(pieces[-1][0].end, since)
            place = processes[pieces[0][1]], line.slot + 1
            name = f"#{trial.experiment} {' '.join(trial.title.split())}"
            yield _slice(name, "trial", place, whole, _args(trial))
        for segment, home in pieces:
            place = processes[home], line.slot + 1
            span = _micros(segment.start, since), _micros(segment.end, since)
            args = {} if trial is None else {"experiment": trial.experiment, "trial": trial.id}
            category = "slot" if trial is None else "phase"
            yield _slice(segment.kind.value, category, place, span, args)


def _args(trial: TrialTime) -> dict[str, Any]:
    return {
        "experiment": trial.experiment,
        "title": trial.title,
        "outcome": trial.result,
        "metric": trial.metric,
        "trial": trial.id,
        "repeat": trial.number,
        "edit": trial.edit.value,
        "longer budget": trial.long,
        "node": trial.node,
    }


def _micros(at: float, since: float) -> int:
    """Rounded as a time, not as a duration, so that neighbours share their edge."""
    return round(1e6 * (at - since))


def _slice(
    name: str,
    category: str,
    place: tuple[int, int],
    span: tuple[int, int],
    args: Mapping[str, Any],
) -> Event:
    (process, thread), (start, end) = place, span
    return {
        "name": name,
        "cat": category,
        "ph": "X",
        "ts": start,
        "dur": end - start,
        "pid": process,
        "tid": thread,
        "args": dict(args),
    }


def _named(what: str, process: int, thread: int, name: str) -> Event:
    return _metadata(what, process, thread, {"name": name})


def _metadata(what: str, process: int, thread: int, args: Mapping[str, Any]) -> Event:
    return {"name": what, "ph": "M", "ts": 0, "pid": process, "tid": thread, "args": dict(args)}

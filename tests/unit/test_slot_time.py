"""A study's time by its slots: what is recorded of it, read back, traced and drawn."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from scheduler.api.dashboard.gantt import bar, gantt
from scheduler.rules import events as ev
from scheduler.rules.machine import step
from scheduler.rules.policy import Policy
from scheduler.rules.state import State
from scheduler.rules.throughput import Edit
from scheduler.rules.timeline import Kind, in_words
from scheduler.study.facts import Contents
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.store import Session, Store
from scheduler.study.timeline import EXACT, Timeline, read_timeline
from scheduler.study.timeline_plot import write_timeline_plot
from scheduler.study.trace_events import trace
from tests.fixtures.confirmed_study import make_confirmed
from tests.fixtures.reports import Page, files_of
from tests.fixtures.verbs import Output, call, document
from tests.synthetic import START, Course, baseline, make_study
from workers import Outcome, OutcomeStatus, Timings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("t") / "night", experiments=60, seed=3, slots=3)


@pytest.fixture(scope="module")
def night(folder: Path) -> Timeline:
    return read(folder / "study.db")


def read(database: Path, now: float | None = None, **wanted: Any) -> Timeline:
    with Reader(database) as reader:
        return read_timeline(reader, now=now, budget=300.0, gpus=1.0, **wanted)


# ---- what is recorded -----------------------------------------------------------------------


def test_all_of_each_slots_time_is_accounted_for(night: Timeline) -> None:
    assert [line.slot for line in night.lines] == [0, 1, 2]
    for line in night.lines:
        assert abs(sum(line.totals().values()) - line.seconds) < EXACT
        assert line.seconds == pytest.approx(night.until - night.since)
    assert night.totals[Kind.TRAIN] > 0.7 * night.seconds
    assert night.trained == sum(each.metric is not None for each in night.trials) > 40
    assert night.complete
    assert not night.guessed


def test_the_sums_that_are_kept_are_those_of_the_whole_timeline(
    folder: Path, night: Timeline
) -> None:
    with Reader(folder / "study.db") as reader:
        kept = reader.study().slot_time.at(None)
    assert sum(kept.values()) == pytest.approx(night.seconds)
    for kind in (Kind.TRAIN, Kind.STARTUP, Kind.WARM_UP, Kind.IDLE):
        assert kept[kind] == pytest.approx(night.totals[kind], rel=1e-6)


def test_a_killed_session_had_its_slots_until_it_was_heard_of_last(tmp_path: Path) -> None:
    store = Store(tmp_path / "study.db")
    course = Course(Policy(), store)
    course.begin_session(START)
    course.send(ev.Opened(START))
    course.send(ev.SlotsCounted(START + 2, 2))  # the baseline takes one of them
    course.send(ev.Ticked(START + 40))  # noted: the last thing that is
    store.close()  # killed

    seconds = read(tmp_path / "study.db").seconds
    assert seconds == 76.0  # two slots, for 38 s
    night = START + 8 * 3600
    store = Store(tmp_path / "study.db")
    course = Course(Policy(), store)
    course.begin_session(night)
    course.send(ev.Opened(night))
    course.send(ev.SlotsCounted(night + 3, 1))
    course.send(ev.Ticked(night + 13))
    store.close()
    found = read(tmp_path / "study.db", now=night + 13)
    assert found.totals == {Kind.RUNNING: 10.0, Kind.LOST: 38.0, Kind.IDLE: 38.0}
    assert found.seconds == 76.0 + 10.0
    with Reader(tmp_path / "study.db") as reader:
        assert reader.study().slot_time.at(night + 13) == found.totals


def test_a_study_that_ends_has_no_slots_from_then_on(folder: Path, night: Timeline) -> None:
    later = read(folder / "study.db", now=night.until + 1000)
    assert later.seconds == pytest.approx(night.seconds)


def test_the_phases_of_a_node_whose_clock_is_an_hour_fast_lie_within_the_trial(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "study.db")
    session = Session(1, "here", task="task", data="data")
    store.begin_session(START, session)
    state = State(Policy())
    outcome = Outcome(
        1,
        OutcomeStatus.DONE,
        metric=1.0,
        timings=Timings(4.0, 5.0, 300.0, 7.0, 1.0),
        started_at=START + 3600 + 12,
        finished_at=START + 3600 + 329,
        node="fast",
    )
    events: list[tuple[ev.Event, Contents]] = [
        (ev.Opened(START), Contents(baseline=baseline())),
        (ev.SlotsCounted(START + 10, 1), Contents()),
        (
            ev.Reported(START + 330, 1, OutcomeStatus.DONE, 1.0, "", 317.0),
            Contents(outcome=outcome),
        ),
    ]
    for number, (event, contents) in enumerate(events, 1):
        transition = step(state, event)
        store.commit(number, event, transition, contents)
        state = transition.state
    store.close()
    found = read(tmp_path / "study.db", until=START + 330)
    assert found.totals[Kind.TRAIN] == pytest.approx(300.0)
    assert found.totals[Kind.DISPATCH] == pytest.approx(3.0)
    assert Kind.RETURN not in found.totals
    assert found.shifts == {"fast": pytest.approx(-3599.0)}


# ---- a part of it ---------------------------------------------------------------------------


def test_of_too_many_trials_the_newest_are_told_and_all_time_since(
    folder: Path, night: Timeline
) -> None:
    part = read(folder / "study.db", most=10)
    assert not part.complete
    ended = sorted(e.ended_at for e in night.trials if e.ended_at is not None)
    assert part.since == ended[-11]
    assert len([e for e in part.trials if (e.ended_at or 0) > part.since]) == 10
    assert sum(part.totals.values()) == pytest.approx(3 * (part.until - part.since))
    before = read(folder / "study.db", until=part.since)
    assert before.trained + part.trained == night.trained
    both = {k: before.totals.get(k, 0) + part.totals.get(k, 0) for k in Kind}
    assert {k: v for k, v in both.items() if v} == pytest.approx(dict(night.totals))


def test_hours_are_counted_from_the_end(folder: Path, night: Timeline) -> None:
    part = read(folder / "study.db", hours=0.5)
    assert part.since == pytest.approx(night.until - 1800)
    assert part.decided < night.decided


def test_edits_are_told_apart_by_what_is_recorded(tmp_path: Path) -> None:
    folder = make_confirmed(tmp_path / "confirmed", 30, seed=3)
    night = read(folder / "study.db")
    with Reader(folder / "study.db") as reader:
        skeletons = {e.id: (e.parent, e.skeleton) for e in reader.experiments()}
    for each in night.trials:
        parent, own = skeletons[each.experiment]
        if each.number > 1:
            assert each.edit is Edit.SAME
        elif parent is not None and skeletons[parent][1] == own:
            assert each.edit is Edit.CONSTANTS
        else:
            assert each.edit is Edit.CODE
    assert {each.edit for each in night.trials} == set(Edit)
    assert night.costs[0].trials == sum(each.trials for each in night.costs[1:])


def test_start_ups_of_processes_that_were_started_before_are_told_apart(
    folder: Path, night: Timeline, capsys: Output
) -> None:
    everything = night.costs[0]
    assert everything.warm is not None
    assert everything.cold is not None
    assert everything.warm.trials + everything.cold.trials == everything.trials
    assert (everything.warm.seconds.median, everything.cold.seconds.median) == (0.5, 4.0)
    assert {each.id: each.warm for each in night.trials if each.phases} == {
        each.id: each.id > 2 for each in night.trials if each.phases
    }
    call("timeline", folder, "--json")
    found = document(capsys)["costs"][0]
    assert (found["warm"]["seconds"]["median"], found["cold"]["seconds"]["median"]) == (0.5, 4.0)
    call("timeline", folder)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    told = {line[0]: line[1:3] for line in lines if line[:1] in (["cold"], ["warm"])}
    assert told == {
        "cold": [f"{everything.cold.trials}:", "4.0"],
        "warm": [f"{everything.warm.trials}:", "0.5"],
    }


# ---- the trace ------------------------------------------------------------------------------


def test_a_trace_has_the_structure_that_its_viewers_read(night: Timeline) -> None:
    found = json.loads(json.dumps(trace(night, "night"), allow_nan=False))
    assert found["displayTimeUnit"] in ("ms", "ns")
    assert found["otherData"]["began_at"] == night.since
    events = found["traceEvents"]
    assert min(each["ts"] for each in events) == 0
    assert max(e["ts"] + e.get("dur", 0) for e in events) == round(
        1e6 * (night.until - night.since)
    )
    for each in events:
        assert isinstance(each["pid"], int)
        assert isinstance(each["tid"], int)
        assert isinstance(each["name"], str)
        assert each["ph"] in ("X", "M")
        if each["ph"] == "X":
            assert isinstance(each["ts"], int)
            assert isinstance(each["dur"], int)
            assert each["dur"] >= 0
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert sorted(names.values()) == ["slot 0", "slot 1", "slot 2"]
    processes = [e["args"]["name"] for e in events if e["name"] == "process_name"]
    assert processes == ["node-1"]
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"} == set(names)


def test_the_slices_of_a_thread_nest_and_the_outer_ones_say_what_they_are(
    night: Timeline,
) -> None:
    events = [e for e in trace(night, "night")["traceEvents"] if e["ph"] == "X"]
    for thread in {each["tid"] for each in events}:
        under_way: list[int] = []  # ends
        for each in [e for e in events if e["tid"] == thread]:
            while under_way and under_way[-1] <= each["ts"]:
                under_way.pop()
            assert not under_way or each["ts"] + each["dur"] <= under_way[-1]
            under_way.append(each["ts"] + each["dur"])
    trials = {each["args"]["trial"]: each for each in events if each["cat"] == "trial"}
    assert set(trials) == {each.id for each in night.trials}
    one = next(each for each in night.trials if each.metric is not None)
    args = trials[one.id]["args"]
    assert (args["title"], args["outcome"], args["metric"]) == (one.title, "done", one.metric)
    inner = sum(each["dur"] for each in events if each["cat"] != "trial")
    assert inner == pytest.approx(1e6 * night.seconds, rel=1e-6)


# ---- pictures -------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [0, 1, 16, 100, 1000])
def test_any_number_of_slots_is_drawn(night: Timeline, tmp_path: Path, slots: int) -> None:
    line = night.lines[0]
    lines = tuple(replace(line, slot=number) for number in range(slots))
    some = replace(night, lines=lines, totals=night.totals if slots else {})
    write_timeline_plot(some, "of $many$ <slots>", tmp_path / "slots.png")
    data = (tmp_path / "slots.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(data[20:24]) < 1400  # pixels: a screen holds it


def test_the_pages_pictures_are_well_formed_and_as_long_as_the_time(night: Timeline) -> None:
    widths = [float(each) for each in re.findall(r"width:([0-9.]+)%", bar(night.totals))]
    assert sum(widths) == pytest.approx(100, abs=0.1)
    drawing = ElementTree.fromstring(gantt(night))
    paths = [path.attrib["d"] for path in drawing if path.tag == "path"]
    ends = [
        float(start) + float(wide)
        for path in paths
        for start, wide in re.findall(r"M([0-9.]+) [0-9]+h([0-9.]+)", path)
    ]
    assert max(ends) == pytest.approx(1000, abs=1)
    assert bar({}) == gantt(replace(night, lines=())) == ""


def test_words_name_the_training_first_and_join_what_is_rays() -> None:
    seconds = {Kind.IDLE: 40.0, Kind.DISPATCH: 3.0, Kind.RETURN: 2.0, Kind.TRAIN: 55.0}
    assert in_words(seconds) == "55.0 % training, 40.0 % idle, 5.0 % Ray"
    assert in_words({}) == ""


# ---- where it is shown ----------------------------------------------------------------------


def test_the_verb_prints_tables_or_writes_files(
    folder: Path, tmp_path: Path, capsys: Output
) -> None:
    assert call("timeline", folder, "--budget", "60") == 0
    text = capsys.readouterr().out
    for part in ("accounted for", "100.0 %", "constants only", "at 60 s of training", "Calculated"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80
    drawn = tmp_path / "slots.png"
    assert call("timeline", folder, "-o", tmp_path / "trace.json", "--plot", drawn) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "trace.json"), str(drawn)]
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert drawn.stat().st_size > 1000
    (tmp_path / "file").touch()
    assert call("timeline", folder, "-o", tmp_path / "file" / "trace.json") == 2


def test_the_verb_as_json_has_the_sums_and_their_exactness(folder: Path, capsys: Output) -> None:
    assert call("timeline", folder, "--json") == 0
    told = document(capsys)
    assert told["accounted"] == pytest.approx(told["seconds"], abs=told["exact_to"])
    assert [pace["edit"] for pace in told["at_budget"]] == [None, "constants only", "code"]
    assert told["at_budget"][0]["per_hour"]["median"] < 12
    assert 0.9 < told["occupancy"] < 1


def test_status_and_report_say_where_the_time_went(folder: Path, capsys: Output) -> None:
    assert call("status", folder) == 0
    assert re.search(r"slot time +\d+\.\d % training, ", capsys.readouterr().out)
    assert call("status", folder, "--json") == 0
    assert document(capsys)["slot_time"]["training"] > 0
    page = Page(files_of(StudyFolder(folder))["report.html"])
    assert "Where the time of the slots went" in page.text

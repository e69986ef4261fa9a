"""Whole studies: the real loop, results actor, database, Ray and processes.

What is scripted is the agent, at its seam, and the task: its harness speaks the real wire without
torch, and an experiment's train.py is the script of what its candidate does.
"""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray

from agent.source import read_constants
from scheduler.cluster import RayResults
from scheduler.loop import Loop
from scheduler.rules.order import check_order
from scheduler.rules.states import (
    ExperimentState,
    StopReason,
    StudyState,
    TrialKind,
    TrialState,
)
from scheduler.study.desk import Desk
from scheduler.study.letters import AnyLetter, Cancel, Pause, Stop, Submit, Unpause
from scheduler.study.recheck import recheck
from scheduler.study.records import Reply
from tests.fixtures.books import check_books
from tests.fixtures.candidates import ROOT
from tests.fixtures.lab import Gate, Lab
from tests.fixtures.processes import command, wait_for
from tests.fixtures.scripted_study import BASELINE, metric_of


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    cache = tmp_path_factory.mktemp("cache")
    ray.init(
        num_cpus=4,
        num_gpus=4,
        include_dashboard=False,
        object_store_memory=80 * 1024 * 1024,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "AUTORESEARCH_CACHE": str(cache)}},
    )
    yield
    ray.shutdown()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


# ---- ranking --------------------------------------------------------------------------------


def test_what_scores_lower_is_kept_and_the_lowest_is_the_champion(lab: Lab) -> None:
    scores = [1.9, 1.95, 1.5, 1.7]
    study = lab.run([f"honest({score})" for score in scores], exports=True)
    assert (study.state, study.reason) == (StudyState.STOPPED, StopReason.MAX_EXPERIMENTS)
    with lab.reader() as reader:
        experiments = list(reader.experiments())
        assert [e.metric for e in experiments] == [2.0, *scores]
        assert [e.id for e in reader.leaders(3)] == [3, 4, 1]
        assert [c.metric for c in reader.champions()] == sorted(
            (c.metric for c in reader.champions()), reverse=True
        )
    assert study.champion is not None
    assert study.champion.metric == 1.5
    assert (lab.folder.best / "train.py").read_text() == "honest(1.5)"
    assert (lab.folder.experiment(3).path / "train.py").read_text() == "honest(1.5)"
    assert "+honest(1.5)" in lab.folder.experiment(3).diff.read_text()
    assert lab.folder.progress.stat().st_size > 1000
    rows = lab.folder.results.read_text().splitlines()
    assert [row.split("\t")[1] for row in rows] == [
        "val_bpb",
        "2.000000",
        "1.900000",
        "1.950000",
        "1.500000",
        "1.700000",
    ]


def test_a_win_is_confirmed_with_further_seeds_before_it_is_kept(lab: Lab) -> None:
    study = lab.run(["honest(1.5)", "honest(1.9)", "honest(2.1)"], "keep.most_seeds=2")
    assert study.champion is not None
    assert study.champion.metric == 1.5
    with lab.reader() as reader:
        kept, worse = reader.experiment(1), reader.experiment(3)
        numbers = {n: [t.number for t in reader.trials(n)] for n in range(4)}
    assert kept is not None
    assert worse is not None
    assert kept.reason.startswith("kept")
    assert 2 in numbers[0], "the champion of the time was measured once more"
    assert 2 in numbers[1]
    assert numbers[3] == [1]
    assert "gate" in worse.reason
    check_books(lab.folder, lambda code: float(code[len("honest(") : -1]))


def test_overtaken_wins_are_carried_over_and_kept_edits_are_taken_out_at_the_end(lab: Lab) -> None:
    settings = ("most_seeds=2", "champion_seeds=1", "ablate=true")
    keys = [f"keep.{each}" for each in settings]
    study = lab.run([], *keys, "task.constants={}", baseline=BASELINE, tuner=30)
    with lab.reader() as reader:
        carried = [e for e in reader.experiments() if e.rebases]
        codes = {e.id: reader.files(e.id)["train.py"] for e in reader.experiments()}
        parents = {e.id: e.parent for e in reader.experiments()}
        first = {e.id: min(t.number for t in reader.trials(e.id)) for e in carried}
        found = list(recheck(reader, minimize=True))
        taken_out = [e for e in reader.experiments() if e.ablates is not None]
        kept = {each.experiment for each in reader.champions()}
    assert {each.ablates for each in taken_out} <= kept
    assert taken_out
    assert all(each.state.is_final and each.parent in kept for each in taken_out)
    assert carried, "four run at a time: some are overtaken"
    for each in carried:
        ours = read_constants(codes[each.id])
        for win in each.rebases:
            parent = parents[win]
            assert parent is not None
            before, after = read_constants(codes[parent]), read_constants(codes[win])
            assert {n: ours[n] for n in after if after[n] != before[n]} == {
                n: v for n, v in after.items() if v != before[n]
            }
        assert first[each.id] == 2, "screened on its old base"
    assert study.champion is not None
    assert [each for each in found if not each.agrees] == []
    check_books(lab.folder, metric_of)


def test_at_the_end_the_leaders_run_longer_once_and_the_audit_stands_beside_the_metric(
    lab: Lab,
) -> None:
    # The gain of 1 is gone where its budget is three times 20 s.
    scripts = ["honest(1.5 if job['seconds'] < 30 else 1.9, audit=1.75)", "honest(2.5, audit=1.0)"]
    keys = ("keep.long_budget=3", "keep.long_leaders=2")
    baseline = "honest(2.0 if job['seconds'] < 30 else 1.8, audit=2.25)"
    study = lab.run(scripts, *keys, baseline=baseline)
    assert (study.state, study.reason) == (StudyState.STOPPED, StopReason.MAX_EXPERIMENTS)
    with lab.reader() as reader:
        assert [e.metric for e in reader.experiments()] == [2.0, 1.5, 2.5]
        trials = reader.trials()
        order = check_order(reader.figures(), minimize=True)
    longer = {t.experiment: t.seed for t in trials if t.kind is TrialKind.LONG}
    assert longer == {0: 0, 1: 0}
    assert len(trials) == 5
    assert [(each.usual, each.other) for each in order.audit.leaders] == [(2.0, 2.25), (1.5, 1.75)]
    assert [each.other for each in order.long.leaders] == [1.8, 1.9]
    assert (order.audit.turned, order.long.turned) == (0, 1)
    again = lab.run(scripts, *keys, baseline=baseline)
    assert again.state is StudyState.STOPPED
    with lab.reader() as reader:
        assert len(reader.trials()) == 5, "what was measured is not measured again"
    check_books(lab.folder)


def test_four_run_at_a_time_each_on_a_gpu_of_its_own(lab: Lab) -> None:
    # The first four wait for each other: with fewer at a time none of them would end.
    room = lab.path / "room"
    room.mkdir()
    meet = (
        f"import pathlib, time\nroom = pathlib.Path({str(room)!r})\n(room / '{{n}}').touch()\n"
        "while len(list(room.iterdir())) < 4: time.sleep(0.02)\nhonest(3.{n})"
    )
    scripts = [meet.format(n=n) for n in range(8)]
    lab.run(scripts, "agent.proposals_per_call=8", Gate.VISIBLE)
    with lab.reader() as reader:
        trials = [t for t in reader.trials() if t.experiment > 0]
    outcomes = [t.outcome for t in trials if t.outcome is not None]
    assert len(outcomes) == 8
    most = 0
    for one in outcomes:
        during = [o for o in outcomes if o.started_at <= one.started_at < o.finished_at]
        devices = [o.gpu_ids for o in during]
        assert len(set(devices)) == len(devices)
        most = max(most, len(devices))
    assert most == 4
    assert {t.slot for t in trials} == {0, 1, 2, 3}


# ---- candidates that misbehave --------------------------------------------------------------

BROKEN = {
    "raises": ("raise RuntimeError('no such layer')", ExperimentState.CRASH, "exit code 1"),
    "exits": ("import sys; sys.exit(3)", ExperimentState.CRASH, "exit code 3"),
    "says nothing": ("x = 1", ExperimentState.CRASH, "ended"),
    "sleeps for ever": ("import time; time.sleep(1e6)", ExperimentState.TIMEOUT, "startup"),
    "returns nan": ("honest(float('nan'))", ExperimentState.REJECTED, "nan"),
    "takes all memory": (
        "x = []\nwhile True: x.append(bytearray(50_000_000))",
        ExperimentState.OOM,
        "memory",
    ),
}


def test_an_edit_that_fails_gets_a_clear_state_and_the_study_goes_on(lab: Lab) -> None:
    flood = "import sys\nfor _ in range(100): sys.stdout.write('x' * 2**20)\nhonest(1.8)"
    scripts = [*(script for script, _, _ in BROKEN.values()), flood, "honest(1.5)"]
    study = lab.run(scripts, "budget.startup_seconds=3")
    with lab.reader() as reader:
        for number, (name, (_, state, words)) in enumerate(BROKEN.items(), start=1):
            experiment = reader.experiment(number)
            assert experiment is not None
            assert (name, experiment.state, experiment.metric) == (name, state, None)
            assert words in experiment.reason
        assert study.champion is not None
        assert study.champion.metric == 1.5
        flooded = reader.experiment(len(BROKEN) + 1)
        assert flooded is not None
        assert flooded.metric == 1.8
    logs = lab.folder.experiment(len(BROKEN) + 1).trial_logs()
    assert logs
    assert all(log.stat().st_size < 300_000 for log in logs)


def test_many_failures_in_a_row_pause_the_study(lab: Lab) -> None:
    scripts = [f"raise RuntimeError('{n}')" for n in range(20)]
    study = lab.run(scripts, "stop.failures_in_row=3", "stop.when_paused=end")
    assert (study.state, study.reason) == (StudyState.PAUSED, StopReason.FAILURES)
    assert "experiments in a row failed" in study.text


MINE = "def train(session): ...\nhonest(0.5)"


def test_a_person_steers_a_running_study_by_letters(lab: Lab) -> None:
    """Pause, an edit of their own, cancel, unpause, stop: each has its reply."""
    desk = Desk(lab.folder)
    replies, given_up = {}, list[int]()

    def ask(letter: AnyLetter) -> Reply:
        desk.post(letter)
        wait_for(lambda: desk.reply(letter.key) is not None)
        reply = desk.reply(letter.key)
        assert reply is not None
        replies[letter.kind] = reply
        return reply

    def steer(_: RayResults, __: Loop) -> None:
        wait_for(lambda: bool(running(lab)))
        ask(Pause())
        edit = ask(Submit("mine", {"train.py": MINE}))
        lab.gate.open()
        wait_for(lambda: not running(lab))
        assert edit.number is not None
        with lab.reader() as reader:
            given_up.append(reader.queue(2)[-1].id)
        ask(Cancel(given_up[0]))
        ask(Unpause())
        wait_for(lambda: fate(lab, edit.number or 0) is ExperimentState.KEEP)
        ask(Stop())

    study = lab.run(held(lab, 12), Gate.VISIBLE, meanwhile=steer)
    assert (study.state, study.reason) == (StudyState.STOPPED, StopReason.INSTRUCTION)
    assert [r.refused for r in replies.values()] == [""] * 5
    assert study.champion is not None
    assert study.champion.metric == 0.5
    assert fate(lab, given_up[0]) is ExperimentState.CANCELLED


def fate(lab: Lab, number: int) -> ExperimentState | None:
    with lab.reader() as reader:
        experiment = reader.experiment(number)
    return None if experiment is None else experiment.state


def test_an_agent_without_ideas_ends_the_study(lab: Lab) -> None:
    study = lab.run(["honest(1.9)"], "stop.max_experiments=5")
    assert (study.state, study.reason) == (StudyState.STOPPED, StopReason.NO_PROPOSALS)


def test_a_baseline_that_fails_pauses_the_study_and_says_why(lab: Lab) -> None:
    study = lab.run([], baseline="raise RuntimeError('no data')")
    assert (study.state, study.reason) == (StudyState.PAUSED, StopReason.BASELINE_FAILED)
    assert "the baseline failed (crash)" in study.text
    # Mended, it goes on under new numbers.
    study = lab.run(["honest(1.0)"])
    assert study.champion is not None
    assert study.champion.metric == 1.0
    with lab.reader() as reader:
        states = {e.id: e.state for e in reader.experiments()}
    assert states[0] is ExperimentState.CRASH
    assert states[1] is ExperimentState.KEEP
    assert sorted(states) == [0, 1, 2]


# ---- interruptions --------------------------------------------------------------------------


def running(lab: Lab) -> list[int]:
    with lab.reader() as reader:
        return [t.id for t in reader.running_trials() if t.experiment > 0]


def named(name: str) -> list[psutil.Process]:
    """Our Ray's workers of that name: another Ray of this machine may have some too."""
    ours = psutil.Process().children(recursive=True)
    return [process for process in ours if command(process).startswith(name)]


def held(lab: Lab, count: int) -> list[str]:
    """Candidates that run until the lab's gate opens; the first of them scores lowest."""
    return [lab.gate.script(1 + n / 10) for n in range(1, count + 1)]


def test_a_drained_study_ends_its_trials_and_resumes_with_the_rest(lab: Lab) -> None:
    def drain(_: RayResults, loop: Loop) -> None:
        wait_for(lambda: len(running(lab)) == 4)
        loop.drain()
        lab.gate.open()

    more = ("agent.proposals_per_call=7", Gate.VISIBLE)
    study = lab.run(held(lab, 7), *more, meanwhile=drain)
    assert (study.state, study.reason) == (StudyState.STOPPED, StopReason.SIGNAL)
    with lab.reader() as reader:
        assert all(t.state is not TrialState.RUNNING for t in reader.trials())
        queued = [e.id for e in reader.undecided()]
    assert queued
    study = lab.run([], f"stop.max_experiments={queued[-1]}", Gate.VISIBLE)
    assert study.reason is StopReason.MAX_EXPERIMENTS
    with lab.reader() as reader:
        experiments = list(reader.experiments())
        assert [e.id for e in experiments] == list(range(queued[-1] + 1))
        assert all(e.state.is_final for e in experiments)
        done = [t.experiment for t in reader.trials() if t.state is TrialState.DONE]
    assert sorted(done) == [e.id for e in experiments]


def test_a_cancelled_study_runs_what_it_cut_short_again(lab: Lab) -> None:
    def cancel(_: RayResults, loop: Loop) -> None:
        wait_for(lambda: len(running(lab)) == 2)
        loop.cancel()

    lab.run(held(lab, 2), Gate.VISIBLE, meanwhile=cancel)
    with lab.reader() as reader:
        cut = [e.state for e in reader.undecided() if e.id > 0]
    assert cut == [ExperimentState.QUEUED] * 2
    lab.gate.open()
    study = lab.run([], "stop.max_experiments=2", Gate.VISIBLE)
    assert study.champion is not None
    assert study.champion.metric == 1.1
    with lab.reader() as reader:
        states = [t.state for t in reader.trials(1)]
    assert states == [TrialState.CANCELLED, TrialState.DONE]


def test_a_killed_worker_loses_its_trial_which_runs_again(lab: Lab) -> None:
    def kill(_: RayResults, __: Loop) -> None:
        wait_for(lambda: len(running(lab)) == 1)
        name = f"ray::trial-{running(lab)[0]}"
        wait_for(lambda: named(name))
        named(name)[0].kill()
        lab.gate.open()

    lab.run(held(lab, 1), Gate.VISIBLE, meanwhile=kill)
    with lab.reader() as reader:
        assert [t.state for t in reader.trials(1)] == [TrialState.LOST, TrialState.DONE]
        experiment = reader.experiment(1)
    assert experiment is not None
    assert experiment.state is ExperimentState.KEEP


def test_a_killed_results_actor_comes_back_and_the_study_goes_on(lab: Lab) -> None:
    def kill(results: RayResults, __: Loop) -> None:
        wait_for(lambda: len(running(lab)) == 3)
        ray.kill(results.actor, no_restart=False)
        lab.gate.open()

    study = lab.run(held(lab, 3), Gate.VISIBLE, meanwhile=kill)
    assert study.champion is not None
    assert study.champion.metric == 1.1
    with lab.reader() as reader:
        assert [t.state for t in reader.trials()] == [TrialState.DONE] * 4

"""What a study remembers, through the results actor itself: arms, lessons, notebook, instructions.

A driver in a few lines stands in for the loop, and luck for agents and workers.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent import Answer, ArmRecord, Briefing, Cost, Proposal, Purpose, SpentError
from agent.ledger import Intent, Message, Settlement
from agent.lessons import number
from scheduler.correspondence import Posted
from scheduler.memory import RULES
from scheduler.results import Answered, Ended, Item, Plan, Results
from scheduler.rules import events as ev
from scheduler.rules.states import ExperimentState, InstructionState
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.letters import Instruct, Withdraw
from scheduler.study.mailbox import Mailbox
from scheduler.study.reader import Reader
from tests.synthetic import CONSTANTS, START, baseline, code
from workers import Outcome, OutcomeStatus, Resources, Timings

MODELS = ("a/model", "b/model")


class Study:
    """A study that is driven by hand; its driver can be started again at any time."""

    def __init__(self, folder: Path, seed: int = 0, **agent: object) -> None:
        self.folder = StudyFolder(folder)
        agent = {"models": MODELS, "notebook_every": 5, **agent}
        stop = {"max_experiments": 60, "failures_in_row": 1000}
        self.config = Config.model_validate({"agent": agent, "stop": stop})
        self.folder.create(self.config, "# Look here\n")
        self.luck = random.Random(seed)
        self.now = START
        self.told: list[Briefing] = []
        self.notebook_by: Callable[[Briefing], str] = lambda _: ""
        self.due: list[ev.Action] = []
        self.open()

    def open(self) -> None:
        """A process takes the study up; what the last one had under way is gone."""
        plan = Plan(baseline(), "task", "data", Resources())
        self.results = Results(self.folder.path, self.config, plan)
        self.results._store._db.execute("PRAGMA synchronous = OFF")
        self.results.begin_session(1, "here")
        self.number = 0
        self.due.clear()
        self.send(ev.Opened(self.now))
        self.send(ev.SlotsCounted(self.now, 2))

    def close(self) -> None:
        self.results.close()

    def send(self, item: Item) -> None:
        self.number += 1
        self.now += 1.0
        self.due += self.results.handle(self.number, item)

    def happen(self) -> bool:
        """Carry one of the open actions out, in any order."""
        if not self.due:
            return False
        action = self.due.pop(self.luck.randrange(len(self.due)))
        match action:
            case ev.StartTrial(trial):
                self.send(Ended(self.now, self.outcome(trial)))
            case ev.RequestProposals():
                self.answer(action)
        return True

    def run(self, until: int = 60) -> None:
        """Until so many experiments are decided."""
        while self.results._state.tally.decided <= until and self.happen():
            pass

    def outcome(self, trial: int) -> Outcome:
        status = self.luck.choices(list(OutcomeStatus)[:2], [9, 1])[0]
        done = status is OutcomeStatus.DONE
        return Outcome(
            trial,
            status,
            "" if done else "NameError: x",
            self.luck.gauss(1.0, 0.01) if done else None,
            Timings(1.0, 1.0, 5.0, 1.0, 1.0),
            started_at=self.now,
            finished_at=self.now + 9,
            log="done\n",
        )

    def answer(self, request: ev.RequestProposals) -> None:
        if request.purpose is Purpose.IMPROVE and self.luck.random() < 0.1:
            self.send(ev.AnswerFailed(self.now, request.request, "the actor died"))
            return
        briefing = self.results.briefing(request)
        self.told.append(briefing)
        arm = self.luck.choice(MODELS)
        if request.purpose is Purpose.FILL or self.luck.random() < 0.2:
            arm = "tuner"
        call = None if arm == "tuner" else self.call(request.request, arm)
        served = briefing.instructions[0].id if briefing.instructions and call else None
        made = [self.proposal(briefing, arm, call, served) for _ in range(request.count)]
        refused = self.luck.randint(0, 2)
        answer = Answer(
            request.request,
            tuple(made),
            Cost(1.0, 10, 10, None),
            refused=("one: it does not parse",) * refused,
            arm=arm,
            notebook=self.notebook_by(briefing) if call and briefing.condense else "",
            refused_by={arm: refused},
        )
        self.send(Answered(self.now, answer, 5.0))

    def call(self, request: int, model: str) -> int:
        """A call that fails, and one that does not."""
        for error in ("it broke", ""):
            intent = Intent(request, model, "improve", (Message("user", "?"),), 100, 50, 0.01)
            number = self.results.reserve(intent)
            price = None if model == "b/model" else 0.004
            self.results.settle(number, Settlement("text", error, 80, 20, price, 1.0))
        return number

    def proposal(
        self, briefing: Briefing, arm: str, call: int | None, served: int | None
    ) -> Proposal:
        constants = {**CONSTANTS, "SEED": self.luck.getrandbits(40)}
        return Proposal(
            f"SEED to {constants['SEED']}",
            "luck",
            briefing.champion.experiment,
            {"train.py": code(constants)},
            arm,
            fingerprint=f"{self.luck.getrandbits(64):x}",
            skeleton="gpt",
            constants=constants,
            instruction=served,
            mends=briefing.broken.code.experiment if briefing.broken else None,
            call=call,
        )


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Study]:
    made = Study(tmp_path / "s")
    yield made
    made.close()


def arms(study: Study) -> dict[str, ArmRecord]:
    with Reader(study.folder.database) as reader:
        return {each.name: each for each in reader.arms()}


# ---- arms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_records_of_arms_are_what_the_tables_say(tmp_path: Path, seed: int) -> None:
    study = Study(tmp_path / "s", seed)
    study.run()
    study.close()
    with Reader(study.folder.database) as reader:
        experiments = [e for e in reader.experiments() if e.parent is not None]
        champions = {c.experiment: c.metric for c in reader.champions()}
        line = list(champions)
        calls = [reader.call(n) for n in range(1, reader.study().calls + 1)]
    gains = {e: champions[line[n - 1]] - champions[e] for n, e in enumerate(line) if n}
    for name, record in arms(study).items():
        own = [e for e in experiments if e.origin == name]
        states = Counter(e.state for e in own)
        asked = [c for c in calls if c is not None and c.model == name]
        assert record.experiments == len(own) > 0
        assert record.decided == sum(n for state, n in states.items() if state.is_final)
        assert record.kept == states[ExperimentState.KEEP]
        assert record.failed == sum(n for state, n in states.items() if state.is_failure)
        best = max((gains[e.id] for e in own if e.id in gains), default=0.0)
        assert record.best_gain == pytest.approx(best)
        assert (record.calls, record.failed_calls) == (len(asked), len(asked) // 2)
        assert record.tokens == sum(c.input_tokens + c.output_tokens for c in asked)
        known = sum(c.dollars or 0.0 for c in asked)
        assert record.dollars == (None if name == "b/model" else pytest.approx(known))
        assert record.proposals == record.experiments + record.refused
    assert arms(study).keys() == {*MODELS, "tuner"}


def test_a_restart_at_any_moment_changes_no_record(study: Study) -> None:
    for until in range(1, 40, 3):
        study.run(until)
        before = dict(study.results._memory.arms)
        study.close()
        study.open()
        assert study.results._memory.arms == before == arms(study)


# ---- notebook -----------------------------------------------------------------------------------


def test_without_models_the_rules_write_the_notebook(tmp_path: Path) -> None:
    study = Study(tmp_path / "s", models=())
    study.run(until=11)
    with Reader(study.folder.database) as reader:
        found = reader.notebook()
        rest = reader.lessons(after=found.upto if found else 0, limit=100)
        decided = study.results._state.tally.decided
    study.close()
    assert found is not None
    assert (found.author, found.upto) == (RULES, decided - decided % 5)
    assert len(rest) == decided % 5
    assert "SEED" in found.text


def test_a_model_is_asked_by_one_request_at_a_time_and_covers_what_it_was_told(
    study: Study,
) -> None:
    study.notebook_by = lambda briefing: f"# What request {briefing.request} was told"
    study.run(until=40)
    with Reader(study.folder.database) as reader:
        rows = reader.db.execute("SELECT * FROM notebook ORDER BY id").fetchall()
    by_models = [row for row in rows if row["author"] in MODELS]
    assert len(by_models) >= 3
    asked = {b.request: b for b in study.told if b.condense}
    for row in by_models:
        briefing = asked[int(row["text"].split()[3])]
        known = max(int(lesson.split()[0].lstrip("#")) for lesson in briefing.lessons)
        with Reader(study.folder.database) as reader:
            covered = reader.db.execute(
                "SELECT id FROM experiment WHERE decision = ?", (row["upto"],)
            ).fetchone()["id"]
        assert covered == int(briefing.lessons[-1].split()[0].lstrip("#")) <= known


def test_a_request_that_failed_does_not_keep_others_from_writing_the_notebook(
    study: Study,
) -> None:
    study.run(until=6)
    first, second = ev.RequestProposals(901, 1), ev.RequestProposals(902, 1)
    for request in list(study.results._state.asked):  # whoever was to write it
        study.send(ev.AnswerFailed(study.now, request, "the actor died"))
    assert study.results.briefing(first).condense
    assert not study.results.briefing(second).condense
    study.send(ev.AnswerFailed(study.now, first.request, "the actor died"))
    assert study.results.briefing(second).condense


def test_where_no_model_writes_it_the_rules_do_after_twice_as_long(study: Study) -> None:
    study.run(until=30)
    with Reader(study.folder.database) as reader:
        found = reader.notebook()
    assert found is not None
    assert found.author == RULES
    assert found.upto > study.results._state.tally.decided - 11


# ---- instructions -------------------------------------------------------------------------------


def post(study: Study, *letters: Instruct | Withdraw) -> None:
    box = Mailbox(study.folder.inbox)
    for letter in letters:
        box.post(letter)
    for posted in study.results.mail():
        study.send(posted)


def listed(study: Study) -> list[tuple[str, InstructionState]]:
    with Reader(study.folder.database) as reader:
        return [(each.text, each.state) for each in reader.instructions()]


def test_letters_that_come_together_are_taken_up_in_their_order_and_once(study: Study) -> None:
    first, second = Instruct("first"), Instruct("second", priority=5)
    post(study, second, first)
    assert [text for text, _ in listed(study)] == ["first", "second"]
    assert list(study.folder.inbox.iterdir()) == []
    study.send(Posted(study.now, first))  # as when the results actor was started again
    assert len(listed(study)) == 2
    briefing = study.results.briefing(ev.RequestProposals(900, 1))
    assert [each.text for each in briefing.instructions] == ["second", "first"]


def test_an_instruction_is_queued_then_in_use_then_served_and_survives_a_restart(
    study: Study,
) -> None:
    study.run(until=2)
    post(study, Instruct("look at the embeddings"))
    assert listed(study) == [("look at the embeddings", InstructionState.QUEUED)]
    study.close()
    study.open()
    seen = set()
    while listed(study)[0][1] is not InstructionState.SERVED and study.happen():
        seen.add(listed(study)[0][1])
    assert InstructionState.IN_USE in seen
    with Reader(study.folder.database) as reader:
        (told,) = reader.instructions()
        serves = [reader.experiment(number) for number in told.experiments]
    assert any(e and e.state in (ExperimentState.KEEP, ExperimentState.DISCARD) for e in serves)


def test_a_withdrawn_one_is_in_no_briefing_and_stays_withdrawn(study: Study) -> None:
    post(study, Instruct("or not"))
    post(study, Withdraw(1), Withdraw(1), Withdraw(77))
    assert listed(study) == [("or not", InstructionState.WITHDRAWN)]
    assert study.results.briefing(ev.RequestProposals(900, 1)).instructions == ()
    study.run(until=5)
    assert listed(study) == [("or not", InstructionState.WITHDRAWN)]


# ---- what keeps an arm from work ----------------------------------------------------------------


def troubles(study: Study) -> dict[str, str]:
    with Reader(study.folder.database) as reader:
        return dict(reader.study().troubles)


def test_a_trouble_stays_until_its_arm_answers_whoever_answers_meanwhile(study: Study) -> None:
    def answer(**fields: object) -> None:
        request = next(iter(study.results._state.asked))
        made = replace(Answer(request, ()), **fields)  # type: ignore[arg-type]
        study.send(Answered(study.now, made, 1.0))
        study.now += 100.0
        study.send(ev.Ticked(study.now))

    answer(troubles={"a/model": "no answer"}, arm="tuner", refused_by={"tuner": 1})
    answer(arm="tuner", refused_by={"tuner": 1})
    assert troubles(study) == {"a/model": "no answer"}
    answer(arm="a/model", refused_by={"a/model": 1}, troubles={"b/model": "wrong key"})
    assert troubles(study) == {"b/model": "wrong key"}
    study.close()
    study.open()
    assert troubles(study) == {}, "the models may be others now"


def test_a_limit_reached_is_the_error_that_the_agent_knows(tmp_path: Path) -> None:
    study = Study(tmp_path / "s", max_calls=1)
    intent = Intent(1, "a/model", "improve", (), 1, 1, None)
    study.results.reserve(intent)
    with pytest.raises(SpentError, match="calls"):
        study.results.reserve(intent)
    study.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_lesson_has_the_figures_that_stand_when_it_is_decided(tmp_path: Path, seed: int) -> None:
    """The baseline's mean moves with each of its further seeds, also in the deciding event."""
    study = Study(tmp_path / "s", seed)
    figures: dict[int, str] = {}
    while study.results._state.tally.decided < 20 and study.happen():
        with Reader(study.folder.database) as reader:
            for one in reader.recent(50):
                if one.id in figures or one.parent is None or one.metric is None:
                    continue
                parent = reader.experiment(one.parent)
                assert parent is not None
                assert parent.metric is not None
                figures[one.id] = f"({number(parent.metric)} -> {number(one.metric)}: "
                if one.metric != parent.metric:
                    assert figures[one.id] in one.lesson
    study.close()
    assert len(figures) > 5

"""The Researcher: from a briefing on the bundled task to checked proposals, also as an actor."""

import asyncio
import difflib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from agent import (
    AgentError,
    Answer,
    Briefing,
    Broken,
    Code,
    ModelError,
    PastExperiment,
    Proposal,
    Purpose,
    SpentError,
)
from agent.arm import Brought
from agent.check import Checker, Refusal
from agent.llm.keys import Keys
from agent.proposer import Researcher, Shares
from agent.settings import AgentSettings
from agent.source import identify
from scheduler.researcher import AgentActor

ROOT = Path(__file__).parents[2]
TRAIN = (ROOT / "train_template" / "train.py").read_text()
FILES = {"train.py": TRAIN}


def briefing(count: int = 4, past: tuple[PastExperiment, ...] = ()) -> Briefing:
    return Briefing(7, count, 5, "", "val_bpb", True, "1 s", Code(1, FILES, 2.0), recent=past)


def proposal(files: Mapping[str, str], title: str = "An idea", parent: int = 1) -> Proposal:
    return Proposal(title, "It may help.", parent, files, "person")


class Scripted:
    """An arm that brings what it was given, or fails as it was told."""

    def __init__(
        self,
        *proposals: Proposal,
        name: str = "scripted",
        error: AgentError | None = None,
        down: str = "",
    ) -> None:
        self.name = name
        self.down = down
        self.proposals = proposals
        self.error = error
        self.asked = 0

    def trouble(self) -> str:
        return self.down

    async def propose(self, briefing: Briefing, checker: Checker) -> Brought:
        self.asked += 1
        if self.error:
            raise self.error
        taken = [checker.take(each) for each in self.proposals]
        return Brought(
            tuple(each for each in taken if isinstance(each, Proposal))[: briefing.count],
            tuple(str(each) for each in taken if isinstance(each, Refusal)),
        )


class Silent(Scripted):
    """A tuner without ideas."""

    def __init__(self) -> None:
        super().__init__(name="tuner")


def ask(briefing: Briefing, *models: Scripted, tuner: Scripted | None = None) -> Answer:
    return asyncio.run(Researcher(models, tuner or Silent()).propose(briefing))


def edited(old: str, new: str) -> dict[str, str]:
    """The bundled train.py with one edit."""
    assert old in TRAIN
    return {"train.py": TRAIN.replace(old, new)}


def test_proposals_for_the_bundled_task_move_constants_on_lines_of_their_own() -> None:
    answer = asyncio.run(Researcher().propose(briefing()))
    assert answer.request == 7
    assert len(answer.proposals) == 4
    for made in answer.proposals:
        diff = list(difflib.ndiff(TRAIN.splitlines(), made.files["train.py"].splitlines()))
        assert sum(line.startswith("+ ") for line in diff) == len(made.title.split(", "))


def test_an_accepted_proposal_is_complete_and_the_time_it_took_is_counted() -> None:
    files = edited("DEPTH = 8", "DEPTH = 9  # one more")
    answer = ask(briefing(), Scripted(proposal(files, "One\n block more")))
    (made,) = answer.proposals
    identity = identify(files)
    assert (made.fingerprint, made.skeleton) == (identity.fingerprint, identity.skeleton)
    assert made.constants == identity.constants
    assert made.title == "One block more"
    assert answer.cost.seconds > 0


PAST = PastExperiment(
    4,
    1,
    "",
    "",
    "tuner",
    "discard",
    fingerprint=identify(edited("DEPTH = 8", "DEPTH = 6")).fingerprint,
)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (proposal({"score.py": "x = 1"}), "An idea: score.py can't be edited; only train.py can"),
        (proposal(edited("DEPTH = 8", "DEPTH = (")), "An idea: it does not parse: train.py: line"),
        (proposal(edited("DEPTH = 8", "DEPTH = 8  # !")), "is the same code as its parent"),
        (proposal({}), "is the same code as its parent"),
        (proposal(edited("DEPTH = 8", "DEPTH  =  6")), "the same code as experiment 4 (discard)"),
        (proposal(edited("DEPTH = 8", "DEPTH = 9"), parent=3), "its parent, 3, is not in the"),
        (proposal(edited("DEPTH = 8", "DEPTH = 9"), title=" "), "untitled: it has no title"),
    ],
    ids=["foreign file", "syntax", "comment", "nothing", "duplicate", "parent", "title"],
)
def test_what_is_worth_no_trial_is_refused_with_the_reason(refused: Proposal, reason: str) -> None:
    answer = ask(briefing(past=(PAST,)), Scripted(refused))
    assert answer.proposals == ()
    assert len(answer.refused) == 1
    assert reason in answer.refused[0]


def test_twins_within_one_answer_are_handed_over_once() -> None:
    twins = [proposal(edited("DEPTH = 8", f"DEPTH = 9  # {n}"), title=f"Idea {n}") for n in (1, 2)]
    answer = ask(briefing(), Scripted(*twins))
    assert [made.title for made in answer.proposals] == ["Idea 1"]
    assert '"Idea 1", proposed just before' in answer.refused[0]


def good(depth: int) -> Proposal:
    return proposal(edited("DEPTH = 8", f"DEPTH = {depth}"))


@pytest.mark.parametrize(
    "failing",
    [
        Scripted(name="down", error=ModelError("no answer")),
        Scripted(proposal({}), name="down"),
    ],
    ids=["can't be asked", "brings nothing of use"],
)
def test_where_one_arm_fails_the_others_stand_in(failing: Scripted) -> None:
    answers = [
        ask(replace(briefing(), seed=seed), failing, Scripted(good(9), name="up"))
        for seed in range(20)
    ]
    assert all(answer.proposals for answer in answers)
    assert {answer.arm for answer in answers} == {"up"}
    assert failing.asked > 0


def test_while_all_models_are_down_the_tuner_works_and_the_answer_says_why() -> None:
    down = [Scripted(name=name, error=ModelError(f"{name}: 503")) for name in ("a", "b")]
    answer = ask(briefing(), *down, tuner=Scripted(good(9), name="tuner"))
    assert (answer.arm, len(answer.proposals)) == ("tuner", 1)
    told = [
        ask(replace(briefing(), seed=seed), *down, tuner=Silent()).troubles for seed in range(5)
    ]
    assert {"a": "503", "b": "503"} in told


def test_the_share_of_a_model_that_is_down_goes_to_all_others_and_every_answer_says_why() -> None:
    down = Scripted(good(10), name="down", down="left alone for 30 s")
    up, tuner = Scripted(good(11), name="up"), Scripted(good(9), name="tuner")
    answers = [ask(replace(briefing(), seed=n), down, up, tuner=tuner) for n in range(40)]
    assert {answer.arm for answer in answers} == {"up", "tuner"}
    assert all(answer.troubles == {"down": "left alone for 30 s"} for answer in answers)
    assert down.asked == 0


def test_once_a_limit_is_spent_no_other_model_is_asked() -> None:
    spent = [Scripted(name=name, error=SpentError("dollars", "no room")) for name in ("a", "b")]
    for seed in range(10):
        before = [each.asked for each in spent]
        answer = ask(replace(briefing(), seed=seed), *spent, tuner=Scripted(good(9), name="tuner"))
        assert answer.proposals
        assert sum(each.asked for each in spent) - sum(before) <= 1
        assert answer.spent in ("dollars", "")
    assert sum(each.asked for each in spent) > 0


def test_where_the_study_is_to_stop_then_the_tuner_does_not_go_on() -> None:
    spent = Scripted(name="a", error=SpentError("calls", "no room"))
    tuner = Scripted(good(9), name="tuner")
    researcher = Researcher([spent], tuner, shares=Shares(floor=0.0), stop_when_spent=True)
    answers = [
        asyncio.run(researcher.propose(replace(briefing(), seed=seed))) for seed in range(10)
    ]
    assert any(answer.spent for answer in answers)
    assert all(not answer.proposals for answer in answers if answer.spent)


def test_an_idle_slot_is_filled_by_the_tuner_whatever_the_models_could_do() -> None:
    model = Scripted(good(10), name="a")
    tuner = Scripted(good(9), name="tuner")
    answer = ask(replace(briefing(), purpose=Purpose.FILL), model, tuner=tuner)
    assert (answer.arm, model.asked) == ("tuner", 0)


def test_a_crash_goes_back_to_the_model_that_wrote_it() -> None:
    broken = Broken(
        Code(4, edited("DEPTH = 8", "DEPTH = 10")), "Deeper", "", "NameError", "", origin="b"
    )
    asked = replace(briefing(), purpose=Purpose.MEND, broken=broken)
    models = [Scripted(good(9), name=name) for name in ("a", "b")]
    assert ask(asked, *models).arm == "b"


def test_what_mends_stands_upon_the_broken_code() -> None:
    broken = Broken(Code(4, edited("DEPTH = 8", "DEPTH = 10")), "Deeper", "", "", "", origin="a")
    asked = replace(briefing(), purpose=Purpose.MEND, broken=broken)
    again = replace(proposal(broken.code.files), mends=4)
    assert "code of experiment 4" in ask(asked, Scripted(again, name="a")).refused[0]


def test_the_tuner_mends_nothing_also_where_the_models_are_gone_since() -> None:
    broken = Broken(Code(4, edited("DEPTH = 8", "DEPTH = 10")), "Deeper", "", "", "", origin="a")
    asked = replace(briefing(), purpose=Purpose.MEND, broken=broken)
    tuner = Scripted(proposal(edited("DEPTH = 8", "DEPTH = 6")), name="tuner")
    assert ask(asked, tuner=tuner).proposals == ()
    assert tuner.asked == 0


@pytest.fixture
def cluster() -> Iterator[None]:
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        object_store_memory=80 * 1024 * 1024,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    yield
    ray.shutdown()


def test_an_actor_that_was_killed_answers_the_same_briefing_the_same(cluster: None) -> None:
    remote: Any = ray.remote(AgentActor)
    actor = remote.options(num_cpus=0, max_restarts=-1, max_task_retries=2).remote(
        "nobody", AgentSettings(), Keys()
    )
    before: Answer = ray.get(actor.propose.remote(briefing()))
    ray.kill(actor, no_restart=False)
    after: Answer = ray.get(actor.propose.remote(briefing()))
    assert len(after.proposals) == 4
    assert replace(after, cost=before.cost) == before


def test_an_edit_without_what_the_task_calls_is_refused() -> None:
    asked = replace(briefing(), contract={"train.py": ("train",)})
    without = proposal(edited("def train(session: Session)", "def learn(session: Session)"))
    answer = ask(asked, Scripted(without))
    assert answer.proposals == ()
    assert answer.refused == ("An idea: train.py defines no function train any more",)


def test_importing_the_agent_loads_no_heavy_package() -> None:
    heavy = "optuna", "torch", "ray", "litellm", "numpy"
    code = f"import agent, sys; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"

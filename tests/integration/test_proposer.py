"""The Researcher: from a briefing on the bundled task to checked proposals, also as an actor."""

import difflib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from agent import Answer, Briefing, Code, PastExperiment, Proposal, Researcher
from agent.source import identify

ROOT = Path(__file__).parents[2]
TRAIN = (ROOT / "train_template" / "train.py").read_text()
FILES = {"train.py": TRAIN}


def briefing(count: int = 4, past: tuple[PastExperiment, ...] = ()) -> Briefing:
    return Briefing(7, count, 5, "", "val_bpb", True, "1 s", Code(1, FILES, 2.0), recent=past)


def proposal(files: Mapping[str, str], title: str = "An idea", parent: int = 1) -> Proposal:
    return Proposal(title, "It may help.", parent, files, "person")


class Scripted:
    """An arm that brings what it was given."""

    def __init__(self, *proposals: Proposal) -> None:
        self.proposals = proposals

    def propose(self, briefing: Briefing) -> tuple[Proposal, ...]:
        return self.proposals


def edited(old: str, new: str) -> dict[str, str]:
    """The bundled train.py with one edit."""
    assert old in TRAIN
    return {"train.py": TRAIN.replace(old, new)}


def test_proposals_for_the_bundled_task_move_constants_on_lines_of_their_own() -> None:
    answer = Researcher().propose(briefing())
    assert answer.request == 7
    assert len(answer.proposals) == 4
    for made in answer.proposals:
        diff = list(difflib.ndiff(TRAIN.splitlines(), made.files["train.py"].splitlines()))
        assert sum(line.startswith("+ ") for line in diff) == len(made.title.split(", "))


def test_an_accepted_proposal_is_complete_and_the_time_it_took_is_counted() -> None:
    files = edited("DEPTH = 8", "DEPTH = 9  # one more")
    answer = Researcher(Scripted(proposal(files, "One\n block more"))).propose(briefing())
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
    answer = Researcher(Scripted(refused)).propose(briefing(past=(PAST,)))
    assert answer.proposals == ()
    assert len(answer.refused) == 1
    assert reason in answer.refused[0]


def test_twins_within_one_answer_are_handed_over_once() -> None:
    twins = [proposal(edited("DEPTH = 8", f"DEPTH = 9  # {n}"), title=f"Idea {n}") for n in (1, 2)]
    answer = Researcher(Scripted(*twins)).propose(briefing())
    assert [made.title for made in answer.proposals] == ["Idea 1"]
    assert '"Idea 1", proposed just before' in answer.refused[0]


def test_what_the_first_arm_leaves_open_the_next_one_fills() -> None:
    first = Scripted(proposal({}), proposal(edited("DEPTH = 8", "DEPTH = 9"), title="First"))
    second = Scripted(*(proposal(edited("DEPTH = 8", f"DEPTH = {n}")) for n in range(10, 20)))
    answer = Researcher(first, second).propose(briefing(count=3))
    depths = [made.constants["DEPTH"] for made in answer.proposals]
    assert depths == [9, 10, 11]


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
    remote: Any = ray.remote(Researcher)
    actor = remote.options(num_cpus=0, max_restarts=-1, max_task_retries=2).remote()
    before: Answer = ray.get(actor.propose.remote(briefing()))
    ray.kill(actor, no_restart=False)
    after: Answer = ray.get(actor.propose.remote(briefing()))
    assert len(after.proposals) == 4
    assert replace(after, cost=before.cost) == before


def test_an_edit_without_what_the_task_calls_is_refused() -> None:
    asked = replace(briefing(), contract={"train.py": ("train",)})
    without = proposal(edited("def train(session: Session)", "def learn(session: Session)"))
    answer = Researcher(Scripted(without)).propose(asked)
    assert answer.proposals == ()
    assert answer.refused == ("An idea: train.py defines no function train any more",)


def test_importing_the_agent_loads_no_heavy_package() -> None:
    heavy = "optuna", "torch", "ray", "litellm", "numpy"
    code = f"import agent, sys; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"

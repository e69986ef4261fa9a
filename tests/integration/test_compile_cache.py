"""What a trial compiled reaches those that are given it, and nobody through them.

It holds nothing that was learned from the training data; what a start-up learned of other things,
it may, and so it goes one step and no further.
"""

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.session import gather_materials
from scheduler.study.config_file import load_config
from tests.fixtures.candidates import data_folder, exam, scripted_trial, task_folder
from tests.fixtures.processes import wait_for
from workers import Outcome, OutcomeStatus, Trial
from workers.bundle import unpack
from workers.compiled import CompileStore, name_of
from workers.lasting import Lasting
from workers.sandbox import Level, probe_level
from workers.supervisor import run_trial

STRICT, WHY = probe_level()
needs_bubblewrap = pytest.mark.skipif(STRICT is not Level.STRICT, reason=WHY)

Run = Callable[..., Outcome]
SHOWS = (
    "import os\n"
    "before = job.get('compiled_before')\n"
    "print(None if before is None else os.pread(before, 100, 0))\n"
)
MAKES = SHOWS + "os.write(job['compiled'], b'made')\n"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a script; its cache, if it was kept, lies in `tmp_path / "compiled"`."""
    task, data = task_folder(tmp_path), data_folder(tmp_path)
    store = CompileStore(tmp_path)

    def run_one(script: str, by: str = "", sandbox: str = "strict") -> Outcome:
        trial = replace(
            scripted_trial(script, sandbox=sandbox),
            compile_cache=True,
            compiled_by=name_of("", {"train.py": by}) if by else "",
        )
        return run_trial(
            trial,
            task=task,
            data=data,
            exam=exam,
            report=lambda _: None,
            lasting=Lasting(compiled=store),
        )

    return run_one


def settle() -> None:
    """Until nothing is being put into a store any more."""
    for thread in threading.enumerate():
        if thread.name == "compiled":
            thread.join()


def pending(tmp_path: Path) -> list[bytes]:
    folder = tmp_path / "compiled"
    return [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []


@needs_bubblewrap
def test_only_a_trial_that_is_given_kept_code_begins_with_its_cache(
    run: Run, tmp_path: Path
) -> None:
    champion = MAKES + "honest()"
    run(champion)
    wait_for(lambda: pending(tmp_path) == [b"made"])
    assert run(SHOWS + "honest(1.0)").log == "None\n"  # nothing is kept yet, for nobody
    assert run(SHOWS + "honest(1.1)", by=champion).log == "b'made'\n"
    assert run(SHOWS + "honest(1.2)", by="other code").log == "None\n"


@needs_bubblewrap
def test_what_a_trial_got_in_a_cache_it_can_not_hand_on(run: Run) -> None:
    """Else each champion's start-up goes on from where that of the one before it ended."""
    first, second = MAKES + "honest()", MAKES + "honest(1.0)"
    run(first)
    settle()
    assert run(second, by=first).log == "b'made'\n"
    settle()
    assert run(SHOWS + "honest(1.1)", by=second).log == "None\n"
    run(second)  # a repeat, which begins with none: its own is kept
    settle()
    assert run(SHOWS + "honest(1.1)", by=second).log == "b'made'\n"


@needs_bubblewrap
def test_nothing_can_be_added_once_the_training_data_came(run: Run, tmp_path: Path) -> None:
    script = (
        MAKES + "go()\n"
        "attempt(lambda: os.write(job['compiled'], b'weights'))\n"
        "attempt(lambda: os.ftruncate(job['compiled'], 0))\n"
        "again = f'/proc/self/fd/' + str(job['compiled'])\n"
        "attempt(lambda: os.write(os.open(again, os.O_WRONLY), b'x'))\n"
        "say('TRAINED', step=1)\nanswer()"
    )
    outcome = run(script)
    assert outcome.status is OutcomeStatus.DONE
    assert outcome.log.splitlines() == ["None", *["PermissionError"] * 3]
    wait_for(lambda: pending(tmp_path) == [b"made"])


@needs_bubblewrap
def test_a_cache_that_is_kept_open_for_writing_is_given_up(run: Run, tmp_path: Path) -> None:
    script = (
        MAKES + "import mmap\nview = mmap.mmap(job['compiled'], 4)\ngo()\nview[:] = b'evil'\n"
        "say('TRAINED', step=1)\nanswer()"
    )
    assert run(script).status is OutcomeStatus.DONE
    assert run(SHOWS + "honest()", by=script).log == "None\n"
    assert pending(tmp_path) == []


@pytest.mark.parametrize(
    ("script", "sandbox"),
    [
        pytest.param(MAKES + "go()\nraise SystemExit(1)", "strict", marks=needs_bubblewrap),
        ("assert 'compiled' not in job\nhonest()", "basic"),
    ],
    ids=["a failure", "at the basic level"],
)
def test_nothing_is_kept(run: Run, tmp_path: Path, script: str, sandbox: str) -> None:
    run(script, sandbox=sandbox)
    assert pending(tmp_path) == []


COMPILES = """
import json, torch
from torch import nn

def train(session):
    bend = torch.compile(lambda x: torch.sin(x) + torch.tanh(x))
    bend(torch.ones(64))
    from torch._dynamo.utils import counters
    print(json.dumps(counters["inductor"]))
    model = nn.Embedding(session.vocab_size, session.vocab_size)
    for tokens, targets in session.batches(4):
        pass
    return model
"""


@needs_bubblewrap
@pytest.mark.whole_machine  # it takes a C++ compiler half a minute of a core
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler here")
def test_torch_compile_finds_in_its_cache_what_a_kept_trial_compiled(tmp_path: Path) -> None:
    sizes = ["data.validation_tokens=4096", "data.eval_batch_tokens=2048"]
    config = load_config("local", ["budget.steps=1", "budget.startup_seconds=170", *sizes], {})
    materials = gather_materials(config)
    packed = materials.packed
    assert packed is not None
    store, task = CompileStore(tmp_path), unpack(materials.bundles.task, tmp_path).parent

    def run(number: int, script: str, by: str = "") -> dict[str, int]:
        trial = Trial(
            id=number,
            experiment=0,
            number=number,
            seed=7,
            slot=0,
            files={"train.py": script},
            task="",
            data="",
            budget=config.trial_budget(),
            resources=config.trial_resources(8_000_000_000, 1),
            settings=config.trial_settings(),
            compile_cache=True,
            compiled_by=by,
        )
        outcome = run_trial(
            trial,
            task=task,
            data=packed.folder,
            exam=(packed.folder / "validation.bin").read_bytes,
            report=lambda _: None,
            lasting=Lasting(compiled=store),
        )
        assert outcome.status is OutcomeStatus.DONE, (outcome.reason, outcome.log)
        counters: dict[str, int] = json.loads(outcome.log.splitlines()[0])
        return counters

    assert run(1, COMPILES) == {"fxgraph_cache_miss": 1}
    name = name_of("", {"train.py": COMPILES})
    wait_for((tmp_path / "compiled" / name).exists)
    assert run(2, COMPILES + "# another seed\n", by=name) == {"fxgraph_cache_hit": 1}

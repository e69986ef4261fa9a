"""What `run` says of a repository before it starts."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from agent.proposal import Proposal
from scheduler.briefings import Circumstances, write_briefing
from scheduler.cli.local import open_folder
from scheduler.cli.submit_job import _tell
from scheduler.cli.words import _duration, ending, forecast, unfilled
from scheduler.cluster import Bundles
from scheduler.errors import UsageError
from scheduler.rules.events import RequestProposals
from scheduler.rules.states import ExperimentState
from scheduler.session import Capacity, Materials
from scheduler.study.config import Config
from scheduler.study.config_file import load_config
from scheduler.study.directions import places
from scheduler.study.directions import said as said_of
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.records import Live
from scheduler.study.sections import KeepSection, StopSection
from scheduler.study.task_section import MetricSection, TaskSection
from tests.fixtures.verbs import Output
from tests.synthetic import make_study
from workers import Resources
from workers.bundle import Bundle

METRIC = MetricSection(name="loss", pattern="loss (.*)")


def said(command: str, fixed: int = 1, config: Config | None = None) -> str:
    config = config or Config(task=TaskSection(source=".", command=command, metric=METRIC))
    baseline = Proposal(title="baseline", hypothesis="", parent=0, files={}, origin="baseline")
    files = tuple((f"{n}.txt", b"text") for n in range(fixed))
    materials = Materials(baseline, Bundles(Bundle("repository", "0", files)), None, "")
    capacity = Capacity(1, Resources())
    return forecast(config, capacity, materials, sandbox="basic", done=None, missing={})


PROGRAM = """\
# Directions

<!-- WRITE HERE: what you
     want to know. -->
Lower the loss.

```html
<!-- WRITE HERE, in code, is code -->
```
<!-- a note of mine -->
"""


def test_comments_in_the_directions_are_no_directions_and_places_are_counted() -> None:
    text = said_of(PROGRAM)
    assert "what you" not in text
    assert "a note of mine" not in text
    assert "Lower the loss." in text
    assert "is code -->" in text, "fenced code stays as it is"
    assert places(PROGRAM) == 1
    assert "program.md has 1 place to fill in" in str(unfilled(PROGRAM))
    assert "2 places" in str(unfilled(PROGRAM * 2))
    assert unfilled(text) is None
    assert said_of("as it is\n\n\n\nhere") == "as it is\n\n\n\nhere"


def test_one_file_is_one_file() -> None:
    assert "0 files to edit, 1 fixed one (" in said("python train.py")
    assert "2 fixed ones" in said("python train.py", fixed=2)


def test_a_script_that_is_not_told_its_seed_is_named_at_the_start() -> None:
    assert "{seed} stands neither in task.command nor in task.env" in said("python train.py")
    assert "{seed}" not in said("python train.py --seed {seed}")


def test_models_are_told_no_comments_of_the_directions(tmp_path: Path) -> None:
    study = StudyFolder(make_study(tmp_path / "own", 2, seed=3))
    with Reader(study.database) as reader:
        now = Circumstances(program=PROGRAM)
        request = RequestProposals(request=1, count=1)
        program = write_briefing(reader, Config(), request, now).program
    assert "Lower the loss." in program
    assert "what you" not in program


NAME = "studies/we ird ü"


def test_one_experiment_is_one_experiment(tmp_path: Path) -> None:
    stop = StopSection(max_experiments=1, max_hours=1)
    config = Config(stop=stop, keep=KeepSection(baseline_repeats=1))
    task = TaskSection(source=".", command="python train.py", metric=METRIC)
    words = said("python train.py", config=config.model_copy(update={"task": task}))
    assert "1 experiment in about" in words
    assert "at most 1 hour;" in words
    with Reader(make_study(tmp_path / "s", 1, seed=3) / "study.db") as reader:
        study = replace(reader.study(), counts={ExperimentState.KEEP: 1})
    assert "\n1 experiment (1 keep); none" in ending(Live(at=0.0, study=study), "s")


def test_commands_that_are_offered_can_be_pasted_into_a_shell(tmp_path: Path) -> None:
    study = make_study(tmp_path / NAME, 20, seed=3)
    with Reader(study / "study.db") as reader:
        words = ending(Live(at=0.0, study=reader.study()), NAME)
    commands = [line.strip() for line in words.splitlines() if " autoresearch " in line]
    assert len(commands) >= 4
    assert all(NAME in shlex.split(each) for each in commands)
    with open_folder(StudyFolder(study)) as source:
        assert shlex.split(source.resume) == ["autoresearch", "run", str(study)]
    with pytest.raises(UsageError) as error:
        StudyFolder(tmp_path / "no ne").load_config()
    assert f"'{tmp_path}/no ne'" in str(error.value)


def test_a_job_is_followed_by_commands_for_two_shells(capsys: Output) -> None:
    for name in ("we ird", "plain"):
        _tell("job", name, "http://head:8265", 60)
    first, second = (x for x in capsys.readouterr().out.splitlines() if "ssh HEAD" in x)
    remote = shlex.split(first)[2]
    assert shlex.split(remote)[3] == "~/autoresearch/studies/we ird"
    assert "ssh HEAD autoresearch status -s ~/autoresearch/studies/plain" in second


def test_a_limit_below_what_is_there_says_what_will_still_run(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "s", experiments=14))
    with Reader(folder.database) as reader:
        done = reader.study()
    counts = {**done.counts, ExperimentState.CONFIRMING: 2, ExperimentState.QUEUED: 1}
    config = load_config(None, ["stop.max_experiments=2"], {})
    assert _duration(config, Capacity(2, Resources()), replace(done, counts=counts)).startswith(
        "no new experiments (stop.max_experiments is 2, and 14 are there); "
        "2 being confirmed are decided; 1 in the queue waits for a higher limit"
    )


def test_what_waits_to_be_decided_is_counted_with_what_is_new(tmp_path: Path) -> None:
    folder = StudyFolder(make_study(tmp_path / "s", experiments=14))
    with Reader(folder.database) as reader:
        done = reader.study()
    counts = {**done.counts, ExperimentState.CONFIRMING: 2, ExperimentState.QUEUED: 1}
    config = load_config(None, ["stop.max_experiments=14", "budget.seconds=55"], {})
    words = _duration(config, Capacity(2, Resources()), replace(done, counts=counts))
    assert words.startswith("0 experiments, beside 3 that wait to be decided, in about 2 min")

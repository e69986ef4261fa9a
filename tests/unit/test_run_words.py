"""What `run` says of a repository before it starts."""

from agent.proposal import Proposal
from scheduler.cli.words import forecast
from scheduler.cluster import Bundles
from scheduler.session import Capacity, Materials
from scheduler.study.config import Config
from scheduler.study.task_section import MetricSection, TaskSection
from workers import Resources
from workers.bundle import Bundle

METRIC = MetricSection(name="loss", pattern="loss (.*)")


def said(command: str, fixed: int = 1) -> str:
    config = Config(task=TaskSection(source=".", command=command, metric=METRIC))
    baseline = Proposal(title="baseline", hypothesis="", parent=0, files={}, origin="baseline")
    files = tuple((f"{n}.txt", b"text") for n in range(fixed))
    materials = Materials(baseline, Bundles(Bundle("repository", "0", files)), None, "")
    capacity = Capacity(1, Resources())
    return forecast(config, capacity, materials, sandbox="basic", done=None, missing={})


def test_a_script_that_is_not_told_its_seed_is_named_at_the_start() -> None:
    assert "{seed} stands neither in task.command nor in task.env" in said("python train.py")
    assert "{seed}" not in said("python train.py --seed {seed}")

"""Limits beside the metric: which outcome breaks one, and what that does to a study."""

from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.errors import UsageError
from scheduler.session import gather_materials
from scheduler.study.config import Config
from scheduler.study.sections import WorkersSection
from scheduler.study.task_section import ExtraMetric, MetricSection, TaskSection
from workers import Limit, Outcome, OutcomeStatus, Timings
from workers.limits import kept_to
from workers.machine import NONE_USED

ROOMY = Limit("device_memory_gb", most=29)

DONE = Outcome(
    trial=1,
    status=OutcomeStatus.DONE,
    metric=0.5,
    audit_metric=0.6,
    judge="referee, host memory",
    timings=Timings(startup=50.0, train=10.0),
    peak_memory_bytes=2_000_000_000,
    peak_device_memory_bytes=30_000_000_000,
    metrics={"accuracy": 0.9},
)


@pytest.mark.parametrize(
    "limit",
    [
        Limit("memory_gb", most=1.9),
        Limit("device_memory_gb", most=29),
        Limit("seconds", most=9),
        Limit("accuracy", least=0.95),
    ],
)
def test_what_breaks_a_limit_has_no_metric_and_says_which(limit: Limit) -> None:
    broken = kept_to(DONE, [Limit("memory_gb", most=100), limit])
    assert broken.status is OutcomeStatus.REJECTED
    assert broken.metric is broken.audit_metric is None
    assert broken.broke == limit.name
    assert broken.reason.startswith(f"{limit.name} is ")
    assert broken.reason.endswith("its metric was 0.5")


def test_a_limit_that_nobody_could_measure_is_not_kept_to() -> None:
    unknown = replace(DONE, peak_device_memory_bytes=0, node="node-7", device="A CPU")
    failed = kept_to(unknown, [Limit("device_memory_gb", most=29)])
    assert failed.status is OutcomeStatus.REJECTED
    assert "device_memory_gb can't be measured on node-7" in failed.reason
    assert failed.broke == "", "it broke nothing"
    # A GPU of which nothing was used has a figure.
    assert kept_to(replace(DONE, peak_device_memory_bytes=NONE_USED), [ROOMY]).metric == 0.5


@pytest.mark.parametrize(("gpus", "words"), [(0.5, "share a GPU"), (0.0, "has no GPU")])
def test_a_limit_of_device_memory_needs_whole_gpus(tmp_path: Path, gpus: float, words: str) -> None:
    (tmp_path / "train.py").touch()
    metric = MetricSection(name="loss", pattern="loss (.*)")
    limits = {"device_memory_gb": ExtraMetric(max=40.0)}
    task = TaskSection(
        source=str(tmp_path), command="python train.py", metric=metric, metrics=limits
    )
    shared = Config(task=task, workers=WorkersSection(gpus_per_trial=gpus))
    with pytest.raises(UsageError, match=words):
        gather_materials(shared)
    gather_materials(Config(task=task, workers=WorkersSection(gpus_per_trial=1)))


def test_what_keeps_to_its_limits_or_failed_anyway_stays_as_it_is() -> None:
    limits = [Limit("memory_gb", most=2.0), Limit("seconds", least=10), Limit("accuracy", 0.9)]
    assert kept_to(DONE, limits) == DONE
    crashed = Outcome(trial=1, status=OutcomeStatus.CRASH, peak_memory_bytes=9_000_000_000)
    assert kept_to(crashed, limits) == crashed

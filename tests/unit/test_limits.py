"""Limits beside the metric: which outcome breaks one, and what that does to a study."""

import pytest

from workers import Limit, Outcome, OutcomeStatus, Timings
from workers.limits import kept_to

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
    assert broken.reason.endswith("its metric was 0.500000")


def test_what_keeps_to_its_limits_or_failed_anyway_stays_as_it_is() -> None:
    limits = [Limit("memory_gb", most=2.0), Limit("seconds", least=10), Limit("accuracy", 0.9)]
    assert kept_to(DONE, limits) == DONE
    crashed = Outcome(trial=1, status=OutcomeStatus.CRASH, peak_memory_bytes=9_000_000_000)
    assert kept_to(crashed, limits) == crashed

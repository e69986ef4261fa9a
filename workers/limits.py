"""Limits on what a trial may cost beside its metric: "a lower loss at no more memory".

In: an Outcome and the limits of its study. Out: the same Outcome, or a rejected one that names the
limit, the figure and the metric that it would have had. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from workers.command import Limit
from workers.outcome import Outcome, OutcomeStatus

MEASURED = ("memory_gb", "device_memory_gb", "seconds")
"""Figures that the supervisor measures of every trial: main memory and memory of the device at
their peak, in GB (10^9 bytes), and the seconds of training (of the run, for a command)."""


def figures(outcome: Outcome) -> Mapping[str, float]:
    """Every figure of a trial that a limit can name: the measured ones, and its own metrics.

    The device's memory is not there where nobody measured it, which 0 says: see `machine.py`.
    """
    device = outcome.peak_device_memory_bytes
    return {
        "memory_gb": outcome.peak_memory_bytes / 1e9,
        **({"device_memory_gb": device / 1e9} if device else {}),
        "seconds": outcome.timings.train,
        **outcome.metrics,
    }


def kept_to(outcome: Outcome, limits: Iterable[Limit]) -> Outcome:
    """The outcome, rejected where it has a metric and breaks a limit, or none can say."""
    if outcome.metric is None:
        return outcome
    found = figures(outcome)
    for limit in limits:
        value = found.get(limit.name)
        if value is None and limit.name not in MEASURED:
            continue  # a reading that is missing has failed the trial already
        if value is None:
            reason = (
                f"{limit.name} can't be measured on {outcome.node or 'this node'} "
                f"({outcome.device or 'device unknown'}), and task.metrics.{limit.name} limits it; "
                "its metric does not count"
            )
            return _rejected(outcome, reason)
        broken = ""
        if limit.most is not None and value > limit.most:
            broken = f"above its limit of {limit.most:g} (task.metrics.{limit.name}.max)"
        elif limit.least is not None and value < limit.least:
            broken = f"below its limit of {limit.least:g} (task.metrics.{limit.name}.min)"
        if broken:
            reason = f"{limit.name} is {value:.6g}, {broken}; its metric was {outcome.metric:.6g}"
            return _rejected(outcome, reason, broke=limit.name)
    return outcome


def _rejected(outcome: Outcome, reason: str, broke: str = "") -> Outcome:
    return replace(
        outcome,
        status=OutcomeStatus.REJECTED,
        reason=reason,
        metric=None,
        audit_metric=None,
        judge="",
        broke=broke,
    )

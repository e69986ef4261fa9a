"""Slots that a study would like to have, made visible to Ray's autoscaler.

In: how many slots are wanted and how many fit now. Out: pending placement groups, one for each slot
that is missing, which an autoscaler answers with nodes. A group that becomes ready is given back at
once, so that its room is there for a trial, and is not asked for anew while there is room that no
trial uses: it would take that room from the next trial, again and again. They belong to the study's
job and end with it. Without an autoscaler they wait, and cost nothing.
"""

from typing import Any

from ray.util import placement_group, remove_placement_group

from workers import Resources

MOST = 64  # groups at a time: the rest is asked for once these are there


class Demand:
    """What one study asks for."""

    def __init__(self, resources: Resources) -> None:
        bundle = {"CPU": resources.cpus, "GPU": resources.gpus}
        if resources.accelerator:
            bundle[f"accelerator_type:{resources.accelerator}"] = 0.001
        self._bundle = {name: amount for name, amount in bundle.items() if amount > 0}
        self._groups: list[Any] = []
        self._wanted = 0

    def ask(self, missing: int, *, full: bool) -> None:
        """Ask for so many slots beyond those that there are, of which all are busy or not."""
        ready = [group for group in self._groups if group.wait(0)]
        for group in ready:
            remove_placement_group(group)
        self._groups = [group for group in self._groups if group not in ready]
        wanted, before = min(missing, MOST), self._wanted
        self._wanted = wanted
        while len(self._groups) > wanted:
            remove_placement_group(self._groups.pop())
        while (full or wanted > before) and len(self._groups) < wanted:
            self._groups.append(placement_group([self._bundle], strategy="PACK"))

    @property
    def waiting(self) -> int:
        """How many slots were asked for and have not come."""
        return len(self._groups)

"""Slots that are wanted and not there are visible to an autoscaler, and room is given back."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util import placement_group_table

from scheduler.demand import Demand
from workers import Resources

STORE = 80 * 1024 * 1024
group_table: Any = placement_group_table  # Ray types these loosely
cluster_resources: Any = ray.cluster_resources
available_resources: Any = ray.available_resources


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    end: Any = cluster.shutdown
    end()


@ray.remote
def _trial() -> None:
    time.sleep(600)


trial: Any = _trial


def pending() -> list[dict[str, float]]:
    """What the groups ask for that are not removed."""
    table = group_table()
    groups = [each for each in table.values() if each["state"] != "REMOVED"]
    return [each["bundles"][0] for each in groups]


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_what_is_missing_is_asked_for_and_what_has_come_is_given_back(cluster: Cluster) -> None:
    demand = Demand(Resources(gpus=1, cpus=1))
    demand.ask(3, full=True)
    assert demand.waiting == 3
    wait_for(lambda: pending() == [{"CPU": 1.0, "GPU": 1.0}] * 3)
    node = cluster.add_node(num_cpus=2, num_gpus=2, object_store_memory=STORE)
    wait_for(lambda: cluster_resources().get("GPU") == 2)

    def nothing_is_held() -> bool:
        demand.ask(1, full=False)  # two slots have come: the study counts them, and wants one more
        return demand.waiting == 0

    wait_for(nothing_is_held)  # the third found room as well, while no trial had come for it
    made = len(group_table())
    for _ in range(20):  # and is not asked for again and again, which would take the room in turns
        demand.ask(1, full=False)
        time.sleep(0.05)
    assert len(group_table()) == made
    wait_for(lambda: available_resources().get("GPU") == 2)

    trials = [trial.options(num_gpus=1).remote() for _ in range(2)]
    wait_for(lambda: "GPU" not in available_resources())
    demand.ask(1, full=True)
    assert demand.waiting == 1
    wait_for(lambda: pending() == [{"CPU": 1.0, "GPU": 1.0}])
    for each in trials:
        ray.cancel(each)
    demand.ask(0, full=False)
    wait_for(lambda: pending() == [])
    cluster.remove_node(node)

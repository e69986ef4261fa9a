"""How many trials a cluster takes, and how much memory each may use."""

from typing import Any

import pytest

from scheduler.errors import UsageError
from scheduler.session import measure_capacity
from scheduler.study.config import Config
from scheduler.study.config_file import load_config

GB = 1e9


def node(cpus: float, gpus: float, memory: float, *, alive: bool = True) -> dict[str, Any]:
    offers = {"CPU": cpus, "GPU": gpus, "memory": memory}
    return {"Alive": alive, "Resources": {n: v for n, v in offers.items() if v}}


def gpu_config(*settings: str) -> Config:
    return load_config("gpu", settings, {})


def test_slots_are_what_fits_on_the_nodes_that_are_alive() -> None:
    nodes = [node(4, 0, 32 * GB), *[node(64, 8, 512 * GB)] * 8, node(64, 8, 1, alive=False)]
    assert measure_capacity(gpu_config(), nodes).slots == 64
    # 4 CPU cores a trial: a node of 16 cores feeds four of its eight GPUs.
    assert measure_capacity(gpu_config(), [node(16, 8, GB)]).slots == 4
    assert measure_capacity(gpu_config("workers.slots=3"), nodes).slots == 3


def test_memory_is_shared_by_the_slots_of_a_node_not_of_the_cluster() -> None:
    nodes = [node(4, 0, 32 * GB), *[node(64, 8, 512 * GB)] * 8]
    assert measure_capacity(gpu_config(), nodes).resources.memory_bytes == int(0.9 * 64 * GB)
    mixed = [*nodes, node(64, 8, 256 * GB)]
    assert measure_capacity(gpu_config(), mixed).resources.memory_bytes == int(0.9 * 32 * GB)


def test_where_nothing_fits_it_says_what_is_there() -> None:
    with pytest.raises(UsageError, match="claims 4 CPU and 1 GPU, and no node offers that"):
        measure_capacity(gpu_config(), [node(2, 0, GB)])

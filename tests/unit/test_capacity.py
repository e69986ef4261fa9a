"""How many trials a cluster takes, and how much memory each may use."""

from typing import Any

import pytest

from scheduler.errors import UsageError
from scheduler.nodes import LEAST_STORE, count_kinds, store_bytes
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
    four = gpu_config("workers.cpus_per_trial=4")
    assert measure_capacity(four, [node(16, 8, GB)]).slots == 4
    assert measure_capacity(gpu_config("workers.slots=3"), nodes).slots == 3


def test_memory_is_shared_by_the_slots_of_a_node_not_of_the_cluster() -> None:
    nodes = [node(4, 0, 32 * GB), *[node(64, 8, 512 * GB)] * 8]
    assert measure_capacity(gpu_config(), nodes).resources.memory_bytes == int(0.9 * 64 * GB)
    mixed = [*nodes, node(64, 8, 256 * GB)]
    assert measure_capacity(gpu_config(), mixed).resources.memory_bytes == int(0.9 * 32 * GB)


def test_where_nothing_fits_it_says_what_is_there() -> None:
    with pytest.raises(UsageError, match="claims 4 CPU and 1 GPU, and no node offers that"):
        measure_capacity(gpu_config("workers.cpus_per_trial=4"), [node(2, 1, GB)])
    with pytest.raises(UsageError, match="claims 1 CPU and 1 GPU, and no node offers that"):
        measure_capacity(gpu_config(), [node(2, 0, GB)])


@pytest.mark.parametrize(
    ("found", "settings", "slots", "cores"),
    [
        ([node(16, 1, GB)], (), 1, 15),  # one is left to Ray and the system
        ([node(128, 8, GB)], (), 8, 15),
        ([node(224, 8, GB)], (), 8, 16),
        ([node(4, 1, GB)], (), 1, 4),
        ([node(2, 1, GB)], (), 1, 2),
        ([node(36, 8, GB)], (), 8, 4),
        ([node(4, 8, GB)], (), 4, 1),
        ([node(128, 8, GB), node(48, 8, GB)], (), 16, 5),  # every GPU of either has its slot
        ([node(64, 0, GB), node(16, 4, GB)], (), 4, 4),
        ([node(64, 8, GB)], ("workers.slots=2",), 2, 16),
        ([node(16, 1, GB)], ("workers.gpus_per_trial=0.5",), 2, 7),
        ([node(2, 0, GB)], ("workers.gpus_per_trial=0",), 2, 1),
        ([node(64, 8, GB)], ("workers.cpus_per_trial=4",), 8, 4),
    ],
)
def test_a_trial_has_its_gpus_share_of_the_cores(
    found: list[dict[str, Any]], settings: tuple[str, ...], slots: int, cores: float
) -> None:
    capacity = measure_capacity(gpu_config(*settings), found)
    assert (capacity.slots, capacity.resources.cpus) == (slots, cores)


def of_type(accelerator: str, gpus: float, *, alive: bool = True) -> dict[str, Any]:
    made = node(64, gpus, 512 * GB, alive=alive)
    made["Resources"][f"accelerator_type:{accelerator}"] = 1.0
    return made


def test_slots_are_told_apart_by_the_type_of_their_nodes_accelerator() -> None:
    claims = gpu_config().trial_resources(0, 1)
    nodes = [of_type("H200", 8), of_type("A100", 4), of_type("H200", 2), node(64, 1, GB)]
    assert count_kinds(nodes, claims) == (("", 1), ("A100", 4), ("H200", 10))
    assert count_kinds([of_type("H200", 8), of_type("A100", 4, alive=False)], claims) == (
        ("H200", 8),
    )
    four = gpu_config("workers.cpus_per_trial=4").trial_resources(0, 1)
    assert count_kinds([of_type("A100", 4), node(2, 1, GB)], four) == (("A100", 4),), "too small"


def test_without_types_or_gpus_there_is_one_kind_without_a_name() -> None:
    claims = gpu_config().trial_resources(0, 1)
    assert count_kinds([node(64, 8, GB), node(64, 4, GB)], claims) == ()
    on_cpus = gpu_config("workers.gpus_per_trial=0").trial_resources(0, 1)
    assert count_kinds([of_type("H200", 8), of_type("A100", 4)], on_cpus) == ()


def test_an_object_store_of_our_own_is_as_large_as_the_data_needs_and_the_machine_has() -> None:
    assert store_bytes(1_400_000_000, int(64 * GB), int(128 * GB)) == 1_750_000_000
    assert store_bytes(13_000_000, int(64 * GB), int(128 * GB)) == LEAST_STORE
    assert store_bytes(1_400_000_000, int(2 * GB), int(128 * GB)) == GB  # half of /dev/shm
    assert store_bytes(1_400_000_000, None, int(4 * GB)) == GB  # a quarter of the memory
    assert store_bytes(1_400_000_000, 64_000_000, int(128 * GB)) == LEAST_STORE  # as Docker gives

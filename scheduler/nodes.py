"""Ray's nodes, as a study sees them: connecting, what takes work now, how many trials fit.

In: the environment, what a trial claims. Out: a connection, nodes, numbers of slots. It starts no
trial and no actor: `cluster.py` does.
"""

import logging
import os
import shutil
import socket
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import exceptions as errors
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.state import state as ray_state

from scheduler.errors import StudyError, UsageError
from workers import Resources

CONNECT_SECONDS = 5.0
AUTH_NOTICE = "ray._private.authentication.authentication_token_setup"
TYPE = "accelerator_type:"  # of a resource that each node of that type has
LEAST_STORE = 256 * 1024 * 1024  # bytes of the object store; Ray's default is 30 % of the memory
STORE_ROOM = 1.25  # times as much as the bundles of a study
MOST_STORE_MACOS = 2**31  # more is slow there, and Ray refuses it
SHARED = Path("/dev/shm")  # noqa: S108 - looked at, not written to

DAEMONS = {
    # Without a niceness of its own a worker's child would train at nice 15, behind everything
    # else on the machine.
    "RAY_worker_niceness": "0",
    # Ray ends workers beyond the number of cores once they are idle for a second, and a slot whose
    # worker is gone waits for a new one: with more slots than cores they were 0.3 busy.
    "RAY_num_workers_soft_limit": "1024",
    "RAY_idle_worker_killing_time_threshold_ms": "600000",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Variables rather than arguments: Ray's daemons read them at their start, so that a cluster that
runs already has its own. See docs/cluster.md for those that it should have."""


@dataclass(frozen=True)
class Connection:
    """What Ray offers this study."""

    local: bool  # a Ray of our own, that ends with this process
    address: str


def store_bytes(bundles: int, shared: int | None, memory: int) -> int:
    """How large an object store of our own is to be, for bundles of so many bytes.

    Somewhat more than they need, but no more than half of the shared memory that there is (None:
    it is not limited by itself) and a quarter of all memory: what does not fit lies on the disk.
    """
    bounds = [round(STORE_ROOM * bundles), memory // 4]
    if shared is not None:
        bounds.append(shared // 2)
    return max(LEAST_STORE, min(bounds))


def _store_here(bundles: int) -> int:
    memory = psutil.virtual_memory().total
    if sys.platform == "darwin":
        return min(store_bytes(bundles, None, memory), MOST_STORE_MACOS)
    shared = shutil.disk_usage(SHARED).total if SHARED.is_dir() else None
    return store_bytes(bundles, shared, memory)


def connect(environ: dict[str, str] | None = None, *, bundles: int = 0) -> Connection:
    """Connect to the cluster that RAY_ADDRESS names, or start Ray on this machine.

    `bundles`: bytes that a study puts into the object store, where it is ours to size. Raises
    UsageError where the named cluster can't be reached, StudyError where Ray can't start.
    """
    address = (environ or dict(os.environ)).get("RAY_ADDRESS")
    if ray.is_initialized():
        return Connection(local=False, address=address or "")
    if address:
        _check_reachable(address)
        # Ray does so for a cluster that it starts, and not for one that it joins.
        logging.getLogger(AUTH_NOTICE).setLevel(logging.ERROR)
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, errors.AuthenticationError, ValueError) as error:
            raise UsageError(
                f"RAY_ADDRESS={address}: no Ray cluster answers, or not without its token (on "
                f"its head in ~/.ray/auth_token; copy it to the same place here): {error}"
            ) from error
        return Connection(local=False, address=address)
    for name, value in DAEMONS.items():
        os.environ.setdefault(name, value)
    # Ray tells each time that its token authentication is on, which is what one wants.
    logging.getLogger(AUTH_NOTICE).setLevel(logging.ERROR)
    try:
        ray.init(
            address="local",  # also where another Ray runs on this machine
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
            object_store_memory=_store_here(bundles),
        )
    except Exception as error:
        raise StudyError(
            f"Ray did not start on this machine: {' '.join(str(error).split())[:300]} "
            "Nothing has run yet. Where the machine is very busy, try again later; Ray's own logs "
            "lie in /tmp/ray/session_latest/logs"
        ) from error
    return Connection(local=True, address="local")


def _check_reachable(address: str) -> None:
    """Ray itself takes minutes to find out that nobody is there."""
    if "://" in address:
        raise UsageError(
            f"RAY_ADDRESS={address}: Ray Client is not supported; give HOST:PORT of the cluster's "
            "head, from one of its nodes, or use: ray job submit"
        )
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        return  # "auto", "local"
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise UsageError(
            f"RAY_ADDRESS={address}: no Ray cluster answers there ({error.strerror or error}); "
            "start one with: ray start --head, or unset RAY_ADDRESS to run on this machine"
        ) from error


def nodes() -> list[dict[str, Any]]:
    """The nodes that take work now, as Ray describes them: alive, and not being drained."""
    described: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    leaving = ray_state.get_draining_nodes()  # the public interface does not tell
    return [each for each in described if each["Alive"] and each["NodeID"] not in leaving]


def count_slots(found: list[dict[str, Any]], resources: Resources, limit: int | None) -> int:
    """How many trials fit on the nodes that are alive; a trial never spans two of them."""
    total = sum(slots_of(node, resources) for node in found)
    return total if limit is None else min(total, limit)


Kinds = tuple[tuple[str, int], ...]
"""Slots by the kind of their node, a Ray accelerator type, in order of its name."""


def count_kinds(found: list[dict[str, Any]], resources: Resources) -> Kinds:
    """How many trials fit on the nodes of each kind; () where no node that fits has a name.

    Nodes without a name are of the kind "". A trial without a GPU fits any: there are no kinds.
    """
    fits: Counter[str] = Counter()
    for node in found:
        fits[kind_of(node) if resources.gpus else ""] += slots_of(node, resources)
    return tuple(sorted((+fits).items())) if any(+fits) else ()


def kind_of(node: dict[str, Any]) -> str:
    """The node's accelerator type, by which Ray can place a trial; "" where it has none."""
    offered = node.get("Resources", {})
    names = (name.removeprefix(TYPE) for name in offered if name.startswith(TYPE))
    return min(names, default="")


def slots_of(node: dict[str, Any], resources: Resources) -> int:
    """How many trials fit on one node; none on one that is gone."""
    offered = node.get("Resources", {})
    if not node.get("Alive"):
        return 0
    if resources.accelerator and f"{TYPE}{resources.accelerator}" not in offered:
        return 0
    fits = [
        int(offered.get(name, 0.0) / claimed + 1e-9)
        for name, claimed in (("GPU", resources.gpus), ("CPU", resources.cpus))
        if claimed > 0
    ]
    return min(fits, default=0)

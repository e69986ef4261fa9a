"""Trials of repositories of one's own on Ray's nodes, and what is done on a node before the first.

In: a Trial with a Command, or the Command alone; the repository's bundle. Out: an Outcome; for the
preparation, why it failed on which node. `workers/remote.py` calls the first from its task.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from workers.bundle import Cache, cache_folder
from workers.command import Command
from workers.command_trial import prepare_node
from workers.errors import BundleError, SetupError
from workers.trial import Resources


@dataclass(frozen=True)
class Preparation:
    """What each node must do before the first trial."""

    command: Command
    sandbox: str
    resources: Resources


def prepare_nodes(
    preparation: Preparation, task: Any, nodes: Sequence[str], receive: Callable[..., Any]
) -> Mapping[str, str]:
    """Prepare these nodes, all at once; the ids of those where it failed, and why.

    `task` is the Shipment of the repository's fixed files, `receive` fetches it on a node.
    """
    remote: Any = ray.remote(max_retries=0, max_calls=1, num_cpus=0)(_prepare)
    refs = {
        node: remote.options(
            name="prepare",
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote(preparation, task, receive)
        for node in nodes
    }
    failed = {}
    for node, ref in refs.items():
        try:
            why: str = ray.get(ref)
        except RayError as error:
            why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if why:
            failed[node] = why
    return failed


def _prepare(preparation: Preparation, task: Any, receive: Callable[..., Any]) -> str:
    """Why this node can't be prepared; "" once it is."""
    try:
        cache = Cache(cache_folder())
        prepare_node(
            preparation.command,
            repository=receive(task, cache),
            content=task.hash,
            cache=cache.root,
            sandbox=preparation.sandbox,
            resources=preparation.resources,
        )
    except (SetupError, BundleError, OSError, RayError, ValueError) as error:
        return str(error)
    return ""

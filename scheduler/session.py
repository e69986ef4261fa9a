"""One session of a study, from its folder to its end: prepares, connects, runs the loop.

In: a study's folder and configuration. Out: the study as it stands at the end. The command line
decides what is shown; nothing here prints.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import psutil

from agent import Proposal
from agent.llm.keys import Keys
from agent.source import identify
from scheduler.cluster import Bundles, RayAgent, RayExecutor, RayResults, head_watched
from scheduler.errors import StudyFull, UsageError
from scheduler.job import stop_grace
from scheduler.loop import Loop
from scheduler.nodes import count_slots, slots_of
from scheduler.plan import Plan
from scheduler.researcher import agent_settings
from scheduler.shares import SharedCluster
from scheduler.study.config import Config
from scheduler.study.data import PackedData, baseline_files, prepare_data, task_folder
from scheduler.study.folder import StudyFolder
from scheduler.study.records import Live
from scheduler.study.repository import read_repository, source_folder
from scheduler.study.room import AGAIN, FULL_SECONDS, waiting
from scheduler.study.task_words import guide
from scheduler.tracking import Tracking
from scheduler.webhook import Webhook
from workers import Resources
from workers.bundle import cache_folder, hashes, pack
from workers.cuda import gpus_here
from workers.launch import best_level
from workers.remote import receive, ship, split_data
from workers.remote_command import Preparation, prepare_nodes
from workers.sandbox import Level

GUIDE = "CONTRACT.md"  # in a task's folder: what its edited code is given and must give
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Materials:
    """What a study's trials are made of."""

    baseline: Proposal
    bundles: Bundles
    packed: PackedData | None  # None for a repository of one's own, which brings its data
    guide: str  # the task's own words on its contract
    may_change: tuple[str, ...] = ()  # fixed files that a run may alter
    notes: tuple[str, ...] = ()  # what a person should know of the repository
    commit: str | None = None  # of a repository that has an address


def sandbox_level(config: Config) -> str:
    """The level that trials get on this machine, in words; other nodes look for themselves.

    Raises UsageError where the strict one is demanded and can't be had.
    """
    wanted = config.workers.sandbox
    try:
        best, why = best_level(gpus_here() if config.workers.gpus_per_trial else ())
    except OSError as error:
        raise UsageError(str(error)) from error
    if wanted == "basic":
        return "basic, as workers.sandbox says"
    if best is Level.STRICT:
        return "strict (bubblewrap)"
    if wanted == "strict":
        raise UsageError(f"workers.sandbox: strict is demanded, and {why}")
    return f"basic: {why}"


def gather_materials(
    config: Config,
    say: Callable[[str], None] = lambda _: None,
    variables: Mapping[str, str] = MappingProxyType({}),
    study: Path | None = None,
) -> Materials:
    """Read the task, pack the data where that has not been done. Raises UsageError.

    `say` is told how far downloads and packing are; `variables` are for them (`prepare_data`).
    `study`: the folder of the study that is to run, which may lie inside the repository.
    """
    if config.task.command is not None:
        return _gather_repository(config, study)
    task = task_folder(config)
    files = baseline_files(config, task)
    packed = prepare_data(config, cache_folder(), task, say, variables)
    data, exam = split_data(packed.folder)
    fixed = pack(task, name="train_template", exclude=config.task.editable)
    contract = task / GUIDE
    words = contract.read_text("utf-8") if contract.is_file() else ""
    return Materials(_baseline(files), Bundles(fixed, data, exam), packed, words)


def _gather_repository(config: Config, study: Path | None) -> Materials:
    """The same for a repository of one's own: its editable files, and all else as one bundle."""
    _check_limits(config)
    folder, commit = source_folder(config.task, cache_folder())
    found = read_repository(config.task, folder, study)
    notes = found.notes
    if commit is not None and config.task.commit is None and config.task.revision != commit:
        revision = f"task.revision: {config.task.revision} is commit {commit[:12]} now"
        notes += (f"{revision}; a study keeps the one that it began with",)
    words = guide(config, [name for name, _ in found.fixed.files])
    baseline = _baseline(found.files)
    return Materials(baseline, Bundles(found.fixed), None, words, found.may_change, notes, commit)


def _check_limits(config: Config) -> None:
    """Refuse a limit that no node can measure: a script's GPU memory is seen from outside."""
    gpus = config.workers.gpus_per_trial
    limited = any(limit.name == "device_memory_gb" for limit in config.task.limits())
    if limited and (gpus == 0 or gpus % 1):
        why = "a trial has no GPU" if gpus == 0 else "trials share a GPU, which tells no shares"
        raise UsageError(
            f"task.metrics.device_memory_gb can't be measured: {why} (workers.gpus_per_trial is "
            f"{gpus:g}). Set workers.gpus_per_trial to a whole number, or take the limit out"
        )


def _baseline(files: Mapping[str, str]) -> Proposal:
    identity = identify(files)
    return Proposal(
        title="baseline",
        hypothesis="The code as it is: everything else is measured against it.",
        parent=0,
        files=files,
        origin="baseline",
        fingerprint=identity.fingerprint,
        skeleton=identity.skeleton,
        constants=identity.constants,
        size=identity.size,
    )


def prepare_task(
    config: Config,
    materials: Materials,
    capacity: "Capacity",
    found: list[dict[str, Any]],
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Set a repository of one's own up on every node, before anything is written or started.

    `found`: the nodes. Raises UsageError with the words of each node where it failed.
    """
    command = config.trial_command()
    if command is None or (command.setup is None and not command.mounts):
        return
    if command.setup is not None:
        say("setup   task.setup runs once on each node, the first time for minutes perhaps")
    able = {n["NodeID"]: n["NodeName"] for n in found if slots_of(n, capacity.resources)}
    preparation = Preparation(command, config.workers.sandbox, capacity.resources)
    failed = prepare_nodes(preparation, ship(materials.bundles.task), list(able), receive)
    if failed:
        lines = [f"node {able[node]}: {why}" for node, why in failed.items()]
        raise UsageError("\n".join(("the task can't be set up; nothing has run yet", *lines)))


@dataclass(frozen=True)
class Capacity:
    """What the connected cluster offers a study."""

    slots: int  # now; they may become more or fewer
    resources: Resources  # of one slot
    local: bool = True  # on a Ray of this study's own; else others may run on it too


def measure_capacity(
    config: Config, found: list[dict[str, Any]], *, local: bool = True
) -> Capacity:
    """Count the slots of the nodes, and divide each node's cores and memory among those it holds.

    The least of the shares is every slot's. Raises UsageError where not one trial fits;
    but for a cluster with `workers.slots` as a number: there nodes may still come.
    """
    limit = None if config.workers.slots == "auto" else config.workers.slots
    claims = _share_cores(config, found, limit)
    slots = count_slots(found, claims, limit)
    if slots == 0 and (local or limit is None):
        raise UsageError(_why_no_slot(claims, found))
    if slots == 0:
        return Capacity(0, replace(claims, memory_bytes=claims.memory_bytes or None), local)
    shares = [
        (node["Resources"]["memory"], min(slots, fits))  # Ray knows a container's own limit
        for node in found
        if (fits := slots_of(node, claims)) and "memory" in node["Resources"]
    ]
    # Where no node says what it has (Ray always does), this machine's memory is taken.
    memory, fits = min(
        shares or [(psutil.virtual_memory().total, slots)], key=lambda s: s[0] / s[1]
    )
    memory_bytes = config.trial_resources(int(memory), fits).memory_bytes
    return Capacity(slots, replace(claims, memory_bytes=memory_bytes), local)


def _share_cores(config: Config, found: list[dict[str, Any]], limit: int | None) -> Resources:
    """What a slot claims, but for memory: its cores are the least of the shares, where shared."""
    claims = config.trial_resources(0, 1)
    if config.workers.cpus_per_trial != "auto":
        return claims
    by_gpus = replace(claims, cpus=0.0)
    shared = [
        config.trial_resources(0, min(fits, limit or fits), node["Resources"].get("CPU", 0.0)).cpus
        for node in found
        if (fits := slots_of(node, by_gpus))
    ]
    return replace(claims, cpus=min(shared, default=claims.cpus))


def _why_no_slot(claims: Resources, found: list[dict[str, Any]]) -> str:
    wanted = [f"{claims.cpus:g} CPU"] if claims.cpus else []
    wanted += [f"{claims.gpus:g} GPU"] if claims.gpus else []
    wanted += [f"a node of type {claims.accelerator}"] if claims.accelerator else []
    offers = [
        ", ".join(f"{node['Resources'].get(name, 0):g} {name}" for name in ("CPU", "GPU"))
        for node in found
        if node.get("Alive")
    ]
    return (
        f"a trial claims {' and '.join(wanted)}, and no node offers that (nodes: "
        f"{'; '.join(offers) or 'none'}). Set workers.gpus_per_trial, workers.cpus_per_trial or "
        "workers.accelerator, or run on CPUs with: --config local"
    )


async def run_session(
    folder: StudyFolder,
    config: Config,
    materials: Materials,
    *,
    capacity: Capacity,
    keys: Keys,
    show: Callable[[Live], None],
    interrupted: Callable[[int], None],
    abandon: Callable[[str], NoReturn],
    say: Callable[[str], None] = lambda _: None,
    make_executor: type[RayExecutor] = RayExecutor,
    to_trackers: Mapping[str, str] | None = None,
) -> Live:
    """Run the study until it stops, pauses, or is interrupted; return its last state.

    `interrupted` is told of each signal: the first drains, the second cuts short. `abandon` is to
    end the process at once, with these words: Ray is gone, and no call of it comes back. The study
    is then as after any kill: whole. `say` is told what a person should know beside the study.
    `to_trackers`: the environment that trackers get; None: this process's own.
    `make_executor` decides what runs in a slot: tests put cheaper trials there.
    """
    packed = materials.packed
    plan = Plan(
        baseline=materials.baseline,
        task=materials.bundles.task.hash,
        data=materials.bundles.data.hash if materials.bundles.data else "",
        resources=capacity.resources,
        guide=materials.guide,
        task_files=hashes(materials.bundles.task),
        audits=packed is not None and packed.can_audit(config.data.sequence_length),
        may_change=materials.may_change,
    )
    if config.keep.audit and packed is not None and not plan.audits:
        say("keep.audit: the audit split is too short for two windows, so it is not scored")
    slots = config.workers.slots
    limit = None if slots == "auto" else slots
    shared = None
    if not capacity.local:
        name = f"{socket.gethostname()}:{folder.path.absolute()}"
        shared = SharedCluster(name, most=limit, priority=config.workers.priority)
    results = RayResults(folder.path, config, plan)
    await _begin(results, say)
    executor = make_executor(
        capacity.resources,
        limit,
        materials.bundles,
        results.actor,
        shared=shared,
    )
    last: list[Live] = []
    views = [show]

    def remember(live: Live) -> None:
        last[:] = [live]
        for view in views:
            view(live)

    agent = RayAgent(results, agent_settings(config), keys)
    loop = Loop(results, executor, agent, show=remember)
    async with AsyncExitStack() as stack:
        if config.notify.webhook is not None:
            webhook = Webhook(config.notify.webhook, folder.name, say=say)
            views.append((await stack.enter_async_context(webhook)).see)
        if config.track.to:
            tracking = Tracking(folder.path, config.track.to, say=say, environment=to_trackers)
            await stack.enter_async_context(tracking)
        with head_watched(abandon), _signals(loop, interrupted):
            try:
                await loop.run()
            finally:
                await agent.close()
                await results.close()
                if shared is not None:
                    await shared.leave()
    return last[0]


async def _begin(results: RayResults, say: Callable[[str], None]) -> None:
    """Take the study up, once its disk has room for that."""
    told = False
    while True:
        try:
            await results.begin_session(os.getpid(), socket.gethostname())
        except StudyFull as error:
            if not told:
                say(waiting(error))
            told = True
            await asyncio.sleep(FULL_SECONDS)
        else:
            if told:
                say(AGAIN)
            return


@contextmanager
def _signals(loop: Loop, interrupted: Callable[[int], None]) -> Iterator[None]:
    """The first signal drains the study, the second cuts its trials short.

    In a Ray job the second comes by itself, just before Ray would kill the driver. A terminal that
    is closed, or whose connection drops, ends nothing: the night's work goes on without it.
    """
    count = 0

    def on_signal() -> None:
        nonlocal count
        count += 1
        (loop.drain if count == 1 else loop.cancel)()
        interrupted(count)
        if (
            count == 1 and (grace := stop_grace(os.environ)) is not None
        ):  # a job is killed soon after
            running.call_later(grace, loop.cancel)

    running = asyncio.get_running_loop()
    handlers = {**dict.fromkeys(SIGNALS, on_signal), signal.SIGHUP: lambda: None}
    for number, handler in handlers.items():
        running.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            running.remove_signal_handler(number)

"""Trials on Ray: bundles to the nodes that lack them, one pinned task a trial, Progress to a sink.

In: a Trial, Shipments of the task, of the training data and of the exam, and an actor with a
method `progress`. Out: an ObjectRef of the Outcome. The exam's bundle is never written to a node's
disk. It requeues nothing: a task that dies with its node raises Ray's own error where the result
is fetched. Import this module only where Ray is wanted; `workers` does not.
"""

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from workers.bundle import Bundle, Cache, cache_folder, content_hash, pack
from workers.command_trial import run_command
from workers.compiled import CompileStore
from workers.errors import BundleError
from workers.lasting import Lasting
from workers.outcome import Outcome, OutcomeStatus, Progress, Timings
from workers.parents import watch_parents
from workers.spares import Spares
from workers.supervisor import run_trial
from workers.tokens import TrainingTokens
from workers.trial import Trial

FAULTS, HELD_SECONDS = 10, 60.0  # as many as pause a study of one slot; between two after those
LOOK_SECONDS = 1.0
EXAM_FILES = (VALIDATION, AUDIT) = ("validation.bin", "audit.bin")


@dataclass(frozen=True)
class Shipment:
    """A bundle in the object store. Small: the bytes travel only when `receive` asks for them.

    Ray resolves a bare ObjectRef among a task's arguments and copies it to the node in any case;
    one that stands inside an object, as here, stays a reference.
    """

    hash: str
    name: str
    ref: Any  # ObjectRef of the Bundle; Ray's types are not generic here


def ship(bundle: Bundle) -> Shipment:
    """Put a bundle into the object store; the calling process owns it and must outlive trials."""
    return Shipment(bundle.hash, bundle.name, ray.put(bundle))


def split_data(folder: Path) -> tuple[Bundle, Bundle]:
    """The packed data as two bundles: what is trained on, and the exam (validation and audit).

    The first is kept on each node's disk, the second never. Raises BundleError or OSError.
    """
    data = pack(folder, name="data", exclude=EXAM_FILES)
    exam = pack(folder, name="exam", exclude=tuple(name for name, _ in data.files))
    return data, exam


def receive(shipment: Shipment, cache: Cache) -> Path:
    """The bundle's folder on this node, fetched if it is not in the cache or is damaged there.

    Raises BundleError, OSError or RayError if it can't be had.
    """
    if found := cache.find(shipment.hash, shipment.name):
        return found
    return cache.unpack(_fetch(shipment))


def receive_exam(shipment: Shipment, *, audit: bool = False) -> bytes:
    """The validation tokens, from the object store into memory and nowhere else.

    With `audit`, the audit tokens follow them. Raises BundleError if they can't be had.
    """
    try:
        bundle = _fetch(shipment)
    except RayError as error:
        raise BundleError(f"the exam can't be fetched: {error}") from error
    if content_hash(bundle.files) != bundle.hash:
        raise BundleError(f"the bundle {bundle.name!r} does not match its hash")
    found, wanted = dict(bundle.files), EXAM_FILES if audit else (VALIDATION,)
    if missing := [name for name in wanted if name not in found]:
        raise BundleError(f"the bundle {bundle.name!r} holds no {missing[0]}")
    return b"".join(found[name] for name in wanted)


def _fetch(shipment: Shipment) -> Bundle:
    bundle: Bundle = ray.get(shipment.ref)
    if (bundle.hash, bundle.name) != (shipment.hash, shipment.name):
        raise BundleError(f"another bundle came in the place of {shipment.name!r}")
    return bundle


@functools.cache
def _cache() -> Cache:
    """One a process: Ray runs many trials in one, and the cache knows what it has checked."""
    return Cache(cache_folder())


@functools.cache
def _orphaned() -> Callable[[], str]:
    """One watch a process, for all of its trials."""
    return watch_parents(ray.get_runtime_context().gcs_address)


@functools.cache
def _lasting() -> Lasting:
    """One a process: the next trial of its slot runs in the same."""
    return Lasting(Spares(_orphaned()), CompileStore(_cache().root), TrainingTokens())


@dataclass
class _Faults:
    """Trials in a row that this worker lost through its node's fault: each takes seconds only.

    A node without its GPU must not take one trial after the other from those that have theirs.
    """

    in_row: int = 0

    def note(self, outcome: Outcome, orphaned: Callable[[], str]) -> None:
        """Count, and hold the slot for a while where there were many."""
        self.in_row = self.in_row + 1 if outcome.node_fault else 0
        end = time.monotonic() + (HELD_SECONDS if self.in_row > FAULTS else 0.0)
        while time.monotonic() < end and not orphaned():
            time.sleep(LOOK_SECONDS)


@functools.cache
def _faults() -> _Faults:
    """One a process: the next trial of its slot runs in the same."""
    return _Faults()


def _lasting_for(trial: Trial) -> Lasting:
    """What of it this trial may use."""
    lasting = _lasting()
    return replace(
        lasting,
        spares=lasting.spares if trial.prestart else None,
        compiled=lasting.compiled if trial.compile_cache else None,
    )


def _run(
    trial: Trial, task: Shipment, data: Shipment | None, exam: Shipment | None, sink: Any
) -> Outcome:
    """Fetch what is missing here and run the trial; the fetching counts as startup."""
    started_at, started = time.time(), time.monotonic()
    try:
        task_folder = receive(task, _cache())
        data_folder = None if data is None else receive(data, _cache())
    except (BundleError, OSError, RayError) as error:
        return Outcome(
            trial=trial.id,
            status=OutcomeStatus.LOST,
            reason=f"the task or the data did not arrive: {error}",
            timings=Timings(startup=time.monotonic() - started),
            started_at=started_at,
            finished_at=time.time(),
        )
    fetched = time.monotonic() - started
    orphaned = _orphaned()

    def report(progress: Progress) -> None:
        if sink is not None:
            sink.progress.remote(progress)

    if data_folder is None or exam is None:  # a repository of one's own
        outcome = run_command(
            trial, repository=task_folder, cache=_cache().root, report=report, orphaned=orphaned
        )
    else:
        outcome = run_trial(
            trial,
            task=task_folder.parent,
            data=data_folder,
            exam=functools.partial(receive_exam, exam, audit=trial.audit is not None),
            report=report,
            orphaned=orphaned,
            lasting=_lasting_for(trial),
        )
    _faults().note(outcome, orphaned)
    if orphaned():
        # The trial is gone, and nobody takes its outcome. Ray's own exit would wait for its dead.
        os._exit(1)
    timings = replace(outcome.timings, startup=outcome.timings.startup + fetched)
    return replace(outcome, timings=timings, started_at=started_at)


# max_calls=0 keeps the worker for the next trial (Ray throws GPU workers away, at 0.5 s a call);
# max_retries=0: a second try is the scheduler's decision.
run_on_ray = ray.remote(max_retries=0, max_calls=0, num_cpus=0)(_run)


def submit(
    trial: Trial, task: Shipment, data: Shipment | None, exam: Shipment | None, sink: Any = None
) -> Any:
    """Start the trial as soon as Ray has the resources that it claims; the Outcome's ObjectRef.

    `task` is the bundle of the folder `train_template`, under that name; `data` and `exam` are what
    `split_data` gives. For a trial with a command, `task` is the repository's, and they are None.
    `sink` is an actor handle with a method `progress(Progress)`, or None.
    """
    claims = trial.resources
    options = {"num_gpus": claims.gpus, "num_cpus": claims.cpus, "name": f"trial-{trial.id}"}
    if claims.accelerator:
        options["accelerator_type"] = claims.accelerator
    return run_on_ray.options(**options).remote(trial, task, data, exam, sink)

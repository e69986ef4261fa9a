"""One trial on this machine, without Ray: by the same worker code, from the same Materials.

In: a configuration, what its trials are made of, the edited files, a seed. Out: an Outcome. Used
where a person waits for one trial: an experiment run again, the baseline of a new repository.
"""

import os
from collections.abc import Callable, Mapping, Sequence

import psutil

from scheduler.errors import StudyError
from scheduler.session import Materials
from scheduler.study.config import Config
from workers import Outcome, OutcomeStatus, Progress, Trial
from workers.bundle import cache_folder, unpack
from workers.command_trial import run_command
from workers.remote import VALIDATION
from workers.supervisor import run_trial


def run_here(
    config: Config,
    materials: Materials,
    files: Mapping[str, str],
    *,
    experiment: int,
    number: int,
    seed: int,
    gpus: Sequence[str],
    report: Callable[[Progress], None],
) -> Outcome:
    """Run one trial, in this process's main thread. Raises StudyError where it can't run."""
    bundles = materials.bundles
    if config.workers.gpus_per_trial:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    trial = Trial(
        id=number,
        experiment=experiment,
        number=number,
        seed=seed,
        slot=0,
        files=files,
        task=bundles.task.hash,
        data=bundles.data.hash if bundles.data else "",
        budget=config.trial_budget(),
        # The only one here: it may have what several slots shared in the study.
        resources=config.trial_resources(psutil.virtual_memory().total, 1, os.cpu_count() or 1),
        settings=config.trial_settings(),
        sandbox=config.workers.sandbox,
        command=config.trial_command(may_change=materials.may_change),
        limits=config.task.limits(),
    )
    task, packed = unpack(bundles.task, cache_folder()), materials.packed
    if packed is None:
        outcome = run_command(trial, repository=task, cache=cache_folder(), report=report)
    else:
        outcome = run_trial(
            trial,
            task=task.parent,
            data=packed.folder,
            exam=(packed.folder / VALIDATION).read_bytes,
            report=report,
        )
    if outcome.status is OutcomeStatus.LOST:
        raise StudyError(f"the trial can't be run here: {outcome.reason}")
    return outcome

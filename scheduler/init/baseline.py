"""The baseline of a repository, run once on this machine: as a study runs it, without Ray.

In: the configuration, what its trials are made of. Out: an Outcome. Nothing is kept of the run but
what set-up made, which a study on this machine then finds ready.
"""

import os
import sys
from importlib.util import find_spec

from scheduler.gpus import choose_gpus
from scheduler.here import run_here
from scheduler.session import Materials
from scheduler.study.config import Config
from workers import Outcome

ALL_GPUS = 64


def run_baseline(config: Config, materials: Materials) -> Outcome:
    """Run it, from this process's main thread. Raises StudyError where set-up fails."""
    return run_here(
        config,
        materials,
        materials.baseline.files,
        experiment=0,
        number=1,
        seed=config.seed,
        gpus=choose_gpus(config.workers.gpus_per_trial, os.environ),
        report=lambda _: None,
    )


def count_gpus() -> int:
    """The GPUs of this machine that a trial may have."""
    return len(choose_gpus(ALL_GPUS, os.environ))


def is_here(package: str) -> bool:
    """Whether this Python, with which trials run by default, can import a package."""
    if package in sys.modules:
        return True
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False

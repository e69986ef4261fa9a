"""What one study needs: its task, data, devices, memory and sandbox, beside what there is."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from scheduler.doctor.devices import Devices
from scheduler.doctor.finding import Finding, missing, note, ok
from scheduler.doctor.machine import disk
from scheduler.errors import SchedulerError
from scheduler.study.config import Config
from scheduler.study.data import baseline_files, task_folder
from workers.sandbox import Level, probe_level


def needs(config: Config, environ: Mapping[str, str], seen: Devices) -> Iterator[Finding]:
    """What is asked for by this configuration, one thing after the other."""
    yield _task(config)
    yield _data(config)
    yield _slots(config, environ, seen)
    if config.workers.sandbox == "strict" and (probed := probe_level())[0] is not Level.STRICT:
        yield missing("strict", f"workers.sandbox demands the strict one: {probed[1]}", probed[1])
    if config.study.path is not None:
        path = Path(config.study.path).expanduser().absolute()
        nearest = next(each for each in (path, *path.parents) if each.is_dir())
        yield disk("study", nearest, "choose a folder on a larger disk: study.path")


def _task(config: Config) -> Finding:
    try:
        folder = task_folder(config)
        files = baseline_files(config, folder)
    except (SchedulerError, OSError) as error:
        return missing("task", str(error), "see task.source, task.editable, task.constants")
    return ok("task", f"{folder}, edits {', '.join(files)}")


def _data(config: Config) -> Finding:
    """Whether the files are there. Anything else is looked at by who fetches it, at the start."""
    if config.data.source != "path":
        return ok("data", f"{config.data.source}; packed at the start, once for this machine")
    lacking, size = [], 0
    for pattern in config.data.paths:
        path = Path(pattern).expanduser()
        found = [path] if path.is_file() else list(Path(path.anchor or ".").glob(_relative(path)))
        size += sum(each.stat().st_size for each in found if os.access(each, os.R_OK))
        lacking += [] if found else [pattern]
    if lacking:
        where = f"(relative ones start in {Path.cwd()})"
        return missing("data", f"no file for {', '.join(lacking)}", f"see data.paths {where}")
    return ok("data", f"{size / 1e6:.3g} MB in data.paths")


def _relative(path: Path) -> str:
    return str(path.relative_to(path.anchor) if path.anchor else path)


def _slots(config: Config, environ: Mapping[str, str], seen: Devices) -> Finding:
    """How many trials fit on this machine at a time."""
    workers = config.workers
    claims = [f"{workers.gpus_per_trial:g} GPU"] if workers.gpus_per_trial else []
    claims += [f"{workers.cpus_per_trial:g} CPU"] if workers.cpus_per_trial else []
    claim = " and ".join(claims)
    if environ.get("RAY_ADDRESS"):
        return note("slots", f"a trial claims {claim} of the cluster; its nodes say how many fit")
    limits = []
    if workers.gpus_per_trial:
        limits.append(len(seen.gpus) / workers.gpus_per_trial)
    if workers.cpus_per_trial:
        limits.append((os.cpu_count() or 1) / workers.cpus_per_trial)
    fits = int(min(limits))
    if workers.slots != "auto":
        fits = min(fits, workers.slots)
    if fits < 1:
        advice = "set workers.gpus_per_trial and cpus_per_trial, or run with: --config local"
        return missing("slots", f"a trial claims {claim}, and this machine has not that", advice)
    words = f"{fits} at a time: a trial claims {claim}"
    memory = workers.memory_gb
    if isinstance(memory, float) and fits * memory * 1e9 > psutil.virtual_memory().total:
        advice = "set workers.memory_gb or workers.slots lower"
        return note(
            "slots", f"{words}, and {memory:g} GB of memory each: more than there is", advice
        )
    return ok("slots", words)

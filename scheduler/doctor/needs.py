"""What one study needs: its task, data, devices, memory and sandbox, beside what there is."""

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psutil

from scheduler.doctor.devices import Devices
from scheduler.doctor.finding import Finding, missing, note, ok
from scheduler.doctor.machine import disk
from scheduler.errors import SchedulerError
from scheduler.study.config import Config
from scheduler.study.data import baseline_files, task_folder
from scheduler.study.data_section import DataSection
from scheduler.study.git_source import has_commit, named
from scheduler.study.patterns import as_written
from scheduler.study.repository import read_repository, source_folder
from scheduler.study.task_section import TaskSection
from workers.cuda import gpus_here
from workers.launch import best_level
from workers.sandbox import Level

ANSWER_SECONDS = 10.0  # for a hub or a git server
BUILT_IN = frozenset(
    {
        *(".", ":", "alias", "cd", "eval", "exec", "exit", "export", "for", "if", "set", "source"),
        *("test", "time", "trap", "ulimit", "umask", "unset", "until", "while"),
    }
)
"""Words with which a line may begin that a shell knows by itself."""


def needs(config: Config, environ: Mapping[str, str], seen: Devices) -> Iterator[Finding]:
    """What is asked for by this configuration, one thing after the other."""
    yield _task(config)
    if config.task.command is not None:
        yield from _around(config.task, environ)
    yield _data(config, environ)
    yield _slots(config, environ, seen)
    if config.workers.sandbox == "strict":
        try:
            best, why = best_level(gpus_here() if config.workers.gpus_per_trial else ())
        except OSError as error:
            best, why = Level.BASIC, str(error)
        if best is not Level.STRICT:
            yield missing("strict", f"workers.sandbox demands the strict one: {why}", why)
    if config.study.path is not None:
        path = Path(config.study.path).expanduser().absolute()
        nearest = next(each for each in (path, *path.parents) if each.is_dir())
        yield disk("study", nearest, "choose a folder on a larger disk: study.path")


def _task(config: Config) -> Finding:
    if config.task.command is not None:
        return _repository(config.task)
    try:
        folder = task_folder(config)
        files = baseline_files(config, folder)
    except (SchedulerError, OSError) as error:
        return missing("task", str(error), "see task.source, task.editable, task.constants")
    return ok("task", f"{folder}, edits {', '.join(files)}")


def _repository(task: TaskSection) -> Finding:
    """A folder is read as a study would; an address is asked whether it has the revision."""
    try:
        if task.is_url:
            return _address(task.source, task.commit or task.revision or "HEAD")
        folder, _ = source_folder(task, Path())
        found = read_repository(task, folder)
    except (SchedulerError, OSError) as error:
        return missing("task", str(error), "see task.source, task.editable, task.revision")
    return ok("task", f"{task.source}, edits {', '.join(sorted(found.files)[:5])}")


def _address(address: str, revision: str) -> Finding:
    """A repository that is cloned at the start."""
    commit = named(address, revision, ANSWER_SECONDS)
    if commit is None and not re.fullmatch(r"[0-9a-f]{4,63}", revision):
        advice = f"see task.revision, and: git ls-remote {shlex.quote(address)}"
        return missing("task", f"{address} has no tag or branch {revision}", advice)
    has = None
    if commit == revision:
        has = has_commit(address, commit, ANSWER_SECONDS)
    if has is False:
        return missing("task", f"{address} has no commit {revision}", "see task.revision")
    known = f"has {revision}" if has or commit not in (None, revision) else (
        f"answers, and says not whether it has {revision}"
    )  # fmt: skip
    return ok("task", f"{address} {known}; cloned at the start")


def _around(task: TaskSection, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What a trial needs beside the repository: its mounts, and the program that it begins with."""
    tell = note if environ.get("RAY_ADDRESS") else missing  # a cluster's nodes may well have it
    lacking = [m.host for m in task.mounted() if not Path(m.host).expanduser().exists()]
    if lacking:
        words = f"there is no {', '.join(lacking)} here"
        yield tell("mounts", words, "make it, or take it out of task.mounts")
    elif task.mounts:
        yield ok("mounts", ", ".join(task.mounts))
    word = _first_word(task)
    if task.setup is not None or task.is_url or word is None:
        return  # a set-up may install it, and an address is not here yet
    there = Path(task.source).expanduser() / word if "/" in word else shutil.which(word)
    if there is None or not Path(there).is_file():
        words = f"{word}, with which task.command begins, is not here"
        yield tell(
            "command", words, "install it, give its path, or use {python}; or set task.setup"
        )
    elif not os.access(there, os.X_OK):
        words = f"{word}, with which task.command begins, can't be executed"
        yield tell("command", words, f"chmod +x {there}, or begin with sh or {{python}}")
    else:
        yield ok("command", str(there))


def _first_word(task: TaskSection) -> str | None:
    """The program that the command begins with; None where a shell or a placeholder says it."""
    command = task.command or ""
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError:
        return None
    first = words[0] if words else ""
    plain = re.fullmatch(r"[\w./+-]+", first) is not None
    return first if plain and first not in BUILT_IN else None


def _hub(data: DataSection, environ: Mapping[str, str]) -> Finding:
    """Whether the hub gives the file that is withheld; what is in the cache needs no hub."""
    endpoint = environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    file = f"{endpoint}/datasets/{data.dataset}/resolve/{data.revision}/{data.validation_file}"
    token = environ.get("HF_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    way_out = "only needed where it is not in the cache yet; or data.source=stdlib, or path"
    try:
        answer = httpx.head(file, headers=headers, timeout=ANSWER_SECONDS)
    except httpx.HTTPError as error:
        return note("data", f"{endpoint} does not answer: {error or type(error).__name__}", way_out)
    if answer.is_error:
        return note("data", f"{endpoint} answers {answer.status_code} for {file}", way_out)
    return ok("data", f"{data.dataset} at {endpoint}; fetched and packed at the start, once")


def _data(config: Config, environ: Mapping[str, str]) -> Finding:
    """Whether the files are there, and the hub answers."""
    if config.task.command is not None:
        return ok("data", "the task's own")
    if config.data.source == "hf":
        return _hub(config.data, environ)
    if config.data.source != "path":
        return ok("data", f"{config.data.source}; packed at the start, once for this machine")
    lacking, size = [], 0
    for pattern in config.data.paths:
        path = Path(pattern).expanduser()
        found = [path] if path.is_file() else list(Path(path.anchor or ".").glob(_relative(path)))
        size += sum(each.stat().st_size for each in found if os.access(each, os.R_OK))
        lacking += [] if found else [as_written(pattern)]
    if lacking:
        where = f"(relative ones start in {Path.cwd()})"
        return missing("data", f"no file for {', '.join(lacking)}", f"see data.paths {where}")
    return ok("data", f"{size / 1e6:.3g} MB in data.paths")


def _relative(path: Path) -> str:
    return str(path.relative_to(path.anchor) if path.anchor else path)


def _slots(config: Config, environ: Mapping[str, str], seen: Devices) -> Finding:
    """How many trials fit on this machine at a time."""
    workers, cores = config.workers, os.cpu_count() or 1
    by_gpus = int(len(seen.gpus) / workers.gpus_per_trial) if workers.gpus_per_trial else cores
    each = config.trial_resources(0, by_gpus, cores).cpus
    claims = [f"{workers.gpus_per_trial:g} GPU"] if workers.gpus_per_trial else []
    claims += [f"{each:g} CPU"] if each else []
    claim = " and ".join(claims)
    if environ.get("RAY_ADDRESS"):
        return note("slots", f"a trial claims {claim} of the cluster; its nodes say how many fit")
    fits = min(by_gpus, int(cores / each)) if each else by_gpus
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

"""A task's set-up: run once on each node, kept by what it was made of, shown to every trial.

In: the command, the repository's fixed files. Out: the folder in which it ran and what it added
there, such as `.deps` or `.venv`. It runs as trials do (the same sandbox, with the network where
that is allowed), under the same path as they, and never sees a file that an agent may edit: an
edit could else reach the network, or what other trials import. What it made is read-only for them
at the strict level, and the others of the node wait while one runs it. It sees no GPU, whoever runs
it: what it makes would else depend on whether that is a trial or the start of a study.
"""

import hashlib
import json
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from workers.command import Mount, Setup, Values, fill, fill_line, used_placeholders
from workers.command_end import exit_words
from workers.command_program import CommandProgram, attend, mounted
from workers.errors import SetupError
from workers.launch import start
from workers.log import BoundedLog, last_error, sentence
from workers.sandbox import WORK, Level
from workers.scratch import remove
from workers.workspace import copy_tree, link

LOCK_POLL_SECONDS = 0.5  # so soon is a cancellation heard by who waits for another's set-up
SCRATCH_BYTES = 4 << 30  # of /tmp: wheels are unpacked there
DONE = "done.json"
SHARED_PARENT = ".cache"  # its folders are shown one by one, so that programs can add their own
NOT_SHOWN = frozenset({"__pycache__", ".cache/pip", ".cache/uv"})


@dataclass(frozen=True)
class Prepared:
    """What a set-up has left on this node."""

    folder: Path
    names: tuple[str, ...]  # of what it added: files and whole folders, relative

    def shown(self) -> tuple[tuple[str, str, bool], ...]:
        """For a sandbox: read-only, under the paths that they had when they were made."""
        return tuple((str(self.folder / name), f"{WORK}/{name}", False) for name in self.names)


def prepare(
    setup: Setup,
    repository: Path,
    content: str,
    *,
    cache: Path,
    level: Level,
    variables: Mapping[str, str],
    mounts: Sequence[Mount] = (),
    cpus: float = 1.0,
    turn: Callable[[], None] = lambda: None,
) -> Prepared:
    """What the set-up has made, run now if this node has not done so with the same files.

    `content` is the hash of the fixed files; `turn` is called all the while and may raise. Raises
    SetupError with the line that proves it, and OSError.
    """
    key = _key(setup, content, level, variables, mounts)
    place = cache / "setup" / key
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place.with_suffix(".lock"))
    while True:
        turn()
        try:
            lock.acquire(timeout=LOCK_POLL_SECONDS)
            break
        except Timeout:
            continue
    try:
        done = place / DONE
        if done.is_file():
            return Prepared(place / "repository", tuple(json.loads(done.read_text("utf-8"))))
        remove(place)
        place.mkdir()
        folder = place / "repository"
        copy_tree(repository, folder)
        fixed = _files(folder)
        program = CommandProgram(
            name="setup",
            job={},
            task=folder,
            environment=os.environ,
            words=fill_line(setup.argv, Values()),
            variables=variables,
            folder=folder,
            network=setup.network,
            mounts=mounted(mounts, level, lambda name, host: link(folder / name, host)),
            cpus=cpus,
            scratch_bytes=SCRATCH_BYTES,
        )
        _run(program, level, setup.seconds, place / "setup.log", turn)
        names = _added(folder, fixed)
        done.write_text(json.dumps(names), "utf-8")
        return Prepared(folder, names)
    finally:
        lock.release()


def setup_variables(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The task's own variables; those with a trial's values in them are not for set-up."""
    return {
        name: fill(value, Values())
        for name, value in environment.items()
        if used_placeholders([value]) <= {"python"}
    }


def _run(
    program: CommandProgram, level: Level, seconds: float, log_file: Path, turn: Callable[[], None]
) -> None:
    log, limit = BoundedLog(), time.monotonic() + seconds

    def go_on(now: float) -> bool:
        turn()
        return now < limit

    with closing(start(program, level)) as process:
        ended = attend(process, log, go_on)
    text = log.text()
    log_file.write_text(text, "utf-8")
    where = f"task.setup failed on {socket.gethostname()}"
    last = last_error(text) or sentence(next(iter(log.tail(1).splitlines()), ""))
    said = f": {last}" if last else ", and it printed nothing"
    if not ended.by_itself:
        raise SetupError(f"{where}: it took longer than {seconds:g} s{said} (log: {log_file})")
    if ended.status != 0:
        code = "was killed" if ended.status is None else exit_words(ended.status)
        raise SetupError(f"{where}, {code}{said} (log: {log_file})")


def _key(
    setup: Setup, content: str, level: Level, variables: Mapping[str, str],
    mounts: Sequence[Mount],
) -> str:  # fmt: skip
    """Paths differ between the levels, and with them what is written into an environment."""
    parts = [
        content,
        setup.argv,
        setup.network,
        level,
        sorted(variables.items()),
        [astuple(m) for m in mounts],
    ]
    parts += [sys.version, sys.executable, platform.machine()]
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]


def _files(folder: Path) -> frozenset[str]:
    return frozenset(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )


def _added(folder: Path, fixed: frozenset[str]) -> tuple[str, ...]:
    """New files, and new folders as a whole where nothing of the repository lies in them."""
    old_folders = {parent for name in fixed for parent in _parents(name)} | {SHARED_PARENT}
    found: list[str] = []
    folders = [folder]
    while folders:
        for path in sorted(folders.pop().iterdir()):
            name = path.relative_to(folder).as_posix()
            if path.name in NOT_SHOWN or name in NOT_SHOWN or name in fixed:
                continue
            if path.is_dir() and not path.is_symlink() and name in old_folders:
                folders.append(path)
            elif not (path.is_symlink() and not path.exists()):
                found.append(name)
    return tuple(sorted(found))


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]

"""From what the person typed after `run` to a study that can be started or resumed.

In: a study's name, a configuration, a program, overrides. Out: the folder, the configuration in
force and what the study holds already. Everything that can be wrong is looked at here, and raises
UsageError; nothing is written before `Opening.write`.
"""

import os
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from scheduler.errors import NothingYet, UsageError
from scheduler.job import check_lasts, submission_id
from scheduler.researcher import check_models
from scheduler.rules.states import StopReason
from scheduler.study import task_words
from scheduler.study.bundled import default_program
from scheduler.study.config import Config
from scheduler.study.config_change import changed_keys, check_resumable
from scheduler.study.config_file import find_source, load_config
from scheduler.study.folder import StudyFolder
from scheduler.study.lock import StudyLock
from scheduler.study.names import resolve_study
from scheduler.study.reader import Reader
from scheduler.study.records import InstructionRecord, Study
from scheduler.study.room import full, is_full

JOB_PROGRAM = Path("program.md")
LOCK_SECONDS = 6.0  # Ray ends the results actor of a killed driver after two or three


@dataclass(frozen=True)
class Opening:
    """A study that is about to be run."""

    folder: StudyFolder
    shown: str  # the folder as a person would type it
    config: Config
    program: str | None  # None: the study keeps the one that it has
    before: Study | None  # what a study that is resumed holds; None: it is new
    changed: bool  # whether a resumed study's configuration is to be replaced

    def write(self) -> None:
        """Make the study's folder, or note what has changed in it. Raises UsageError, StudyFull."""
        if not self.folder.exists:
            self.folder.create(self.config, self.program or "")
            return
        if self.changed:
            self.folder.save_config(self.config)
        if self.program is not None:
            self.folder.save_program(self.program)

    def at(self, commit: str | None) -> "Opening":
        """The same, of a task whose revision stands for this commit: the study keeps it."""
        if commit == self.config.task.commit:
            return self
        return replace(self, config=_at(self.config, commit), changed=True)

    def directions(self) -> str:
        """The research directions in force."""
        return self.folder.read_program() if self.program is None else self.program

    def open_instructions(self) -> list[InstructionRecord]:
        """What people ask for now, by urgency. A view's question: what goes wrong is no matter."""
        with suppress(UsageError, sqlite3.Error), Reader(self.folder.database) as reader:
            return reader.instructions(open_only=True)
        return []


def open_study(
    study: str | None, source: str | None, program: Path | None, overrides: Sequence[str]
) -> Opening:
    """Look everything up and check it. Raises UsageError, StudyInUse, StudyFull."""
    if program is None and submission_id(os.environ) and JOB_PROGRAM.is_file():
        program = JOB_PROGRAM  # submitted with the job: it may have been edited since the last one
    directions = None if program is None else _read(program)
    folder = StudyFolder(_find(study, source, overrides))
    check_lasts(folder.path)
    if folder.exists:
        return _resume(folder, source, directions, overrides)
    config = load_config(source, overrides, os.environ)
    check_models(config)
    _check_place(folder.path)
    return Opening(
        folder=folder,
        shown=_shown(folder.path),
        config=config,
        program=_default_directions(config) if directions is None else directions,
        before=None,
        changed=False,
    )


def _default_directions(config: Config) -> str:
    if config.task.command is not None:
        return task_words.directions(config)
    return default_program().read_text("utf-8")


def _find(study: str | None, source: str | None, overrides: Sequence[str]) -> Path:
    """Where the study lies; without a name, where the configuration says."""
    if study is not None:
        return resolve_study(study)
    config = load_config(source, overrides, os.environ)
    return resolve_study(None, config, find_source(source, os.environ).name)


def _resume(
    folder: StudyFolder, source: str | None, directions: str | None, overrides: Sequence[str]
) -> Opening:
    old = folder.load_config()
    config = load_config(source, overrides, os.environ, base=old)
    check_models(config)
    if directions is None:
        try:
            folder.program.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{folder.program}: the study's research directions can't be read ({error}); "
                "put them back with: --program FILE"
            ) from error
    lock = StudyLock(folder)
    lock.acquire(timeout=LOCK_SECONDS)  # raises StudyInUse; the results actor takes it for good
    try:
        before = None
        if folder.database.exists():
            with suppress(NothingYet), Reader(folder.database) as reader:
                before = reader.study()
    finally:
        lock.release()
    if before is not None and before.reason is not StopReason.BASELINE_FAILED:
        check_resumable(old, config)  # else there are no figures that would not compare
    elif config.task.commit == old.task.commit:
        config = _at(config, None)  # a branch may lead to what was mended
    return Opening(
        folder=folder,
        shown=_shown(folder.path),
        config=config,
        program=directions,
        before=before,
        changed=bool(changed_keys(old, config)),
    )


def _at(config: Config, commit: str | None) -> Config:
    task = config.task.model_copy(update={"commit": commit})
    return config.model_copy(update={"task": task})


def _check_place(path: Path) -> None:
    """Refuse a place where no folder can be made, before minutes are spent on data and Ray."""
    if path.is_dir() and any(path.iterdir()):
        first = sorted(each.name for each in path.iterdir())[0]
        raise UsageError(
            f"{path}: holds files ({first}, ...) but no study; "
            "choose an empty folder or another name"
        )
    nearest = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not nearest.is_dir():
        raise UsageError(f"{path}: {nearest} is a file, not a folder; choose another name")
    try:
        with tempfile.TemporaryDirectory(dir=nearest):  # permissions alone don't say it all
            return
    except OSError as error:
        if is_full(error):
            raise full(path, error) from error
        raise UsageError(
            f"{path}: {nearest} can't be written to ({error.strerror}); choose a folder of yours "
            "with: autoresearch run FOLDER"
        ) from error


def _read(program: Path) -> str:
    try:
        return program.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "not UTF-8 text" if isinstance(error, ValueError) else error.strerror
        raise UsageError(f"--program {program}: {reason}") from error


def _shown(path: Path) -> str:
    """The folder as a person would type it here."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)

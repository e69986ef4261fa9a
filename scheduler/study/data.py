"""Data and baseline: what a study takes from its task's folder before the first trial.

In: the config, a cache folder and the task's folder. Out: the packed data (a folder, its hash,
tokens of each split) and the baseline's editable files. The packing runs as a process of the
task's own code, because the scheduler never imports a task; shipping to nodes happens elsewhere.
"""

import difflib
import glob
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import SourceError
from agent.source import constants_of, edit_constants, read_constants
from scheduler.errors import StudyError, UsageError
from scheduler.study.bundled import BUNDLED_TASK, bundled_task
from scheduler.study.config import Config
from scheduler.study.sections import DataSection


@dataclass(frozen=True)
class PackedData:
    """Data packed once and shipped by its hash."""

    folder: Path
    hash: str
    tokens: Mapping[str, int]  # split -> how many

    def can_audit(self, sequence_length: int) -> bool:
        """Whether the audit split holds a window to score, and one to draw the probes from."""
        return self.tokens.get("audit", 0) >= 2 * (sequence_length + 1)


def task_folder(config: Config) -> Path:
    """The folder of the study's task. Raises UsageError if it is none."""
    if config.task.source == "bundled":
        return bundled_task()
    folder = Path(config.task.source).expanduser().absolute()
    if not (folder / "prepare.py").is_file():
        raise UsageError(f"task.source: {folder} holds no prepare.py; name the folder of a task")
    if folder.name != BUNDLED_TASK:
        # Its files import each other under this name.
        raise UsageError(f"task.source: {folder} must be a folder with the name {BUNDLED_TASK}")
    return folder


def prepare_data(config: Config, cache: Path, task: Path) -> PackedData:
    """Pack the study's data below `cache`, or find it there; it takes seconds the first time.

    Raises UsageError for data that can't be used, with the task's own words, and StudyError if
    the packing itself fails.
    """
    command = [sys.executable, "-P", "-m", f"{BUNDLED_TASK}.prepare"]
    command += ["--out", str(cache.absolute()), "--spec", json.dumps(_specification(config.data))]
    environment = {**os.environ, "PYTHONPATH": str(task.absolute().parent)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode == 2:
        raise UsageError(_last_line(ended.stderr))
    if ended.returncode != 0:
        raise StudyError(
            f"packing the data failed with exit code {ended.returncode}: {_last_line(ended.stderr)}"
        )
    packed = _answer(ended.stdout)
    _check_validation(config.data, packed.tokens.get("validation", 0))
    return packed


def baseline_files(config: Config, task: Path) -> dict[str, str]:
    """The editable files of the task, with `task.constants` put in: relative path -> text.

    Raises UsageError that names the file or the constant that is missing.
    """
    files: dict[str, str] = {}
    for name in config.task.editable:
        try:
            files[name] = (task / name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = "not UTF-8 text" if isinstance(error, ValueError) else error.strerror
            raise UsageError(f"task.editable: {name} can't be read in {task} ({reason})") from error
    for name, text in files.items():
        try:
            if name.endswith(".py"):
                read_constants(text)
        except SourceError as error:
            raise UsageError(f"{task / name}: {error}") from error
    try:
        known = constants_of(files)
        for name in config.task.constants:
            if name not in known:
                raise UsageError(
                    f"task.constants.{name}: {_not_found(name, known, files)}. Constants that a "
                    "preset sets are dropped with: --set task.constants={}"
                )
        return {**files, **edit_constants(files, config.task.constants)}
    except SourceError as error:
        raise UsageError(f"task.editable, with task.constants: {error}") from error


def _specification(data: DataSection) -> dict[str, Any]:
    """What the task's prepare.py is told."""
    specification: dict[str, Any] = {"source": data.source, "tokenizer": data.tokenizer}
    if data.source == "path":
        paths = [str(Path.cwd() / Path(path).expanduser()) for path in data.paths]
        specification |= {"paths": paths, "root": _common_folder(paths)}
    return specification


def _common_folder(paths: Iterable[str]) -> str:
    """The folder that document names start from: the deepest above all files and globs.

    Documents are assigned to splits by their names, so it must not depend on the current folder.
    """
    folders = []
    for path in map(Path, paths):
        fixed = path
        while glob.has_magic(str(fixed)):
            fixed = fixed.parent
        folders.append(fixed.parent if fixed == path else fixed)
    return os.path.commonpath(folders)


def _answer(stdout: str) -> PackedData:
    """The last line of the packing's output, read."""
    try:
        answer = json.loads(_last_line(stdout))
        tokens = {str(split): int(count) for split, count in answer["tokens"].items()}
        return PackedData(Path(answer["folder"]), str(answer["hash"]), tokens)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StudyError(
            f"packing the data ended without saying where it lies: {_last_line(stdout)!r}"
        ) from error


def _check_validation(data: DataSection, tokens: int) -> None:
    """Refuse to score more tokens than there are: the metric would not be what the key says."""
    most = tokens - 1  # the last token is a target only
    if most < data.validation_tokens:
        what = f"set data.validation_tokens to at most {most} or use more text"
        if most < data.sequence_length:
            what = f"one window takes data.sequence_length={data.sequence_length}; use more text"
        raise UsageError(
            f"data.validation_tokens: {data.validation_tokens} are asked for, and the validation "
            f"split holds {tokens}; {what}"
        )


def _not_found(name: str, known: Mapping[str, object], files: Mapping[str, str]) -> str:
    where = next(iter(files)) if len(files) == 1 else f"exactly one of {', '.join(files)}"
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"no such constant at the top of {where}{hint}"


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""

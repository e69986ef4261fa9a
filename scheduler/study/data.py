"""Data and baseline: what a study takes from its task's folder before the first trial.

In: the config, a cache folder and the task's folder. Out: the packed data (a folder, its hash,
tokens of each split) and the baseline's editable files. The packing runs as a process of the
task's own code, because the scheduler never imports a task; shipping to nodes happens elsewhere.
"""

import difflib
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from agent.errors import SourceError
from agent.source import constants_of, edit_constants, read_constants
from scheduler.errors import StudyError, UsageError
from scheduler.study.bundled import BUNDLED_TASK, bundled_task
from scheduler.study.config import Config
from scheduler.study.data_section import DataSection
from scheduler.study.patterns import absolute_pattern, literal_folder

TOKENS = ("HF_TOKEN",)  # that a task's packing may need, and nobody else
PROGRESS = "data: "  # how lines of a task's packing begin that tell how far it is
SPARE_SHARE = 1 / 16  # of a split's windows are not scored: the referee's probes draw from them
LEAST_WITHHELD = 4_194_304  # tokens of each: 8 MB, so that smaller figures share one packing


@dataclass(frozen=True)
class PackedData:
    """Data packed once and shipped by its hash."""

    folder: Path
    hash: str
    tokens: Mapping[str, int]  # split -> how many

    def can_audit(self, sequence_length: int) -> bool:
        """Whether the audit split holds a window to score, and one to draw the probes from."""
        return windows_at_most(self.tokens.get("audit", 0), sequence_length) > 0


def windows_asked(validation_tokens: int, sequence_length: int) -> int:
    """How many windows of a sequence and a target `data.validation_tokens` are."""
    return validation_tokens // (sequence_length + 1)


def windows_at_most(tokens: int, sequence_length: int) -> int:
    """How many windows of a split of so many tokens the bundled task's referee can score.

    Both as train_template/probes.py has them, which nothing here may import.
    """
    there = tokens // (sequence_length + 1)
    return there - max(1, math.ceil(there * SPARE_SHARE))


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


def prepare_data(
    config: Config,
    cache: Path,
    task: Path,
    say: Callable[[str], None] = lambda _: None,
    variables: Mapping[str, str] = MappingProxyType({}),
) -> PackedData:
    """Pack the study's data below `cache`, or find it there.

    The first time that takes seconds, or minutes where it is downloaded; `say` is told how far it
    is. `variables` are for its environment alone: a token that this process does not keep.

    Raises UsageError for data that can't be used, with the task's own words, and StudyError if
    the packing itself fails.
    """
    command = [sys.executable, "-P", "-m", f"{BUNDLED_TASK}.prepare"]
    command += ["--out", str(cache.absolute()), "--spec", json.dumps(_specification(config.data))]
    environment = {**os.environ, **variables, "PYTHONPATH": str(task.absolute().parent)}
    code, stdout, last = _run(command, environment, say)
    if code == 2:
        raise UsageError(last)
    if code != 0:
        raise StudyError(f"packing the data failed with exit code {code}: {last}")
    packed = _answer(stdout)
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
    """What the task's prepare.py is told: only what the packed data depends on."""
    specification: dict[str, Any] = {"source": data.source, "tokenizer": data.tokenizer_kind}
    if data.source == "path":
        paths = [absolute_pattern(path, Path.cwd()) for path in data.paths]
        specification |= {"paths": paths, "root": _common_folder(paths)}
    if data.source == "hf":
        specification |= {
            "dataset": data.dataset,
            "revision": data.revision,
            "files": list(data.files),
            "validation_file": data.validation_file,
            # A shard holds far more than is ever scored, and travels to every node.
            "withheld_tokens": max(LEAST_WITHHELD, _with_spare(data.validation_tokens)),
        }
    if data.source != "stdlib":
        specification["text_column"] = data.text_column
    if data.tokenizer_kind == "bpe":
        specification["vocab_size"] = data.vocab_size
    if data.packing_kind != "windows":
        specification |= {"packing": data.packing_kind, "sequence_length": data.sequence_length}
    return specification


def _with_spare(tokens: int) -> int:
    """With a tenth more: see SPARE_SHARE."""
    return tokens + tokens // 10


def _common_folder(paths: Iterable[str]) -> str:
    """The folder that document names start from: the deepest above all files and globs.

    Documents are assigned to splits by their names, so it must not depend on the current folder.
    """
    return os.path.commonpath([literal_folder(path) for path in paths])


def _run(
    command: list[str], environment: Mapping[str, str], say: Callable[[str], None]
) -> tuple[int, str, str]:
    """Exit code, output and the last line of the errors; `say` gets each line of progress."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.PIPE, text=True, env=environment
        )
        last = ""
        with process:
            assert process.stderr is not None
            try:
                for line in filter(None, map(str.strip, process.stderr)):
                    last = line
                    if line.startswith(PROGRESS):
                        say(line)
            except BaseException:  # the person who waits for it has had enough
                process.terminate()
                raise
        output.seek(0)
        return process.returncode, output.read(), last


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
    length = data.sequence_length
    most = windows_at_most(tokens, length)
    if most < windows_asked(data.validation_tokens, length):
        what = f"set data.validation_tokens to at most {most * (length + 1)} or use more text"
        if most < 1:
            what = f"two windows take 2 x ({length} + 1), for data.sequence_length; use more text"
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

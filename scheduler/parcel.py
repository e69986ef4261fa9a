"""What travels with a job: a folder with this version of the code and the study's own files.

In: the configuration and where it was read from, the program. Out: a folder to submit. Only what
is needed is copied: never a study, an environment or a key. Relative paths keep their places, so
that nothing is rewritten; absolute ones are the head's own. The code runs as it is here, whether
or not the package is installed on the cluster; what it imports has to be there.
"""

import glob
import shutil
from pathlib import Path

from scheduler.errors import UsageError
from scheduler.study.bundled import PACKAGE, bundled_task, default_program, presets
from scheduler.study.config import Config
from scheduler.study.config_file import ConfigSource
from scheduler.study.repository_files import list_files
from scheduler.study.task_section import BUNDLED as BUNDLED_SOURCE

PACKAGES = ("agent", "scheduler", "workers")
BUNDLED = "scheduler/bundled"  # where an installed package has its presets: see bundled.py
PROGRAM = "program.md"  # at the top: the job takes it up, see cli/opening.py
LEFT_OUT = shutil.ignore_patterns(
    *("__pycache__", ".git", ".gitignore", ".venv", "venv", "studies", "*.egg-info"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".env"),
)
MOST_BYTES = 100_000_000
"""Of a parcel: the head keeps it in memory as long as the cluster lives. The code is about 1 MB."""


def pack_parcel(
    folder: Path, source: ConfigSource | None, program: Path | None, config: Config
) -> tuple[str, ...]:
    """Fill the empty folder; return the arguments of `run` that name the configuration in it.

    `config` is the configuration with relative paths that start in `folder`. Raises UsageError
    for what can't be read, what would leave the folder, and what is too large.
    """
    try:
        _copy_named(folder, config)
        _copy_code(folder)
        if program is not None:
            shutil.copyfile(program, folder / PROGRAM)
        if source is None or source.path == presets().get(source.name):
            arguments = () if source is None else ("--config", source.name)
        else:
            shutil.copyfile(source.path, folder / source.path.name)
            arguments = ("--config", source.path.name)
    except OSError as error:
        raise UsageError(f"{error.filename}: can't be sent ({error.strerror})") from error
    _check_size(folder)
    return arguments


def size_of(folder: Path) -> int:
    """Bytes of all files in it."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _copy_code(folder: Path) -> None:
    """As in an installed package, where presets and default directions lie inside of it.

    At the top the default directions would be taken up by the job in place of the study's own.
    """
    for name in PACKAGES:
        shutil.copytree(PACKAGE.parent / name, folder / name, ignore=LEFT_OUT)
    if not (task := folder / bundled_task().name).exists():  # else: a task of the person's own
        shutil.copytree(bundled_task(), task, ignore=LEFT_OUT)
    (folder / BUNDLED / "configs").mkdir(parents=True, exist_ok=True)
    for preset in presets().values():
        shutil.copyfile(preset, folder / BUNDLED / "configs" / preset.name)
    shutil.copyfile(default_program(), folder / BUNDLED / PROGRAM)


def _copy_named(folder: Path, config: Config) -> None:
    """Copy the task and the data that the configuration names by relative paths."""
    if config.agent.key_file and Path(config.agent.key_file).is_relative_to(folder):
        raise UsageError(
            "agent.key_file: keys don't travel with a job, because the cluster shows it to all "
            "who may use it; give the absolute path of a file on the head"
        )
    named = [("data.paths", each) for each in config.data.paths]
    if config.task.source != BUNDLED_SOURCE and not config.task.is_url:
        named.append(("task.source", config.task.source))
    for key, name in named:
        # Patterns of data have the folder in front as glob takes it.
        start = glob.escape(str(folder)) if key == "data.paths" else folder
        if not Path(name).is_relative_to(start):
            continue  # absolute: on the head
        relative = Path(name).relative_to(start)
        if ".." in relative.parts:
            raise UsageError(
                f"{key}: {relative} leaves the current folder and can't be sent; submit from the "
                "folder above, or give an absolute path on the head"
            )
        found = [relative] if relative.exists() else sorted(Path().glob(str(relative)))
        if not found:
            raise UsageError(f"{key}: there is no {relative} here; an absolute path is the head's")
        for each in found:
            if key == "task.source" and config.task.command is not None:
                _copy_repository(each, folder / each)
            elif each.is_dir():
                shutil.copytree(each, folder / each, ignore=LEFT_OUT, dirs_exist_ok=True)
            else:
                (folder / each).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(each, folder / each)


def _copy_repository(source: Path, target: Path) -> None:
    """What of a repository of one's own would travel to the nodes travels with the job."""
    for name in list_files(source):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, target / name)


def _check_size(folder: Path) -> None:
    if (size := size_of(folder)) <= MOST_BYTES:
        return
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    raise UsageError(
        f"{size / 1e6:.0f} MB would be sent, and {MOST_BYTES / 1e6:.0f} MB is the limit (the "
        f"largest: {largest.relative_to(folder)}, {largest.stat().st_size / 1e6:.0f} MB); copy the "
        "data to the head and name it by its absolute path there"
    )

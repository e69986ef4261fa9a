"""One `init` from where the repository lies to the two files that are written.

In: what was found, what a person wishes. Out: an `Offer`: a draft that was checked as `run` checks
it, and how it is written down. Here files are written, and nowhere else in this room.
"""

import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scheduler.errors import StudyError, UsageError
from scheduler.init.baseline import count_gpus, is_here
from scheduler.init.draft import Draft, Found, Key, Place, Wishes
from scheduler.init.drafting import from_preset, make_draft
from scheduler.init.known import known_preset
from scheduler.init.snapshot import newest_revision
from scheduler.init.writing import config_text, program_text
from scheduler.session import Materials, gather_materials
from scheduler.study.atomic import replacing
from scheduler.study.bundled import presets
from scheduler.study.config import Config
from scheduler.study.config_file import load_config
from scheduler.study.repository import source_folder
from scheduler.study.task_section import (
    NO_SECRETS,
    URL,
    MetricSection,
    TaskSection,
    holds_secrets,
)
from scheduler.study.yaml_lines import parse
from workers.bundle import cache_folder

PROGRAM = "program.md"


def locate(repository: str, revision: str | None) -> tuple[Path, Place]:
    """The folder to look at, and what the configuration is to name. Raises UsageError."""
    gpus = count_gpus()
    if not URL.match(repository):
        if revision is not None:
            raise UsageError("--revision: only for the address of a git repository")
        folder = Path(repository).expanduser().absolute()
        return folder, Place(str(folder), gpus=gpus, has=is_here)
    if holds_secrets(repository):
        raise UsageError(f"the address {NO_SECRETS}")
    commit = revision or newest_revision(repository)
    task = TaskSection(
        source=repository,
        revision=commit,
        command="true",
        metric=MetricSection(name="metric", pattern="(.*)"),
    )
    folder, _ = source_folder(task, cache_folder())
    return folder, Place(repository, commit, revision is not None, gpus, is_here)


def output_folder(wanted: Path | None, folder: Path, name: str) -> Path:
    """Where the two files go; never into the repository by default: they would travel with it."""
    if wanted is not None:
        return wanted.expanduser()
    here = Path.cwd()
    base = folder.parent if here == folder or here.is_relative_to(folder) else Path()
    return base / f"{name}-research"


@dataclass
class Offer:
    """What is written for a repository."""

    name: str
    draft: Draft
    settled: bool = False  # the budget: by a person or by a preset

    def paths(self, target: Path) -> tuple[Path, Path]:
        """The configuration and the directions."""
        return target / f"{self.name}.yaml", target / PROGRAM

    def checked(self) -> tuple[Config, Materials]:
        """The configuration, read back, and what a trial takes along. Raises UsageError."""
        config = self._config()
        return config, gather_materials(config)

    def write(self, target: Path, config: Config, materials: Materials) -> None:
        """Write both files. Raises StudyError."""
        try:
            target.mkdir(parents=True, exist_ok=True)
            for path, text in self._texts(target, config, materials).items():
                _write(path, text)
        except OSError as error:
            raise StudyError(f"{target}: can't be written ({error.strerror})") from error

    def amend(
        self,
        target: Path,
        limit: tuple[Key, float],
        took: float,
        config: Config,
        materials: Materials,
    ) -> bool:
        """Set a limit that was measured, where the files are still as they were written.

        A budget that a person or a preset has set stays. Returns whether it was set.
        """
        key, seconds = limit
        before = self._texts(target, config, materials)
        untouched = [path for path, text in before.items() if _holds(path, text)]
        if self.paths(target)[0] not in untouched or (self.settled and key[0] == "budget"):
            return False
        why = f"the baseline took {took:.1f} s here: twice that and half a minute"
        self.draft = self.draft.having(key, seconds, why)
        after = self._texts(target, self._config(), materials)
        for path in untouched:
            _write(path, after[path])
        return True

    def start(self, target: Path, folder: Path | None = None) -> str:
        """The command that starts the study."""
        yaml, program = (shlex.quote(str(path)) for path in self.paths(target))
        here = Path.cwd()
        inside = folder is not None and (here == folder or here.is_relative_to(folder))
        study = shlex.quote(str(target / "study")) if inside else shlex.quote(self.name)
        return f"autoresearch run {study} --config {yaml} --program {program}"

    def summary(self) -> Iterator[str]:
        """What was taken, for a person."""
        draft = self.draft
        command = draft.value("task", "command")
        yield f"command {command if isinstance(command, str) else ' '.join(command)}"
        yield f"edited  {', '.join(draft.value('task', 'editable'))}"
        where = draft.value("task", "metric", "pattern") or draft.value("task", "metric", "file")
        if key := draft.value("task", "metric", "key"):
            where = f"{where}, key {key}"
        goal = draft.value("task", "metric", "goal") or "minimize"
        yield f"metric  {draft.value('task', 'metric', 'name')} ({goal}), read from {where}"
        enforced = ", then ended" if draft.value("task", "budget") == "enforced" else ""
        yield f"budget  {draft.value('budget', 'seconds'):g} s{enforced}"
        if setup := draft.value("task", "setup"):
            yield f"setup   {setup}"

    def _config(self) -> Config:
        """The configuration, read back. Raises UsageError."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / f"{self.name}.yaml"
            path.write_text(self._text("autoresearch run"), "utf-8")
            try:
                return load_config(path, [], {})
            except UsageError as error:
                words = re.sub(r"(?m)^\S*\.yaml:\d+: ", "", str(error))
                raise UsageError(words) from error

    def _texts(self, target: Path, config: Config, materials: Materials) -> dict[Path, str]:
        """What stands in the two files."""
        yaml, program = self.paths(target)
        fixed = [name for name, _ in materials.bundles.task.files]
        return {
            yaml: self._text(self.start(target)),
            program: program_text(config, title=self.name, fixed=fixed),
        }

    def _text(self, command: str) -> str:
        return config_text(self.draft, title=self.name, command=command)


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode()


def _write(path: Path, text: str) -> None:
    with replacing(path) as fresh:
        fresh.write_text(text, "utf-8")


def make_offer(found: Found, wishes: Wishes, place: Place, folder: Path) -> Offer:
    """The draft for a repository, by its preset where it is a known one. Raises UsageError."""
    source = place.source.rstrip("/").removesuffix(".git") if place.revision else str(folder)
    name = re.sub(r"[^\w.-]+", "-", re.split(r"[/:]", source)[-1]).strip("-.") or "repository"
    preset = known_preset(found.sources.snapshot)
    if preset is not None and wishes.by_preset and not wishes.changes_the_task:
        values = parse(presets()[preset].read_text("utf-8")).values
        return Offer(name, from_preset(preset, values, place, wishes), settled=True)
    return Offer(name, make_draft(found, wishes, place), settled=wishes.seconds is not None)

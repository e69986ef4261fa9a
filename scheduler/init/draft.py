"""The words of this room: what a person wishes, what was found, and the draft that comes of both.

In: nothing. Out: types, and `find`, which looks through the sources once. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scheduler.init.metrics import Metric, find_metrics
from scheduler.init.running import find_running
from scheduler.init.scripts import Script, rank_scripts
from scheduler.init.sources import Sources
from scheduler.init.usages import Usage, find_usages

SECONDS = 300.0  # five minutes: the default of a study
Key = tuple[str, ...]


@dataclass(frozen=True)
class Wishes:
    """What a person said; None where it is to be found."""

    script: str | None = None
    command: str | None = None
    editable: tuple[str, ...] = ()
    metric: str | None = None
    pattern: str | None = None
    file: str | None = None
    key: str | None = None
    goal: str | None = None
    seconds: float | None = None
    setup: str | None = None  # "": none
    network: bool | None = None
    gpus: float | None = None
    by_preset: bool = True  # where the repository is a known one

    @property
    def changes_the_task(self) -> bool:
        """Whether they say what a preset says otherwise."""
        return self.reading or any((self.script, self.command, self.editable, self.metric))

    @property
    def reading(self) -> bool:
        """Whether they say where the metric stands."""
        return self.pattern is not None or self.file is not None


@dataclass(frozen=True)
class Entry:
    """One key of the configuration."""

    path: Key
    value: Any
    why: str = ""


@dataclass(frozen=True)
class Found:
    """What there is to choose from."""

    sources: Sources
    usages: tuple[Usage, ...]
    scripts: tuple[Script, ...]

    def metrics(self, script: str | None) -> list[Metric]:
        """What a script reports; of all files where there is no script."""
        if script in self.sources.modules:
            assert script is not None
            return find_metrics(self.sources, script)
        return []

    def seconds(self, script: str | None) -> float | None:
        """The budget that a script has of its own, in seconds."""
        if script not in self.sources.modules:
            return None
        assert script is not None
        running = find_running(self.sources, self.usages, script, python="{python}")
        if running.told_seconds:
            return running.usual.value if running.usual else None
        return next((each.value for each in running.lengths if each.seconds and each.value), None)


@dataclass(frozen=True)
class Draft:
    """A configuration to be written, and what a person should know beside it."""

    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()
    preset: str = ""

    def value(self, *path: str) -> Any:
        """The value of a key; None where it is not set."""
        return next((e.value for e in self.entries if e.path == path), None)

    def values(self) -> dict[str, Any]:
        """All as nested sections, as a configuration file has them."""
        made: dict[str, Any] = {}
        for entry in self.entries:
            section = made
            for part in entry.path[:-1]:
                section = section.setdefault(part, {})
            section[entry.path[-1]] = entry.value
        return made

    def having(self, path: Key, value: Any, why: str) -> "Draft":
        """The same with one key set anew."""
        kept = tuple(e for e in self.entries if e.path != path)
        return Draft((*kept, Entry(path, value, why)), self.notes, self.preset)


@dataclass(frozen=True)
class Place:
    """Where the repository lies, and what this machine has."""

    source: str
    revision: str | None = None  # of a git address
    chosen: bool = False  # that revision by a person, who may have named a tag
    gpus: int = 0
    has: Callable[[str], bool] = field(default=lambda _: True)  # can this Python import it


def find(sources: Sources) -> Found:
    """Look for scripts and commands."""
    usages = tuple(find_usages(sources))
    return Found(sources, usages, tuple(rank_scripts(sources, usages)))

"""Reading a configuration: file, environment and flags become one checked Config.

In: the name of a preset or a file, `--set key=value` flags and the environment. Out: a Config,
or a ConfigError that names every problem at once, each with the key and where its value stands
(file and line, variable or flag). Later layers win over earlier ones:

    defaults, or the config of an existing study  <  file  <  AUTORESEARCH_...  <  --set

A variable's name is `AUTORESEARCH_` and the key in capitals, sections joined by two underscores:
`AUTORESEARCH_BUDGET__SECONDS=60`. An empty variable counts as not set.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from scheduler.errors import ConfigError
from scheduler.study.bundled import default_preset, presets
from scheduler.study.config import Config
from scheduler.study.config_words import (
    Problem,
    dotted,
    is_section,
    problems,
    takes_as_it_stands,
    unknown_key,
)
from scheduler.study.yaml_lines import KeyPath, parse, write

PREFIX = "AUTORESEARCH_"
NOT_KEYS = frozenset(
    f"{PREFIX}{name}" for name in ("CACHE", "TOKEN", "READ_TOKEN", "URL", "CONFIG")
)
WEBHOOK = f"{PREFIX}NOTIFY__WEBHOOK"
WHO_ASKS = re.compile(r"//[^/\s]*@")  # of an address: no message repeats it
FREE_NAMES: tuple[KeyPath, ...] = (("task", "constants"), ("task", "env"), ("task", "metrics"))
"""Below these keys names are a person's own, so that their capitals count."""

HEADER = """\
# The configuration of this study, as resolved: every key, with the value that is in force.
# To change one, stop the study and resume it with --set key=value, or edit this file.
# Keys that results depend on (seed, budget, task, data, keep.baseline_repeats) can't change:
# figures would no longer compare. Start another study for that.
"""


@dataclass(frozen=True)
class ConfigSource:
    """A file of configuration, and the name that a study takes from it."""

    name: str
    path: Path


@dataclass
class _Layer:
    """Values from one place or several, where each came from, and what is wrong with them."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def give(self, path: KeyPath, text: str, origin: str) -> None:
        """Put one value in, written as YAML; text where the key takes any text."""
        value: Any = text
        if not takes_as_it_stands(path, text) or text.strip() == "null":
            parsed = parse(text)
            if parsed.problems:
                self.problems.append(f"{origin}: {parsed.problems[0][2]}")
                return
            value = parsed.values
        for part in reversed(path):
            value = {part: value}
        _merge(self.values, value)
        self.origins[path] = origin

    def lay(self, above: "_Layer") -> None:
        """Put a layer over this one. Of the two measures of the budget, the later counts."""
        budget, ours = above.values.get("budget"), self.values.get("budget")
        if isinstance(budget, dict) and isinstance(ours, dict):
            for key, other in (("seconds", "steps"), ("steps", "seconds")):
                if budget.get(key) is not None:
                    ours.pop(other, None)
        _merge(self.values, above.values)
        self.origins.update(above.origins)
        self.problems += above.problems

    def cause(self, problem: Problem) -> str:
        """Where to mend a problem: at its key, or at the one that was given later and made it."""
        ours, other = self.origins.get(problem.path, ""), self.origins.get(problem.because, "")
        if other and (not ours or (_is_given(other) and not _is_given(ours))):
            return self.origin(problem.because)
        return self.origin(problem.path)

    def origin(self, path: KeyPath) -> str:
        """Where the value at `path`, or the nearest one around or below it, came from."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return f"{self.origins[path[:length]]}: "
        below = (origin for key, origin in self.origins.items() if key[: len(path)] == path)
        return next((f"{origin}: " for origin in below), "")


def find_source(source: str | Path | None, environ: Mapping[str, str]) -> ConfigSource:
    """The file that a name stands for: a preset's name or a path.

    None: what AUTORESEARCH_CONFIG names, else the preset that fits this machine. Raises
    ConfigError, naming the presets, where there is no such file.
    """
    wanted = str(source or environ.get(f"{PREFIX}CONFIG") or default_preset(environ))
    known = presets()
    if wanted in known:
        return ConfigSource(wanted, known[wanted])
    path = Path(wanted).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"{wanted}: no such configuration file, and no such preset; "
            f"the presets are {', '.join(known)}"
        )
    return ConfigSource(path.stem, path)


def load_config(
    source: str | Path | None,
    overrides: Sequence[str],
    environ: Mapping[str, str],
    base: Config | None = None,
    folder: Path | None = None,
) -> Config:
    """Read all layers and check the result.

    `source` as for `find_source`; `overrides` are the texts of `--set`. With `base`, the config of
    an existing study, only what is given is laid over it: without `source` no file is read.
    Relative paths of data and task are made absolute: they start in `folder`, by default the
    current one. Raises ConfigError with one line for each problem.
    """
    layers = _Layer() if base is None else _Layer(values=base.model_dump())
    if base is None or source is not None:
        layers.lay(_file(find_source(source, environ).path))
    layers.lay(_environment(environ))
    layers.lay(_flags(overrides))
    return _checked(layers, folder)


def read_config(path: Path) -> Config:
    """Read one file alone, such as a study's `config.yaml`. Raises ConfigError."""
    return _checked(_file(path))


def dump_config(config: Config) -> str:
    """The whole configuration as commented YAML, which loads again to an equal Config."""
    return HEADER + write(config.model_dump(mode="json"))


def _checked(layer: _Layer, folder: Path | None = None) -> Config:
    """The Config that the values give, or a ConfigError with every problem."""
    found = list(layer.problems)
    try:
        config = Config.model_validate(layer.values)
    except ValidationError as error:
        found += [f"{layer.cause(p)}{p.key}: {p.message}" for p in problems(error)]
    if found:
        raise ConfigError("\n".join(found))
    return config.anchored(folder or Path.cwd())


def _file(path: Path) -> _Layer:
    shown = _shown(path)
    try:
        parsed = parse(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{shown}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{shown}: not UTF-8 text") from error
    layer = _Layer(origins={key: f"{shown}:{line}" for key, line in parsed.lines.items()})
    for line, key, message in parsed.problems:
        layer.problems.append(f"{shown}:{line}: " + (f"{dotted(key)}: " if key else "") + message)
    if isinstance(parsed.values, dict):
        _merge(layer.values, parsed.values)
    elif parsed.values is not None:
        layer.problems.append(f"{shown}:1: must be a section with keys, such as budget:")
    return layer


def _environment(environ: Mapping[str, str]) -> _Layer:
    layer = _Layer()
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NOT_KEYS or not environ[name]:
            continue
        path = _path_of_variable(name)
        if path[0] in Config.model_fields:
            layer.give(path, environ[name], name)
        elif len(path) > 1:
            # Other programs may use the prefix; two underscores say that a key is meant.
            layer.problems.append(f"{name}: {dotted(path)}: {unknown_key(dotted(path))}")
    return layer


def _flags(overrides: Sequence[str]) -> _Layer:
    layer = _Layer()
    for override in overrides:
        key, equals, text = override.partition("=")
        path = tuple(key.strip().split("."))
        origin = "--set " + WHO_ASKS.sub("//...@", override)
        if equals and all(path):
            layer.give(path, text, origin)
        else:
            message = "must look like key=value, such as budget.seconds=60"
            layer.problems.append(f"{origin}: {message}")
    return layer


def _is_given(origin: str) -> bool:
    """Whether it is a flag or a variable, which were given for this run, and no file."""
    return origin.startswith(("--set ", PREFIX))


def _path_of_variable(name: str) -> KeyPath:
    parts = name.removeprefix(PREFIX).split("__")
    known = tuple(part.lower() for part in parts)
    for free in FREE_NAMES:
        if known[: len(free)] == free:
            return (*free, *parts[len(free) :])
    return known


def _merge(below: dict[str, Any], above: Mapping[str, Any], path: KeyPath = ()) -> None:
    """Lay `above` over `below` in place, section by section; anything else replaces."""
    for name, value in above.items():
        here = (*path, name)
        if value is None and is_section(here):
            continue  # a section whose keys are all commented out
        if isinstance(value, Mapping) and not value and here in FREE_NAMES:
            below[name] = {}  # `task.constants={}`: none, whatever a preset has
        elif isinstance(value, Mapping):
            inner = below.get(name)
            below[name] = inner if isinstance(inner, dict) else {}
            _merge(below[name], value, here)
        else:
            below[name] = value


def _shown(path: Path) -> str:
    """The path as a person would type it here."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else path)

"""A draft as the two files that a person gets: the configuration, and directions for the research.

In: a `Draft`. Out: YAML whose comments say why each value is what it is, with the keys alone that
differ from their defaults (the budget, the files and the metric, which a person was asked for,
stand in any case); and Markdown with places for the person's own words. Pure.
"""

import shlex
from collections.abc import Mapping
from typing import Any

from scheduler.init.draft import Draft, Entry, Key
from scheduler.study.config import Config
from scheduler.study.config_words import is_section
from scheduler.study.directions import MARK
from scheduler.study.yaml_lines import write

SECTIONS = ("budget", "task", "workers", "stop")
ASKED: frozenset[Key] = frozenset(
    {("budget", "seconds"), ("task", "editable"), ("task", "metric", "name")}
)


def config_text(draft: Draft, *, title: str, command: str) -> str:
    """The configuration as YAML."""
    lines = [f"# A study of {title}, as `autoresearch init` found it.", "#", f"#   {command}", "#"]
    if draft.preset:
        lines.append(f"# Known by its files: the values are those of the preset {draft.preset}.")
    lines.append("# All keys: docs/tasks.md. What is not here has its default.")
    kept = [entry for entry in draft.entries if _counts(entry)]
    names = [*SECTIONS, *dict.fromkeys(e.path[0] for e in kept if e.path[0] not in SECTIONS)]
    for name in names:
        if ours := [entry for entry in kept if entry.path[0] == name]:
            order = list(getattr(Config(), name).model_dump())  # as the keys are described
            ours.sort(key=lambda entry: order.index(entry.path[1]))
            lines += ["", f"{name}:", *_section(ours, 1)]
    return "\n".join(lines) + "\n"


def program_text(config: Config, *, title: str, fixed: list[str]) -> str:
    """Research directions for a repository, with its contract and places for a person's words."""
    metric, task = config.task.metric, config.task
    command = task.command if isinstance(task.command, str) else shlex.join(task.command or ())
    verb = "Lower" if metric.goal == "minimize" else "Raise"
    forbidden = "".join(f"- {line}\n" for line in _forbidden(fixed))
    return f"""\
# Research directions: {title}

{verb} **{metric.name}** within the budget of a trial ({config.budget_words()}).

<!-- {MARK}: what you want to know or to have. Which ideas should be tried first? What was tried
     before, and what came of it? What must not get worse? Everything in this file is read for each
     briefing, and may be changed while the study runs. Comments such as this one are left out:
     write below it, and delete it. -->

## What is here

<!-- {MARK}: two sentences on what this repository trains, on which data, and what for. -->

Files that may be edited: {", ".join(task.editable)}.

## How it is measured

The repository is copied, the edits are put in, and this runs in its top folder:

    {command}

{metric.name} is {_where(config)}.
The script itself says it, so it is self-reported: nobody else measures it, and whoever reads the
study is told so.

## What is forbidden

{forbidden}
<!-- {MARK}: anything else, such as packages, tricks or files that are out of bounds. -->

## How to work

- Prefer simple changes, and say why one should help more than the noise between seeds.
- One idea a change, so that what is measured can be told.
- Code that is smaller and no worse is a gain.
"""


def _where(config: Config) -> str:
    metric = config.task.metric
    if metric.key is not None:
        return f"read from the key {metric.key} of {metric.file}, which the run leaves"
    place = f"of {metric.file}" if metric.file is not None else "of the output"
    if metric.pattern is None:
        return f"all that stands in {metric.file}, which the run leaves"
    return f"what the last line {place} that matches `{metric.pattern}` says"


def _forbidden(fixed: list[str]) -> list[str]:
    named = [name for name in fixed if name.endswith(".py")][:12]
    measured = f" ({', '.join(named)})" if named else ""
    return [
        "Changing what is measured, on which data, or how it is reported.",
        f"Editing files that are not named above{measured}: such a trial is rejected.",
        "Training on data that the measurement uses, and values that are looked up from it.",
        "Training longer than the budget, whatever a constant says.",
    ]


def _counts(entry: Entry) -> bool:
    """Whether a key stands in the file: its value is not the default, or a person was asked."""
    return entry.path in ASKED or _default(entry.path) != entry.value


def _default(path: Key) -> Any:
    values: Any = Config().model_dump(mode="json")
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return None
        values = values[part]
    return values


def _section(entries: list[Entry], depth: int) -> list[str]:
    """The lines of a section; those of its own sections come where their first key does."""
    indent, lines = "  " * depth, []
    done: set[str] = set()
    for entry in entries:
        name = entry.path[depth]
        if len(entry.path) > depth + 1:
            if name in done:
                continue
            done.add(name)
            assert is_section(entry.path[: depth + 1])
            inner = [e for e in entries if len(e.path) > depth + 1 and e.path[depth] == name]
            lines += [f"{indent}{name}:", *_section(inner, depth + 1)]
            continue
        if entry.why:
            lines.append(f"{indent}# {' '.join(entry.why.split())}")
        lines += [f"{indent}{line}" for line in write({name: entry.value}).splitlines()]
    return lines

"""What of a repository is edited, what stays as it is, and what it needs installed.

In: the sources and the script. Out: names, and a set-up command. Measuring, data and tests are not
to be edited: an edit of them could win without being better. Pure.
"""

import re
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scheduler.init.metrics import Metric
from scheduler.init.sources import Sources
from scheduler.init.usages import Usage

MEASURES = re.compile(
    r"(^|.*[_/])(eval\w*|metrics?|scor\w+|tests?|conftest|prepare\w*|data\w*|tokeni[sz]\w*|"
    r"loaders?|download\w*|referee|bench\w*|judge|checks?|grad(er|ing)|setup|configurator|"
    r"report\w*|utils?|logging|logger|__init__|version)(_\w+)?\.py|(^|.*/)(tests?|data|datasets?|"
    r"eval\w*|metrics)/.*"
)
PREPARES = re.compile(r"(^|.*/)(prepare|download|get|fetch)(_\w+)?\.py")
_INSTALLER = "{python} -m pip install --quiet --target .deps"
UV = (
    "{python} -m venv .uv && .uv/bin/pip install --quiet uv && .uv/bin/uv sync --frozen "
    "--no-install-project"
)


@dataclass(frozen=True)
class Setup:
    """What is to be done on each node before the first trial."""

    command: str | None
    why: str
    python: str = "{python}"  # with which the command is to be run then
    paths: tuple[str, ...] = ()  # for PYTHONPATH


def editable_files(sources: Sources, script: str, metric: Metric | None) -> tuple[str, ...]:
    """The script and what it imports, without what measures; never empty.

    A script that only starts others and writes their figures down is left out: it is a measure too.
    """
    reached = [name for name in sources.reached(script) if name in sources.modules]
    chosen = [name for name in reached if name == script or not MEASURES.fullmatch(name)]
    reports = metric is not None and metric.where.rpartition(":")[0] == script
    others = [n for n in chosen if n != script and sources.modules[n].text.strip()]
    if reports and not sources.modules[script].trains and any(_acts(sources, n) for n in others):
        chosen = others
    return tuple(chosen)


def _acts(sources: Sources, name: str) -> bool:
    return sources.modules[name].trains


def protected_files(sources: Sources, script: str, editable: Sequence[str]) -> tuple[str, ...]:
    """What a person should know to be fixed: used by the script, and not edited."""
    return tuple(n for n in sources.reached(script) if n in sources.modules and n not in editable)


def find_setup(sources: Sources, missing: Sequence[str]) -> Setup:
    """How what is imported and not here comes to each node; nothing where all is here."""
    texts = sources.snapshot.texts
    if not missing:
        return Setup(None, "all that it imports is in this Python already")
    lacking = f"this Python lacks {', '.join(missing)}"
    if "uv.lock" in sources.snapshot.names and "pyproject.toml" in texts:
        return Setup(UV, f"{lacking}; the environment of uv.lock, in .venv", ".venv/bin/python")
    for name in sorted(texts):
        if re.fullmatch(r"requirements\.txt", name):
            return Setup(
                f"{_INSTALLER} -r {name}", f"{lacking}; what {name} names", paths=(".deps",)
            )
    if wanted := _dependencies(texts.get("pyproject.toml", "")):
        command = shlex.join(wanted)
        return Setup(
            f"{_INSTALLER} {command}",
            f"{lacking}; the dependencies in pyproject.toml",
            paths=(".deps",),
        )
    where = next((n for n in texts if n.startswith("environment.y")), None)
    told = (
        f"{where} is for conda, which a set-up has not: make that environment on each node and "
        "give its Python with --command"
        if where
        else "nothing says where it comes from: give --setup"
    )
    return Setup(None, f"{lacking}, and {told}")


def with_data(setup: Setup, usages: Sequence[Usage], command: str) -> Setup:
    """The same, with the preparation of data that the README names beside the training.

    Of several it is the one whose folder the command speaks of; where that does not decide, none.
    """
    named = [u for u in usages if PREPARES.fullmatch(u.script)]
    if len({u.script for u in named}) > 1:
        named = [u for u in named if (folder := _folder(u.script)) and folder in command]
    if len({u.script for u in named}) != 1:
        return setup
    usage = named[0]
    line = f"{setup.python} {shlex.join([usage.script, *usage.arguments])}"
    if setup.command is not None:
        line = f"{setup.command} && {line}"
    return replace(setup, command=line, why=f"{setup.why}; the data, as in {usage.where}")


def _folder(name: str) -> str:
    return name.rpartition("/")[0].rpartition("/")[2]


def _dependencies(text: str) -> list[str]:
    try:
        found = tomllib.loads(text).get("project", {}).get("dependencies", [])
    except (tomllib.TOMLDecodeError, AttributeError):
        return []
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []

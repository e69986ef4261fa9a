"""Which file of a repository is its training script.

In: the sources and the commands that the repository names. Out: candidates, the likeliest first,
each with the reasons in words. Pure.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.init.metrics import find_metrics
from scheduler.init.sources import Sources
from scheduler.init.usages import Usage

_NAMES = (
    (re.compile(r"train(er|ing)?"), 10),
    (re.compile(r"(pre)?train.*|.*_train|finetune.*|fit"), 7),
    (re.compile(r"main|__main__|run|cli|app"), 5),
    (re.compile(r"(run|main|experiment|solve|benchmark)[_0-9].*|experiment|model|solution"), 3),
)
_NOT = re.compile(
    r"(^|.*[_/])(test|tests|conftest|setup|prepare|download|sample|generate|predict|inference|"
    r"infer|plot|bench|eval|evaluate|export|convert|demo|serve|docs?|examples?|utils?|tools?)"
    r"([_/.].*|$)"
)
LISTED = 6  # offered to a person


@dataclass(frozen=True)
class Script:
    """A file that may be the training script."""

    name: str
    weight: float
    why: str


def rank_scripts(sources: Sources, usages: Sequence[Usage]) -> list[Script]:
    """The candidates, the likeliest first; empty where there is nothing that could be started."""
    found = [_weighed(sources, usages, name) for name in sources.modules]
    kept = [script for script in found if script.weight > 0]
    return sorted(kept, key=lambda s: (-s.weight, s.name.count("/"), s.name))[:LISTED]


def _weighed(sources: Sources, usages: Sequence[Usage], name: str) -> Script:
    module = sources.modules[name]
    stem = name.rpartition("/")[2].removesuffix(".py")
    reasons: list[str] = []
    weight = float(next((w for pattern, w in _NAMES if pattern.fullmatch(stem)), 0))
    if _NOT.fullmatch(name):
        weight -= 9
    if module.has_main:
        weight += 3
        reasons.append("has a main part")
    if (used := next((u for u in usages if u.script == name), None)) is not None:
        weight += 5
        reasons.append(f"is started in {used.where}")
    if not module.has_main and used is None and not module.said:
        weight -= 6  # a module of others
    if module.trains:
        weight += 2
    if metrics := find_metrics(sources, name):
        weight += 3
        reasons.append(f"reports {metrics[0].name}")
    weight -= name.count("/")
    return Script(name, weight, ", ".join(reasons) or "by its name")

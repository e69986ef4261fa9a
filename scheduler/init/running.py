"""The command that starts a script: how it is told its seed and its budget, and what it runs on.

In: the sources, the script, the commands that the repository names. Out: a `Running`. Pure.
"""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from scheduler.init.source import Module
from scheduler.init.sources import Sources
from scheduler.init.usages import Usage

_SEED = re.compile(r"(random|rng)?[_-]?seed", re.IGNORECASE)
_SECONDS = re.compile(
    r"((max|time|train\w*|total|wall|budget|run)[_-]?)*(seconds|secs?|time|budget|time[_-]?limit|"
    r"budget[_-]?seconds|wall[_-]?clock)(_?(budget|limit|s))?",
    re.IGNORECASE,
)
_MINUTES = re.compile(r"minutes|hours", re.IGNORECASE)
_LENGTH = re.compile(
    r"(num|max|n|total|most)?_?(train_?)?(iters?|iterations|steps|epochs?)(_?(num|total))?",
    re.IGNORECASE,
)
_CUDA = re.compile(r"cuda|nvidia|flash_attn|triton", re.IGNORECASE)
_CHOOSES = re.compile(r"is_available\(\)|mps|--device|else ['\"]cpu")
_DISTRIBUTED = re.compile(r"init_process_group|LOCAL_RANK|DistributedDataParallel|accelerate")


# Set by torchrun and by the supervisor.
_GIVEN = ("RANK", "LOCAL_", "WORLD_", "MASTER_", "CUDA", "HOME", "PATH")


@dataclass(frozen=True)
class Length:
    """A constant or an option that says how long a training is."""

    name: str
    value: float | None
    where: str
    seconds: bool  # of time; else steps or epochs


@dataclass(frozen=True)
class Running:
    """How a script is started."""

    command: str
    why: str
    env: dict[str, str] = field(default_factory=dict)
    told_seed: bool = False
    told_seconds: bool = False
    lengths: tuple[Length, ...] = ()
    wants_gpu: bool = False  # uses one where there is one
    needs_gpu: bool = False  # and can't do without
    distributed: bool = False
    from_top: bool = False  # lies in a folder, and imports what lies above it
    unknown: tuple[str, ...] = ()  # what it must be given and nobody knows


def find_running(
    sources: Sources, usages: Sequence[Usage], script: str, *, python: str, gpus: int = 1
) -> Running:
    """The command for a script of the repository, with placeholders for what a trial decides."""
    module = sources.modules[script]
    named = [u for u in usages if u.script == script]
    usage = next((u for u in named if not u.distributed), None) or next(iter(named), None)
    distributed = bool(_DISTRIBUTED.search(module.text))
    words, why = _start(module, usage, python, gpus if distributed else 1)
    given = list(usage.arguments) if usage else []
    extra, unknown = _arguments(module, given)
    env, missing = _environment(module)
    words += [*given, *extra]
    text = " ".join(w if re.search(r"\{\w+\}", w) else shlex.quote(w) for w in words)
    told = [text, *env.values()]
    files = [sources.modules[n] for n in sources.reached(script) if n in sources.modules]
    cuda = any(_CUDA.search(each.text) for each in files)
    return Running(
        text,
        why,
        env,
        told_seed=any("{seed}" in each for each in told),
        told_seconds=any("{seconds}" in each for each in told),
        lengths=tuple(length for each in files for length in _lengths(each)),
        wants_gpu=cuda,
        needs_gpu=cuda and not any(_CHOOSES.search(each.text) for each in files),
        distributed=distributed,
        from_top=words[1:2] == [script] and _looks_above(sources, script),
        unknown=(*unknown, *missing),
    )


def _looks_above(sources: Sources, script: str) -> bool:
    """Whether a script imports files that Python, which looks beside the script, does not find."""
    folder = script.rpartition("/")[0]
    others = [n for n in sources.reached(script) if not n.startswith(f"{folder}/")]
    return bool(folder) and any(not name.startswith("src/") for name in others)


def _start(module: Module, usage: Usage | None, python: str, gpus: int) -> tuple[list[str], str]:
    path = module.name
    relative = any(level for _, level in module.imports)
    as_module = (usage is not None and usage.module) or relative or path.endswith("__main__.py")
    why = f"as in {usage.where}" if usage else "as scripts are started"
    launched = ["-m", _dotted(path)] if as_module else [path]
    if usage is not None and usage.entry.isidentifier() and not module.has_main:
        # Started as a module it would only define what the entry point calls.
        call = f"from {_dotted(path)} import {usage.entry}; {usage.entry}()"
        return [python, "-c", call], f"the entry point in {usage.where}"
    if gpus > 1:
        torchrun = [python, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        return [*torchrun, "{gpus}", *launched], "on several GPUs, one process for each"
    return [python, *launched], why


def _dotted(path: str) -> str:
    name = path.removeprefix("src/").removesuffix(".py").removesuffix("/__main__")
    return name.replace("/", ".")


def _placeholder(name: str) -> str | None:
    plain = name.lstrip("-").replace("-", "_")
    if _SEED.fullmatch(plain):
        return "{seed}"
    if _SECONDS.fullmatch(plain) and not _MINUTES.search(plain):
        return "{seconds}"
    return None


def _arguments(module: Module, given: list[str]) -> tuple[list[str], list[str]]:
    """What is added to the arguments; `given` is cleaned of what a trial decides itself."""
    extra, unknown = [], []
    for option in module.options:
        value = _placeholder(option.name)
        if value is not None and option.name.startswith("--"):
            _take_out(given, option.name)
            extra += [option.name, value]
        elif value is not None and not option.name.startswith("-"):
            extra.append(value)
        elif option.required and not _is_given(option.name, given):
            unknown.append(option.name)
    if module.arguments:
        for place in range(1, max(module.arguments) + 1):
            value = _placeholder(module.arguments.get(place, ""))
            if value is not None and place <= len(given):
                given[place - 1] = value
            elif value is not None and not (unknown or place > len(given) + len(extra) + 1):
                extra.append(value)
            elif place > len(given) + len(extra):
                name = module.arguments.get(place) or "?"
                unknown.append(f"argument {place} ({name})")
    return extra, unknown


def _is_given(option: str, given: Sequence[str]) -> bool:
    """Whether an argument is there; a positional one is taken to be where there are any."""
    if not option.startswith("-"):
        return bool(given)
    return any(word.split("=")[0] == option for word in given)


def _take_out(given: list[str], option: str) -> None:
    for place, word in enumerate(given):
        if word == option:
            del given[place : place + 2]
            return
        if word.startswith(f"{option}="):
            del given[place]
            return


def _environment(module: Module) -> tuple[dict[str, str], list[str]]:
    env, missing = {}, []
    for name, must in module.variables.items():
        value = _placeholder(name)
        if value is not None:
            env[name] = value
        elif must and not name.startswith(_GIVEN):
            missing.append(f"the variable {name}")
    return env, missing


def _lengths(module: Module) -> list[Length]:
    found = [
        Length(name, value, f"{module.name}:{line}", _placeholder(name) == "{seconds}")
        for name, (value, line) in module.constants.items()
        if value > 0 and (_placeholder(name) == "{seconds}" or _LENGTH.fullmatch(name))
    ]
    for option in module.options:
        plain = option.name.lstrip("-").replace("-", "_")
        if _LENGTH.fullmatch(plain):
            value = option.default if isinstance(option.default, int | float) else None
            found.append(Length(option.name, value, module.name, seconds=False))
    return found

"""The command that starts a script: how it is told its seed and its budget, and what it runs on.

In: the sources, the script, the commands that the repository names. Out: a `Running`. Pure.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from scheduler.init.source import Module, Option
from scheduler.init.sources import Sources
from scheduler.init.usages import Usage

_SEED = re.compile(r"(random|rng)?[_-]?seed", re.IGNORECASE)
_SECONDS = re.compile(
    r"((max|time|train\w*|total|wall|clock|budget|limit|run)[_-]?)*(seconds|secs?|time|budget|time[_-]?limit|"
    r"budget[_-]?seconds|wall[_-]?clock)(_?(budget|limit|s))?",
    re.IGNORECASE,
)
_UNITS = {r"milli(?:second)?s|msecs?|ms": 0.001, r"min(?:ute)?s": 60.0, r"hours?|hrs?": 3600.0}
"""What stands in a name in the place of `seconds`, and how many of these it is."""
_SAID = {
    r"\bseconds?\b|\bsecs?\b|\(s\)|\bin s\b": 1.0,
    r"\bmilliseconds?\b|\bms\b": 0.001,
    r"\bminutes?\b|\bmins\b|\bin min\b|\(min\)": 60.0,
    r"\bhours?\b|\bhrs?\b|\bin h\b|\(h\)": 3600.0,
    r"\bdays?\b": 86_400.0,
}
"""The same in a help text. Seconds come first: `seconds (default: 5 minutes)`."""
LONGEST = 7 * 86_400.0  # seconds; a value above it is no budget, but stands for none
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
    value: float | None  # in seconds, or of steps or epochs
    where: str
    seconds: bool  # of time; else steps or epochs
    unit: float = 1.0  # of time: seconds in the one that it counts in


@dataclass(frozen=True)
class Running:
    """How a script is started."""

    command: str
    why: str
    env: dict[str, str] = field(default_factory=dict)
    told_seed: bool = False
    told_seconds: bool = False
    usual: Length | None = None  # seconds that it is given where nobody says otherwise
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
    files = [sources.modules[n] for n in sources.reached(script) if n in sources.modules]
    named = [u for u in usages if u.script == script]
    usage = next((u for u in named if not u.distributed), None) or next(iter(named), None)
    distributed = bool(_DISTRIBUTED.search(module.text))
    words, why = _start(module, usage, python, gpus if distributed else 1)
    given = list(usage.arguments) if usage else []
    source = usage.where if usage else module.name
    lengths = [length for each in files for length in _lengths(each, given, source)]
    usual = next(_told_lengths(module, given, source), None)
    extra, unknown = _arguments(module, given)
    env, missing = _environment(module)
    words += [*given, *extra]
    text = " ".join(w if re.search(r"\{\w+\}", w) else shlex.quote(w) for w in words)
    told = [text, *env.values()]
    cuda = any(_CUDA.search(each.text) for each in files)
    return Running(
        text,
        why,
        env,
        told_seed=any("{seed}" in each for each in told),
        told_seconds=any("{seconds}" in each for each in told),
        usual=usual,
        lengths=tuple(lengths),
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


def _placeholder(name: str, about: str = "") -> str | None:
    """What is given to an option or a variable; `about`: what its help says."""
    if _SEED.fullmatch(_plain(name)):
        return "{seed}"
    return "{seconds}" if _unit(name, about) == 1.0 else None


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _unit(name: str, about: str = "") -> float | None:
    """Seconds in what a length of time is counted in; None where a name is of no such length."""
    plain = _plain(name)
    for words, seconds in _UNITS.items():
        renamed = re.sub(rf"(?i)(?<=_)({words})(?![a-z])|^({words})(?=_)", "seconds", plain)
        if renamed != plain and _SECONDS.fullmatch(renamed):
            return seconds
    if not _SECONDS.fullmatch(plain):
        return None
    if re.search(r"(?i)sec", plain):
        return 1.0
    return next((u for words, u in _SAID.items() if re.search(words, about, re.IGNORECASE)), 1.0)


def _arguments(module: Module, given: list[str]) -> tuple[list[str], list[str]]:
    """What is added to the arguments; `given` is cleaned of what a trial decides itself."""
    extra, unknown = [], []
    for option in module.options:
        value = _placeholder(option.name, option.help)
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


def _lengths(module: Module, given: Sequence[str], source: str) -> list[Length]:
    """What says how long a training is, and is not told its seconds.

    `given` are the arguments of the command in `source`.
    """
    found = []
    for name, (value, line) in module.constants.items():
        unit = _unit(name)
        seconds = value * (unit or 1.0)
        if (unit and 0 < seconds <= LONGEST) or (value > 0 and _LENGTH.fullmatch(name)):
            found.append(Length(name, seconds, f"{module.name}:{line}", bool(unit), unit or 1.0))
    for option in module.options:
        unit = _unit(option.name, option.help)
        if unit == 1.0 or not (unit or _LENGTH.fullmatch(_plain(option.name))):
            continue
        number, where = _value(module, option, given, source)
        length = None if number is None else number * (unit or 1.0)
        if unit and length is not None and not 0 < length <= LONGEST:
            length = None
        found.append(Length(option.name, length, where, bool(unit), unit or 1.0))
    return found


def _told_lengths(module: Module, given: Sequence[str], source: str) -> Iterator[Length]:
    """What options that are told their seconds have without that."""
    for option in module.options:
        if _placeholder(option.name, option.help) == "{seconds}":
            value, where = _value(module, option, given, source)
            if value is not None and 0 < value <= LONGEST:
                yield Length(option.name, value, where, seconds=True)


def _value(
    module: Module, option: Option, given: Sequence[str], source: str
) -> tuple[float | None, str]:
    """The number that an option has in a command, else by default; and where that stands."""
    for place, word in enumerate(given):
        name, equals, text = word.partition("=")
        if name == option.name and option.name.startswith("-"):
            text = text if equals else next(iter(given[place + 1 :]), "")
            with suppress(ValueError):
                return float(text), source
    default = option.default
    if isinstance(default, int | float) and not isinstance(default, bool):
        return float(default), module.name
    return None, module.name

"""How a repository says that it is run: commands in its README, its scripts, its docstrings.

In: the texts of a snapshot. Out: commands that start one of its Python files, in the order in which
a person would meet them. Those with blanks to fill in are left out.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from scheduler.init.sources import Sources

_COMMAND = re.compile(
    r"(?:(?:uv|poetry|pdm|hatch|pipenv)\s+run\s+)?"
    r"(?:python[0-9.]*|torchrun|accelerate\s+launch|\S+\.py\b)[^`\n|&;>#]*"
)
_RUNNERS = ("uv", "poetry", "pdm", "hatch", "pipenv")
_BLANKS = re.compile(r"[<>{}$\[\]]|\.\.\.|path/to|YOUR", re.IGNORECASE)


@dataclass(frozen=True)
class Usage:
    """A command that starts a file of the repository."""

    script: str
    arguments: tuple[str, ...] = ()
    where: str = ""  # file:line
    module: bool = False  # python -m
    distributed: bool = False  # torchrun and its like
    entry: str = ""  # the function that an entry in pyproject.toml calls


def find_usages(sources: Sources) -> list[Usage]:
    """All commands, READMEs first."""
    texts = sources.snapshot.texts
    ordered = sorted(texts, key=lambda n: (not _is_readme(n), n.count("/"), n))
    found: list[Usage] = []
    for name in ordered:
        if name == "pyproject.toml":
            found += _entries(sources, texts[name])
        elif name.endswith(".py") and name in sources.modules:
            found += _in_text(sources, name, sources.modules[name].docstring)
        elif _is_readme(name) or name.endswith((".sh", "Makefile")):
            found += _in_text(sources, name, texts[name])
    return found


def _is_readme(name: str) -> bool:
    return name.rpartition("/")[2].lower().startswith("readme")


def _in_text(sources: Sources, name: str, text: str) -> Iterator[Usage]:
    joined = re.sub(r"\\\n\s*", " ", text)
    for number, line in enumerate(joined.splitlines(), 1):
        if len(line) > 2000:
            continue
        for found in _COMMAND.finditer(line):
            if usage := _usage(sources, found[0], f"{name}:{number}"):
                yield usage


def _usage(sources: Sources, text: str, where: str) -> Usage | None:
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if words[:1] and words[0] in _RUNNERS:
        words = words[2:]
    if not words:
        return None
    launcher = words[0]
    distributed = launcher in ("torchrun", "accelerate") or "torch.distributed" in text
    for place, word in enumerate(words):
        plain = word.removeprefix("./").rstrip(".,;:)")
        if plain in sources.modules and plain.endswith(".py"):
            script, module = plain, False
        elif place and words[place - 1] == "-m" and (named := _of_module(sources, word)):
            script, module = named, True
        else:
            continue
        rest = tuple(words[place + 1 :])
        is_prose = not launcher.startswith("python") and not distributed and launcher != word
        if is_prose or not all(_is_argument(sources, each) for each in rest):
            rest = ()
        return Usage(script, rest, where, module, distributed)
    return None


def _is_argument(sources: Sources, word: str) -> bool:
    """Whether a word can be given as it stands: no blank to fill in, no file that is not there."""
    if _BLANKS.search(word) or word.endswith((",", ".", ":", ")")):
        return False
    is_file = word.endswith((".py", ".yaml", ".yml", ".json", ".toml")) and "=" not in word
    return not is_file or word in sources.snapshot.names


def _of_module(sources: Sources, dotted: str) -> str | None:
    path = dotted.replace(".", "/")
    for root in sources.roots:
        for name in (f"{root}{path}.py", f"{root}{path}/__main__.py"):
            if name in sources.modules:
                return name
    return None


def _entries(sources: Sources, text: str) -> Iterator[Usage]:
    """`[project.scripts]`: each names a module and a function."""
    try:
        scripts = tomllib.loads(text).get("project", {}).get("scripts", {})
    except (tomllib.TOMLDecodeError, AttributeError):
        return
    for target in scripts.values() if isinstance(scripts, dict) else ():
        module, _, function = str(target).partition(":")
        script = _of_module(sources, module)
        if script is not None:
            yield Usage(script, (), "pyproject.toml", module=True, entry=function)

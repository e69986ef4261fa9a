"""Which figures a program reports, and how to read them: in its output, or in JSON that it leaves.

In: the sources and the script. Out: candidates, the likeliest first, each with a regular expression
or a file and a key, and the line that it was found in.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from scheduler.init.said import Hole, Said
from scheduler.init.source import Dump, Module
from scheduler.init.sources import Sources
from scheduler.init.vocabulary import Goal, Name, name_of
from workers.number import APART, EXACT, LOOSE

# Up to four words. Lengths are bounded: what is searched may be written to keep a search busy.
WORDS = r"[A-Za-z][\w./@-]{0,40}(?: {1,4}[A-Za-z][\w./@-]{0,40}){0,3}"
_LABEL = re.compile(rf"{WORDS}(?=[^A-Za-z0-9]{{0,40}}$)")
_DEEPEST = 6  # of calls and levels that are followed to the keys of a dictionary


@dataclass(frozen=True)
class Metric:
    """A figure that a program reports."""

    name: str
    goal: Goal
    where: str  # file:line
    shown: str  # what stands there, for a person
    weight: float
    pattern: str | None = None
    file: str | None = None
    key: str | None = None
    looped: bool = False  # reported as it goes, not only at the end

    @property
    def how(self) -> str:
        """How it is read, in words."""
        if self.key:
            return f"key {self.key} of {self.file}"
        return f"pattern {self.pattern}" + (f" in {self.file}" if self.file else "")


def find_metrics(sources: Sources, script: str) -> list[Metric]:
    """What a script and the modules that it uses report, the likeliest first, each name once."""
    files = [name for name in sources.reached(script) if name in sources.modules]
    modules = [sources.modules[name] for name in files]
    everything = [said for module in modules for said in module.said]
    found = [m for module in modules for m in _said(module, everything)]
    found += [m for module in modules for dump in module.dumps for m in _in(sources, module, dump)]
    order = {metric: place for place, metric in enumerate(found)}  # later lines report the end
    found.sort(key=lambda m: (-m.weight, -order[m]))
    names: dict[str, Metric] = {}
    for metric in found:
        names.setdefault(metric.name, metric)
    return list(names.values())


def _said(module: Module, everything: Iterable[Said]) -> Iterator[Metric]:
    others = [example(each) for each in everything]
    for said in module.said:
        for place, part in enumerate(said.parts):
            if not isinstance(part, Hole):
                continue
            named = _named(_beside(said, place)[0], part)
            if named is None:
                continue
            name, label = named
            pattern = _pattern(said, place, label, others)
            if pattern is None:
                continue
            yield Metric(
                name.text,
                name.goal,
                f"{said.file}:{said.line}",
                str(said),
                name.weight - said.looped * 0.5 + bool(part.spec) * 0.5,
                pattern=pattern,
                looped=said.looped,
            )


def _beside(said: Said, place: int) -> tuple[str, str]:
    """The literal text before and after a hole; none where another hole is next to it."""
    around = (said.parts[n] if 0 <= n < len(said.parts) else "" for n in (place - 1, place + 1))
    before, after = (part if isinstance(part, str) else "" for part in around)
    return before, after


def _named(before: str, hole: Hole) -> tuple[Name, str] | None:
    """What the text before a hole calls it, else what the program itself calls it."""
    line = before.rpartition("\n")[2]
    found = _LABEL.search(line)
    label = found[0] if found else ""
    if label and (name := name_of(label)):
        inside = name_of(hole.expression)
        if name.weight < 8 and inside and inside.goal == name.goal and inside.weight > name.weight:
            return Name(inside.text, inside.goal, inside.weight - 1), label
        return name, label
    if not label and not line.strip() and (name := name_of(hole.expression)):
        return Name(name.text, name.goal, name.weight - 3), ""
    if label and (name := name_of(hole.expression)):
        return Name(name.text, name.goal, name.weight - 4), label
    return None


def _pattern(said: Said, place: int, label: str, others: list[str]) -> str | None:
    """A regular expression for the value in a hole, which no other line of the program fits."""
    before, after = _beside(said, place)
    hole = said.parts[place]
    if isinstance(hole, Hole) and "," in hole.spec:
        number = APART
    elif after.startswith(","):
        number = f"{EXACT},"  # the comma is the program's, not the number's
    else:
        number = EXACT if re.match(r"[\w.+-]", after) else LOOSE
    if not label:
        alone = said.begins and len(said.parts) == 1
        return rf"^{number}$" if alone else None
    line = before.rpartition("\n")[2].lstrip("\r")
    plain = rf"\b{loosened(line[line.rindex(label) :])}\s*{number}"
    wanted = example(said)
    ambiguous = any(re.search(plain, other) for other in others if other != wanted)
    starts = said.begins and (place == 1 or "\n" in before) and not before.startswith("\r")
    whole = f"{'^' if starts else ''}{loosened(line)}\\s*{number}"
    pattern = whole if ambiguous else plain
    return pattern if re.search(pattern, wanted.rpartition("\n")[2]) else None


def loosened(text: str) -> str:
    """The text as a pattern in which the number of spaces does not matter."""
    pieces = text.split()
    made = re.escape(pieces[0]) if pieces else ""
    for one, following in pairwise(pieces):
        both = re.match(r"\w", one[-1]) and re.match(r"\w", following[0])
        made += (r"\s+" if both else r"\s*") + re.escape(following)
    return made


def example(said: Said) -> str:
    """A line such as the program may print there."""
    parts = (p if isinstance(p, str) else "0.5" for p in said.parts)
    return "".join(parts).strip("\r\n")


def _in(sources: Sources, module: Module, dump: Dump) -> Iterator[Metric]:
    file = None if dump.path is None else path_of(dump.path, module)
    if dump.path is not None and file is None:
        return
    for key, expression in _keys(sources, module, dump.value, _DEEPEST):
        name = name_of(key) or None
        if name is None:
            continue
        last = key.rpartition(".")[2]
        quoted = rf'"{re.escape(last)}":\s*{LOOSE}'
        lines = dump.appends or dump.path is None
        yield Metric(
            name.text,
            name.goal,
            f"{module.name}:{dump.line}",
            f"{file or 'output'}: {{{key}: {expression}}}",
            name.weight + 1,  # meant to be read by programs
            pattern=quoted if lines else None,
            file=file,
            key=None if lines else key,
            looped=dump.looped,
        )


def _keys(
    sources: Sources, module: Module, node: ast.expr, depth: int
) -> Iterator[tuple[str, str]]:
    """The dotted keys of a dictionary, as far as they can be known."""
    if depth == 0:
        return
    match node:
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if key is None:
                    yield from _keys(sources, module, value, depth - 1)
                elif isinstance(key, ast.Constant) and isinstance(key.value, str):
                    inner = [*_keys(sources, module, value, depth - 1)]
                    yield from ((f"{key.value}.{each}", said) for each, said in inner)
                    if not inner:
                        yield key.value, ast.unparse(value)
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            yield from ((k.arg, ast.unparse(k.value)) for k in keywords if k.arg)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            for other, value in sources.returns(name):
                yield from _keys(sources, other, value, depth - 1)
        case ast.Name(id=name):
            for known, given in module.keyed.get(name, ()):
                yield known, ast.unparse(given)
            if name in module.assigned and module.assigned[name] is not node:
                yield from _keys(sources, module, module.assigned[name], depth - 1)


def path_of(  # noqa: PLR0911 - one for each kind of expression
    node: ast.expr, module: Module, depth: int = _DEEPEST
) -> str | None:
    """The relative file name that an expression amounts to; None where that can't be known."""
    if depth == 0:
        return None
    match node:
        case ast.Constant(value=str() as text):
            return _inside(text)
        case ast.Name(id=name) if name in module.assigned:
            return path_of(module.assigned[name], module, depth - 1)
        case ast.BinOp(op=ast.Div(), left=left, right=right):
            return _together([left, right], module, depth)
        case ast.Call(func=function, args=args) if args:
            called = ast.unparse(function).rpartition(".")[2]
            if called in ("Path", "join", "str", "PurePath"):
                return _together(args, module, depth)
        case ast.JoinedStr(values=values):
            texts = [_piece(value, module, depth) for value in values]
            return None if None in texts else _inside("".join(map(str, texts)))
        case ast.Attribute(attr=name):
            defaults = {o.name.lstrip("-").replace("-", "_"): o.default for o in module.options}
            default = defaults.get(name)
            return _inside(default) if isinstance(default, str) else None
    return None


def _piece(node: ast.expr, module: Module, depth: int) -> str | None:
    """A part of an f-string: its text as it stands, which may begin with a slash."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    return path_of(node.value, module, depth - 1) if isinstance(node, ast.FormattedValue) else None


def _together(nodes: Iterable[ast.expr], module: Module, depth: int) -> str | None:
    parts = [path_of(node, module, depth - 1) for node in nodes]
    return None if None in parts else _inside("/".join(str(p) for p in parts if p))


def _inside(text: str) -> str | None:
    """A relative path in its plain form; None for one that leads elsewhere."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    return None if text.startswith(("/", "~")) or ".." in parts else "/".join(parts)

"""What a program prints, as the syntax tree of its source tells: literal text with holes in it.

In: nodes of a syntax tree. Out: the parts of what a call prints. `print`, f-strings, `%`, `format`,
`+`, logging and its arguments are understood; anything else is a hole. Nothing is run.
"""

import ast
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Hole:
    """A value that is known only when the program runs."""

    expression: str
    spec: str = ""  # how it is formatted, such as ".4f"


Part = str | Hole
Parts = tuple[Part, ...]


@dataclass(frozen=True)
class Said:
    """One place where a program prints."""

    file: str
    line: int
    parts: Parts
    looped: bool  # stands in a loop: printed as it goes
    begins: bool = False  # at the begin of a line of output, with nothing before it

    def __str__(self) -> str:
        """As it would look, with names in place of values."""
        shown = [p if isinstance(p, str) else f"<{p.expression}>" for p in self.parts]
        return " ".join("".join(shown).split())


_LOGS = frozenset({"info", "warning", "critical", "error", "log", "write", "echo", "secho"})
_PERCENT = re.compile(r"%(?:\((\w+)\))?[-+ #0]*(?:\d+|\*)?((?:\.\d+)?[sdiufFeEgGrx]|%)")


def said_by(call: ast.Call) -> tuple[Parts, bool] | None:
    """What a call prints and whether it begins a line; None where it prints nothing."""
    function = call.func
    if isinstance(function, ast.Name) and function.id in ("print", "pprint", "rprint"):
        file = next((k.value for k in call.keywords if k.arg == "file"), None)
        if file is not None and not ast.unparse(file).endswith(("stdout", "stderr", "None")):
            return None
        return _joined([parts_of(each) for each in call.args], _separator(call)), True
    if isinstance(function, ast.Attribute) and function.attr in (*_LOGS, "print") and call.args:
        first, *values = call.args
        if function.attr == "write" and ast.unparse(function.value) not in (
            *("sys.stdout", "sys.stderr", "tqdm", "tqdm.tqdm", "pbar"),
        ):
            return None
        if values and isinstance(first, ast.Constant) and isinstance(first.value, str):
            return _percent(first.value, values), False
        return parts_of(first), False
    return None


def parts_of(node: ast.expr) -> Parts:  # noqa: PLR0911 - one for each kind of expression
    """The text of an expression."""
    match node:
        case ast.Constant(value=value):
            return (str(value),)
        case ast.JoinedStr(values=values):
            return _merged([part for value in values for part in parts_of(value)])
        case ast.FormattedValue(value=value, format_spec=spec):
            shown = ast.unparse(spec)[2:-1] if spec is not None else ""
            return (Hole(ast.unparse(value), shown),)
        case ast.BinOp(op=ast.Mod(), left=ast.Constant(value=str() as text), right=right):
            values = right.elts if isinstance(right, ast.Tuple) else [right]
            return _percent(text, values)
        case ast.BinOp(op=ast.Add(), left=left, right=right) if _is_text(left) or _is_text(right):
            return _merged([*parts_of(left), *parts_of(right)])
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str() as text), attr="format")):
            return _formatted(text, node.args, {k.arg: k.value for k in node.keywords})
        case ast.Call(func=ast.Name(id="str" | "round" | "float"), args=[value, *_]):
            return (Hole(ast.unparse(value)),)
    return (Hole(ast.unparse(node)),)


def _separator(call: ast.Call) -> str:
    value = next((k.value for k in call.keywords if k.arg == "sep"), None)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else " "


def _is_text(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.Call(func=ast.Name(id="str")):
            return True
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return _is_text(left) or _is_text(right)
        case ast.BinOp(op=ast.Mod(), left=left):
            return _is_text(left)
    return False


def _joined(texts: Sequence[Parts], separator: str) -> Parts:
    flat: list[Part] = []
    for place, parts in enumerate(texts):
        flat += ([separator] if place else []) + list(parts)
    return _merged(flat)


def _percent(text: str, values: Sequence[ast.expr]) -> Parts:
    parts: list[Part] = []
    left, end = list(values), 0
    for found in _PERCENT.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        if found[2] == "%":
            parts.append("%")
            continue
        value = ast.unparse(left.pop(0)) if left and not found[1] else found[1] or "?"
        parts.append(Hole(value, found[2]))
    return _merged([*parts, text[end:]])


def _formatted(text: str, values: Sequence[ast.expr], named: dict[str | None, ast.expr]) -> Parts:
    parts: list[Part] = []
    left = list(values)
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        return (text,)
    for literal, name, spec, _ in pieces:
        parts.append(literal)
        if name is None:
            continue
        if name in named:
            value = ast.unparse(named[name])
        elif name.isdigit() and int(name) < len(values):
            value = ast.unparse(values[int(name)])
        else:
            value = ast.unparse(left.pop(0)) if left and not name else name or "?"
        parts.append(Hole(value, spec or ""))
    return _merged(parts)


def _merged(parts: Sequence[Part]) -> Parts:
    """Neighbouring literals as one, empty ones gone."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        elif part != "":
            merged.append(part)
    return tuple(merged)

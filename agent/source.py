"""What can be said of source text without running it: its constants and its identity.

In: the text of a file, or the editable files of an experiment (relative path -> text). Out:
the numeric constants at the top of a script, the same text with other values for them, and two
hashes by which experiments are told apart. Python is read by its syntax tree; other files are
compared by their lines. Nothing here imports, runs or writes what it reads.

"At the top" means: before the first function or class, as `NAME = 0.02` or `NAME: int = 4`,
with NAME in capitals, and bound nowhere else at the level of the module.
"""

import ast
import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.briefing import Constants
from agent.errors import SourceError
from agent.literals import number_of, write_number

CONSTANT_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
BYTE_ORDER_MARK = "\ufeff"  # legal at the start of a file, not of a string that is parsed


@dataclass(frozen=True)
class Identity:
    """What tells the code of one experiment from that of another."""

    fingerprint: str  # equal for code that differs in layout, comments and docstrings only
    skeleton: str  # equal also where the values of the constants differ
    constants: Constants  # of all files; see `constants_of`
    size: int  # see `size_of`


def identify(files: Mapping[str, str]) -> Identity:
    """Fingerprint, skeleton, constants and size of the files; SourceError if one does not parse."""
    return Identity(fingerprint(files), skeleton(files), constants_of(files), size_of(files))


def read_constants(text: str) -> dict[str, int | float]:
    """The numeric constants at the top of a script, in the order of the text.

    Literals and simple arithmetic of literals count (`-0.5`, `1e-3`, `2**16`, `6 * 64`);
    booleans do not. Raises SourceError, with the line, if the text is not Python.
    """
    return {name: value for name, _, value in _constants(_parse(text))}


def replace_constants(text: str, values: Constants) -> str:
    """The text with other values for its constants; every other character stays as it is.

    A whole number stays one and keeps its manner of writing (`65_536`, `2**16`). Raises
    SourceError if the text has no such constant, or if the value does not fit it.
    """
    found = {name: (node, old) for name, node, old in _constants(_parse(text))}
    edits: list[tuple[int, int, str]] = []
    starts = _line_starts(text)
    for name, value in values.items():
        if name not in found:
            raise SourceError(f"there is no numeric constant {name} at the top of the file")
        node, old = found[name]
        begin = _position(text, starts, node.lineno, node.col_offset)
        end = _position(text, starts, node.end_lineno or 0, node.end_col_offset or 0)
        edits.append((begin, end, write_number(name, value, old, text[begin:end])))
    for begin, end, literal in sorted(edits, reverse=True):
        text = text[:begin] + literal + text[end:]
    return text


def functions(text: str) -> frozenset[str]:
    """The names of the functions that a script defines at its top level; SourceError as above."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in _parse(text).body if isinstance(node, kinds))


def constants_of(files: Mapping[str, str]) -> dict[str, int | float]:
    """The constants of all Python files; a name that stands in several of them is left out."""
    found = [(path, read_constants(text)) for path, text in _python(files)]
    seen = Counter(name for _, constants in found for name in constants)
    return {
        name: value
        for _, constants in found
        for name, value in constants.items()
        if seen[name] == 1
    }


def edit_constants(files: Mapping[str, str], values: Constants) -> dict[str, str]:
    """The files that change when the constants take these values, whole: path -> new text.

    Raises SourceError if no file, or more than one, has a constant of that name.
    """
    unique = constants_of(files)
    for name in values:
        if name not in unique:
            raise SourceError(f"no numeric constant {name} stands at the top of exactly one file")
    changed = {}
    for path, text in _python(files):
        here = {name: values[name] for name in read_constants(text) if name in values}
        edited = replace_constants(text, here)
        if edited != text:
            changed[path] = edited
    return changed


def fingerprint(files: Mapping[str, str]) -> str:
    """A hash that stays the same under another layout, other comments and other docstrings.

    Files that are not Python count by their lines, without trailing space. 32 hex digits; only
    comparable between runs of one Python version, as the syntax tree is part of it. Raises
    SourceError, with path and line, for a Python file that does not parse.
    """
    return _hash(files, masked=False)


def skeleton(files: Mapping[str, str]) -> str:
    """Like `fingerprint`, with the values of the constants masked out (int and float differ)."""
    return _hash(files, masked=True)


def size_of(files: Mapping[str, str]) -> int:
    """How much code it is: nodes of the syntax trees, words of files that are not Python.

    Layout, comments, docstrings and how a constant is written do not count. SourceError as above.
    """
    return sum(
        sum(1 for _ in ast.walk(_tree(text, path))) if _is_python(path) else len(text.split())
        for path, text in files.items()
    )


def _hash(files: Mapping[str, str], *, masked: bool) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(files):
        body = _normal(files[path], path, masked) if _is_python(path) else _lines(files[path])
        for part in (path, body):  # each with its length, so that no two sets of files run together
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)
    return digest.hexdigest()


def _normal(text: str, path: str, masked: bool) -> str:
    """The syntax tree in writing."""
    try:
        return ast.dump(_tree(text, path, masked=masked))
    except RecursionError:
        raise SourceError(f"{path}: an expression is nested too deeply") from None


def _tree(text: str, path: str, *, masked: bool = False) -> ast.Module:
    """The syntax tree, without docstrings and with the constants computed."""
    tree = _parse(text, path)
    for name, node, value in list(_constants(tree)):
        written: ast.expr = ast.Constant(value)
        if masked:
            written = ast.Name(f"{name}: any {type(value).__name__}", ast.Load())
        for statement in tree.body:
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is node:
                statement.value = written
    for place in ast.walk(tree):
        if isinstance(
            place, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        ) and (ast.get_docstring(place, clean=False) is not None):
            place.body = place.body[1:]
    return tree


def _lines(text: str) -> str:
    """The lines of a text with line ends and trailing space made equal."""
    return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")


def _is_python(path: str) -> bool:
    return path.endswith(".py")


def _python(files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((path, files[path]) for path in sorted(files) if _is_python(path))


def _parse(text: str, path: str = "") -> ast.Module:
    """The syntax tree; SourceError with path, line and message where there is none."""
    where = f"{path}: " if path else ""
    try:
        with warnings.catch_warnings():  # "invalid escape sequence" is not ours to report
            warnings.simplefilter("ignore")
            return ast.parse(text.removeprefix(BYTE_ORDER_MARK))
    except SyntaxError as error:
        line = "" if error.lineno is None else f"line {error.lineno}: "  # none for a null byte
        raise SourceError(f"{where}{line}{error.msg}") from error
    except (ValueError, UnicodeError) as error:  # null bytes, lone surrogates
        raise SourceError(f"{where}{error}") from error
    except (RecursionError, MemoryError):
        raise SourceError(f"{where}an expression is nested too deeply") from None


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr, int | float]]:
    """Name, expression and value of each constant at the top, in the order of the text."""
    names = Counter(_bound(tree))
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=expression):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as expression):
                pass
            case _:
                continue
        value = number_of(expression)
        if value is not None and CONSTANT_NAME.fullmatch(name) and names[name] == 1:
            yield name, expression, value


def _bound(tree: ast.Module) -> Iterator[str]:
    """Every name that the module's own statements bind, once for each time."""
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    yield node.id


def _line_starts(text: str) -> list[int]:
    """Where each line of the syntax tree begins in the text (index of its first character)."""
    start = 1 if text.startswith(BYTE_ORDER_MARK) else 0
    return [start, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]


def _position(text: str, starts: list[int], line: int, column: int) -> int:
    """The index in the text of a place in the syntax tree, whose columns are bytes of UTF-8."""
    start = starts[line - 1]
    return start + len(text[start : start + column].encode()[:column].decode(errors="ignore"))

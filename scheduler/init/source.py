"""One Python file, as far as `init` needs to know it: what it prints, takes, reads and imports.

In: its text. Out: a `Module`, or None where it does not parse. Nothing is run.
"""

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from scheduler.init.said import Said, said_by

TRAINS = re.compile(r"\.backward\(|\.fit\(|\.step\(|optimi[sz]er|learning_rate|\bLR\b")
LOOP = (ast.For, ast.While, ast.AsyncFor)
_OPERATIONS: Mapping[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Option:
    """An option of the command line."""

    name: str  # --seed; without dashes where it is positional
    default: object = None
    required: bool = False
    help: str = ""


@dataclass(frozen=True)
class Dump:
    """A place where JSON is written."""

    line: int
    path: ast.expr | None  # None: printed
    value: ast.expr
    appends: bool = False  # one document a line, and more come
    looped: bool = False


@dataclass
class Module:
    """What a file says of itself."""

    name: str
    text: str
    docstring: str = ""
    said: list[Said] = field(default_factory=list)
    dumps: list[Dump] = field(default_factory=list)
    options: list[Option] = field(default_factory=list)
    variables: dict[str, bool] = field(default_factory=dict)  # of the environment; must it be set
    arguments: dict[int, str] = field(default_factory=dict)  # sys.argv[1] -> the name it gets
    constants: dict[str, tuple[float, int]] = field(default_factory=dict)  # value, line
    imports: list[tuple[str, int]] = field(default_factory=list)  # dotted name, level
    needed: set[str] = field(default_factory=set)  # of those, imported in any case
    assigned: dict[str, ast.expr] = field(default_factory=dict)  # name -> the last value
    keyed: dict[str, list[tuple[str, ast.expr]]] = field(default_factory=dict)  # m["acc"] = x
    returned: dict[str, list[ast.expr]] = field(default_factory=dict)  # function -> values
    has_main: bool = False
    loops: bool = False

    @property
    def trains(self) -> bool:
        """Whether it looks as if it trained something itself."""
        return self.loops or bool(TRAINS.search(self.text))


def read_module(name: str, text: str) -> Module | None:
    """Look through one file. None where it is no Python that this Python can read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # their escapes and comparisons are not ours to mend
            tree = ast.parse(text)
        module = Module(name, text, ast.get_docstring(tree) or "")
        _Reader(module).visit(tree)
        for node in tree.body:
            _constant(module, node)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return module


class _Reader(ast.NodeVisitor):
    def __init__(self, module: Module) -> None:
        self.module = module
        self.depth = 0  # of loops
        self.function = ""
        self.tries = 0
        self.files: dict[str, tuple[ast.expr, str]] = {}  # handle -> path, mode

    def generic_visit(self, node: ast.AST) -> None:
        inside = isinstance(node, LOOP)
        self.depth += inside
        self.module.loops |= inside
        super().generic_visit(node)
        self.depth -= inside

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, depth = self.function, self.depth
        self.function, self.depth = node.name, 0
        for decorator in node.decorator_list:
            self.visit(decorator)
        for each in node.body:
            self.visit(each)
        self.function, self.depth = outer, depth

    @property
    def certain(self) -> bool:
        """Whether what stands here runs whenever the file is imported."""
        return not self.function and not self.tries

    def visit_Try(self, node: ast.Try) -> None:
        self.tries += 1
        self.generic_visit(node)
        self.tries -= 1

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None:
            self.module.returned.setdefault(self.function, []).append(node.value)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if "__name__" in ast.unparse(node.test):
            self.module.has_main = True
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.module.imports += [(each.name, 0) for each in node.names]
        if self.certain:
            self.module.needed |= {each.name for each in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        self.module.imports.append((base, node.level))
        if self.certain and node.level == 0:
            self.module.needed.add(base)
        dot = "." if base else ""
        self.module.imports += [(f"{base}{dot}{each.name}", node.level) for each in node.names]

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            if isinstance(item.optional_vars, ast.Name) and (opened := _opened(item.context_expr)):
                self.files[item.optional_vars.id] = opened
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            match target:
                case ast.Name(id=name):
                    self.module.assigned[name] = node.value
                    if opened := _opened(node.value):
                        self.files[name] = opened
                    for place in _arguments(node.value):
                        self.module.arguments[place] = name
                case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as key)):
                    self.module.keyed.setdefault(name, []).append((key, node.value))
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if isinstance(node.target, ast.Name) and node.value is not None:
            self.module.assigned[node.target.id] = node.value
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        key, is_read = node.slice, isinstance(node.ctx, ast.Load)
        named = isinstance(key, ast.Constant) and isinstance(key.value, str)
        if named and is_read and ast.unparse(node.value) in ("os.environ", "environ"):
            self.module.variables[ast.literal_eval(key)] = True
        for place in _arguments(node):
            self.module.arguments.setdefault(place, "")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        first = node.args[0] if node.args else None
        if called in ("os.getenv", "getenv", "os.environ.get", "environ.get"):
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                self.module.variables.setdefault(first.value, False)
        elif name in ("add_argument", "option") or called.startswith("flags.DEFINE"):
            self.module.options += _options(node, plain=called.startswith("flags.DEFINE"))
        elif name == "dump" and len(node.args) > 1 and "json" in called:
            self._dump(node, node.args[0], node.args[1])
        elif name in ("write_text", "write", "print") and first is not None and _dumped(first):
            self._dump_text(node, _dumped(first) or first, name)
        if (said := said_by(node)) is not None:
            parts, begins = said
            self.module.said.append(
                Said(self.module.name, node.lineno, parts, self.depth > 0, begins)
            )
        self.generic_visit(node)

    def _dump_text(self, node: ast.Call, value: ast.expr, name: str) -> None:
        if name == "print":
            self.module.dumps.append(Dump(node.lineno, None, value, looped=self.depth > 0))
        elif isinstance(node.func, ast.Attribute) and name == "write_text":
            self.module.dumps.append(Dump(node.lineno, node.func.value, value))
        elif isinstance(node.func, ast.Attribute):
            self._dump(node, value, node.func.value)

    def _dump(self, node: ast.Call, value: ast.expr, handle: ast.expr) -> None:
        opened = _opened(handle)
        if opened is None and isinstance(handle, ast.Name):
            opened = self.files.get(handle.id)
        if opened is not None:
            path, mode = opened
            dump = Dump(node.lineno, path, value, "a" in mode or self.depth > 0, self.depth > 0)
            self.module.dumps.append(dump)


def _dumped(node: ast.expr) -> ast.expr | None:
    """The value in json.dumps(value), also with something added to it."""
    match node:
        case ast.Call(func=function, args=[value, *_]) if ast.unparse(function).endswith("dumps"):
            return value
        case ast.BinOp(op=ast.Add(), left=left):
            return _dumped(left)
    return None


def _opened(node: ast.expr) -> tuple[ast.expr, str] | None:
    """Path and mode of an `open` call that writes."""
    match node:
        case ast.Call(func=ast.Name(id="open"), args=[path, *more]):
            pass
        case ast.Call(func=ast.Attribute(value=path, attr="open"), args=more):
            pass
        case _:
            return None
    modes = [*more[:1], *(k.value for k in node.keywords if k.arg == "mode")]
    mode = next((m.value for m in modes if isinstance(m, ast.Constant)), "r")
    return (path, str(mode)) if set(str(mode)) & set("wax") else None


def _arguments(node: ast.AST) -> Iterator[int]:
    for each in ast.walk(node):
        match each:
            case ast.Subscript(value=value, slice=ast.Constant(value=int() as place)) if (
                place > 0 and ast.unparse(value) in ("sys.argv", "argv")
            ):
                yield place


def _options(node: ast.Call, *, plain: bool) -> Iterator[Option]:
    names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if plain:
        names = [f"--{names[0]}"] if names else []
    dashed = [name for name in names if name.startswith("-")]
    named = {k.arg: k.value for k in node.keywords}
    default = named.get("default")
    about = named.get("help")
    if plain and len(node.args) > 1:
        default = node.args[1]
        about = node.args[2] if len(node.args) > 2 else about
    texts = (
        [] if about is None else [n.value for n in ast.walk(about) if isinstance(n, ast.Constant)]
    )
    given = default.value if isinstance(default, ast.Constant) else default and _number(default)
    is_flag = isinstance(required := named.get("required"), ast.Constant) and bool(required.value)
    optional = isinstance(many := named.get("nargs"), ast.Constant) and many.value in ("?", "*")
    for name in [max(dashed, key=len)] if dashed else names[:1]:
        wanted = is_flag or (not dashed and default is None and not optional)
        yield Option(name, given, wanted, " ".join(map(str, texts)))


def _constant(module: Module, node: ast.stmt) -> None:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            pass
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            pass
        case _:
            return
    number = _number(value)
    if number is not None:
        module.constants[name] = (number, node.lineno)


def _number(node: ast.expr) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value) if abs(value) < 1e300 else None
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            a, b = _number(left), _number(right)
            if a is None or b is None or (b == 0 and isinstance(op, ast.Div)):
                return None
            return _OPERATIONS[type(op)](a, b)
    return None

"""YAML in which every key knows its line, and every number is a number.

In: text. Out: plain values (dict, tuple, str, int, float, bool, None), the line of every key and
list item, and what is wrong, with its line. The rules for plain words are those of YAML 1.2:
`3e-4` is a number, `yes` and `010` are text, `1:30` is no count of seconds. PyYAML's own rules
are those of YAML 1.1, where it is the other way round. The same rules quote on writing.
"""

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]

# Plain scalars of YAML 1.2's core schema: (tag, pattern, first characters).
RULES: tuple[tuple[str, str, str], ...] = (
    ("null", r"~|null|Null|NULL|", "~nN"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.[0-9]*)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
    ("float", r"[-+]?[0-9]+[eE][-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "-+."),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the plain words of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which quotes what _Loader would not read back as text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _class in (_Loader, _Dumper):
    for _tag, _pattern, _first in RULES:
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}",
            re.compile(f"^(?:{_pattern})$"),
            ["", *_first] if _tag == "null" else list(_first),
        )


@dataclass
class Parsed:
    """What a text holds. `values` is incomplete where there are problems."""

    values: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)  # counted from 1
    problems: list[tuple[int, KeyPath, str]] = field(default_factory=list)  # line, key, message


def parse(text: str) -> Parsed:
    """Read one YAML document. Never raises: what is wrong stands in `problems`."""
    result = Parsed()
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is not None:
            result.values = _value(loader, root, (), result, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        result.problems.append((mark.line + 1 if mark else 1, (), f"not YAML: {error.problem}"))
    except yaml.YAMLError as error:  # characters that YAML does not allow
        result.problems.append((1, (), f"not YAML: {str(error).splitlines()[0]}"))
    return result


def write(values: Any) -> str:
    """Plain values as YAML that `parse` reads back equal, keys in the order given."""
    text: str = yaml.dump(
        values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    return text


def _value(
    loader: _Loader, node: yaml.Node, path: KeyPath, result: Parsed, above: tuple[yaml.Node, ...]
) -> Any:
    """The plain value of a node; lines and problems go into `result`."""
    line = node.start_mark.line + 1
    if any(node is other for other in above):
        result.problems.append((line, path, "an alias that holds itself"))
        return None
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, path, result, above)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for position, item in enumerate(node.value):
            result.lines[*path, position] = item.start_mark.line + 1
            items.append(_value(loader, item, (*path, position), result, (*above, node)))
        return tuple(items)
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError):
        result.problems.append((line, path, f"{node.value!r} can't be read as {node.tag}"))
        return None


def _mapping(
    loader: _Loader,
    node: yaml.MappingNode,
    path: KeyPath,
    result: Parsed,
    above: tuple[yaml.Node, ...],
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            result.problems.append((line, path, "a key must be a word"))
            continue
        key: KeyPath = (*path, str(key_node.value))
        if key in result.lines:
            message = f"given twice, first on line {result.lines[key]}"
            result.problems.append((line, key, message))
            continue
        result.lines[key] = line
        values[str(key_node.value)] = _value(loader, value_node, key, result, (*above, node))
    return values

"""What is wrong with a configuration, in plain English: one message for each key.

In: what pydantic found, as a list of errors with types and locations. Out: keys with messages
such as `must be a number above 0, not "abc"` and `unknown key; did you mean budget.seconds?`.
The words are derived from the schema of Config, so that they can't differ from what is checked.
Where a value came from (file, line, flag) is known to `config_file.py`, not here.
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError

from scheduler.study.config import Config
from scheduler.study.yaml_lines import KeyPath

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """What is wrong with one key. `path` also holds the position within a list."""

    path: KeyPath
    message: str
    because: KeyPath = ()  # the key whose value makes it wrong; empty: its own, or none

    @property
    def key(self) -> str:
        """The dotted key, such as `budget.seconds`."""
        return dotted(self.path)


def problems(error: ValidationError) -> list[Problem]:
    """Every problem that pydantic found, once for each key, in the order of the schema."""
    found: dict[KeyPath, Problem] = {}
    for detail in error.errors(include_url=False):
        path = detail["loc"]
        if detail["type"] == "key":  # raised by a section of Config, in words of its own
            context, section = detail["ctx"], path
            path = (*section, context["key"])
            because = (*section, context["because"]) if context["because"] else ()
            found.setdefault(path, Problem(path, str(context["message"]), because))
        elif detail["type"] == "extra_forbidden":
            found.setdefault(path, Problem(path, unknown_key(dotted(path))))
        else:
            # A union reports each of its members, with the member's name at the end of `loc`.
            path, schema = _at(path)
            message = f"must be {expected(schema)}, not {_written(detail['input'])}"
            found.setdefault(path, Problem(path, message))
    return list(found.values())


def dotted(path: KeyPath) -> str:
    """A key as a person writes it: sections joined by dots, positions in a list left out."""
    return ".".join(part for part in path if isinstance(part, str))


def unknown_key(key: str) -> str:
    """What to say of a key that doesn't exist: the closest one that does, where one is close."""
    known = list(leaves())
    if close := difflib.get_close_matches(key, known, n=1, cutoff=0.75):
        return f"unknown key; did you mean {close[0]}?"
    # The right name in the wrong section, or without one.
    name = key.rpartition(".")[2]
    for other in known:
        if other.rpartition(".")[2] == name:
            return f"unknown key; did you mean {other}?"
    section = key.partition(".")[0]
    if section in sections():
        return f"unknown key; {section} has {', '.join(_names(section))}"
    return f"unknown key; the sections are {', '.join(sections())}"


def expected(schema: Schema) -> str:  # noqa: PLR0911 - one line for each kind of value
    """What a value must be, such as `a whole number of at least 1 or auto`."""
    schema = _resolve(schema)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if not _covered(option, schema["anyOf"])]
        return " or ".join(expected(option) for option in options)
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    match schema.get("type"):
        case "integer":
            return f"a whole number{_range(schema)}"
        case "number":
            return f"a number{_range(schema)}"
        case "string":
            return "text"
        case "array":
            return "a list of texts" if schema.get("minItems", 0) < 1 else "a list of file names"
        case "null":
            return "null"
        case "object" if "properties" in schema:
            return f"a section with the keys {', '.join(schema['properties'])}"
        case _:
            inner = _resolve(schema.get("additionalProperties", {}))
            if "properties" in inner:
                return f"names, each with some of the keys {', '.join(inner['properties'])}"
            return "names with texts" if inner.get("type") == "string" else "names with numbers"


@cache
def leaves() -> Mapping[str, Schema]:
    """Every key that holds a value, dotted, with its schema; in the order of Config."""
    return dict(_leaves("", _root()))


@cache
def sections() -> tuple[str, ...]:
    """The names of the sections at the top of Config."""
    properties = _root()["properties"]
    return tuple(name for name, schema in properties.items() if "properties" in _resolve(schema))


def is_text(key: str) -> bool:
    """Whether the key takes any text, so that what a person wrote is taken as it stands."""
    schema = leaves().get(key, {})
    kinds = {option.get("type") for option in schema.get("anyOf", [schema])}
    return "string" in kinds <= {"string", "null"} and not {"enum", "const"} & set(schema)


def takes_as_it_stands(path: KeyPath, text: str) -> bool:
    """Whether a value given as a flag or a variable is text, and not YAML to be read."""
    if path[:2] == ("task", "env") and len(path) == 3:
        return True
    if path[:2] == ("task", "metrics") and len(path) == 4:
        return path[-1] in ("pattern", "file", "key")
    options = leaves().get(dotted(path), {}).get("anyOf", [])
    if {"string", "array"} <= {option.get("type") for option in options}:  # such as task.command
        return not text.lstrip().startswith("[")
    return is_text(dotted(path))


def is_section(path: KeyPath) -> bool:
    """Whether the path names a group of keys rather than a value."""
    group: type[BaseModel] = Config
    for part in path:  # along the classes: making the schema takes longer than reading a file
        found = group.model_fields.get(part) if isinstance(part, str) else None
        kind = None if found is None else found.annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return False
        group = kind
    return True


def _names(section: str) -> Iterator[str]:
    return (key.partition(".")[2] for key in leaves() if key.startswith(f"{section}."))


def _leaves(prefix: str, schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, inner in schema["properties"].items():
        below = _resolve(inner)
        if "properties" in below:
            yield from _leaves(f"{prefix}{name}.", below)
        else:
            yield f"{prefix}{name}", below


def _at(path: KeyPath) -> tuple[KeyPath, Schema]:
    """How far the path leads into the schema, and what lies there."""
    schema: Schema = _root()
    for depth, part in enumerate(path):
        if part in schema.get("properties", {}):
            schema = _resolve(schema["properties"][part])
        elif "additionalProperties" in schema and isinstance(schema["additionalProperties"], dict):
            return path[: depth + 1], schema["additionalProperties"]
        elif isinstance(part, int) and "items" in schema:
            return path[: depth + 1], schema["items"]
        else:
            return path[:depth], schema
    return path, schema


@cache
def _root() -> Schema:
    return Config.model_json_schema()


def _resolve(schema: Schema) -> Schema:
    """Follow a reference to the definition of a section."""
    if "$ref" not in schema:
        return schema
    definition: Schema = _root()["$defs"][schema["$ref"].rpartition("/")[2]]
    return definition


def _covered(option: Schema, others: Sequence[Schema]) -> bool:
    """Whether another option says it already: a whole number is a number."""
    return option.get("type") == "integer" and any(o.get("type") == "number" for o in others)


def _range(schema: Schema) -> str:
    """The limits of a number; all limits in Config are whole."""
    low, above, high = (schema.get(k) for k in ("minimum", "exclusiveMinimum", "maximum"))
    if low is not None and high is not None:
        return f" from {low:.0f} to {high:.0f}"
    if low is not None:
        return f" of at least {low:.0f}"
    return "" if above is None else f" above {above:.0f}"


def _written(value: object) -> str:
    """A value as it stands in YAML or JSON, shortened."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."

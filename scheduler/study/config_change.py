"""Which keys an existing study may change, and which make its figures incomparable.

In: the config of the study and the one that is wanted now. Out: the keys that differ, or a
ConfigError that names those that must not. Nothing is read or written.
"""

import json
from typing import Any

from scheduler.errors import ConfigError
from scheduler.study.config import Config
from scheduler.study.config_words import leaves

FIXED = ("seed", "budget", "task", "data", "keep.baseline_repeats")
"""Keys and sections that metrics depend on: trials under other values don't compare."""

LONGER = "keep.long_budget"
"""Long trials compare with each other alone: it may be turned on and off, and not be changed."""

PLACES = frozenset({"task.source", "data.paths"})
"""Where things lie may change, as it does with every submission of a job: what they hold is
compared by its hash when the study is taken up."""


def changed_keys(old: Config, new: Config) -> tuple[str, ...]:
    """The dotted keys whose values differ, in the order of Config."""
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    return tuple(key for key in leaves() if _value(before, key) != _value(after, key))


def check_resumable(old: Config, new: Config) -> None:
    """Raise ConfigError if a key has changed that the study's figures depend on.

    The text has one line for each key, with both values, and says what to do.
    """
    before, after = old.model_dump(mode="json"), new.model_dump(mode="json")
    refused = [
        f"{key}: this study has {json.dumps(_value(before, key))}, "
        f"and {json.dumps(_value(after, key))} would not compare with it"
        for key in changed_keys(old, new)
        if _is_fixed(key) or (key == LONGER and _value(before, key) and _value(after, key))
    ]
    if refused:
        what = "start another study with the new values: autoresearch run NAME"
        raise ConfigError("\n".join((*refused, what)))


def _is_fixed(key: str) -> bool:
    return key not in PLACES and any(key == fixed or key.startswith(f"{fixed}.") for fixed in FIXED)


def _value(values: Any, key: str) -> Any:
    """The value of a dotted key in nested sections."""
    for name in key.split("."):
        values = values[name]
    return values

"""A running study's state of this second, in `live.json`: for views in other processes.

In: a Live of the results actor. Out: a small JSON file, and the Live that it holds. The progress
of trials goes this way and never enters the database, so that watching costs the study nothing.
"""

import json
import time
from dataclasses import asdict
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from scheduler.study.atomic import replacing
from scheduler.study.records import Live

FRESH_SECONDS = 10.0  # a study writes once a second; a silence of ten means that it is gone


def write_live(path: Path, live: Live) -> None:
    """Put the study's state into `path`. Raises OSError."""
    with replacing(path) as draft:
        draft.write_text(json.dumps(asdict(live)), "utf-8")


def read_live(path: Path, *, now: float | None = None) -> Live | None:
    """The state that a running study left within the last `FRESH_SECONDS`.

    None where there is none, where it is older, and where the file is not what this version
    writes: then nothing is known of the present, and the database says what is known of the past.
    """
    try:
        written = path.read_bytes()
        live = _adapter().validate_json(written)
    except (OSError, ValueError):  # pydantic's ValidationError is a ValueError
        return None
    return live if (time.time() if now is None else now) - live.at < FRESH_SECONDS else None


@cache
def _adapter() -> TypeAdapter[Live]:
    """Made for the first live view that is there: of a study that does not run there is none."""
    return TypeAdapter(Live)

"""A running study's state of this second, in `live.json`: for views in other processes.

In: a Live of the results actor. Out: a small JSON file, and the Live that it holds. The progress
of trials goes this way and never enters the database, so that watching costs the study nothing.
"""

import json
import time
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter

from scheduler.study.atomic import replacing
from scheduler.study.records import Live

FRESH_SECONDS = 10.0  # a study writes once a second; a silence of ten means that it is gone
_LIVE = TypeAdapter(Live)


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
        live = _LIVE.validate_json(path.read_bytes())
    except (OSError, ValueError):  # pydantic's ValidationError is a ValueError
        return None
    return live if (time.time() if now is None else now) - live.at < FRESH_SECONDS else None

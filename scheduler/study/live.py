"""A running study's state of this second, in `live.json`: for views in other processes.

In: a Live of the results actor. Out: a small JSON file, and the Live that it holds. The progress
of trials goes this way and never enters the database, so that watching costs the study nothing.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scheduler.rules.states import ExperimentState, StopReason, StudyState
from scheduler.study.atomic import replacing
from scheduler.study.records import ChampionRecord, Experiment, Live, SlotView, Study

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
        live = _live(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return live if (time.time() if now is None else now) - live.at < FRESH_SECONDS else None


def _live(data: Mapping[str, Any]) -> Live:
    champion = data["champion"]
    return Live(
        at=float(data["at"]),
        study=_study(data["study"]),
        slots=tuple(SlotView(**slot) for slot in data["slots"]),
        queue=tuple(map(_experiment, data["queue"])),
        recent=tuple(map(_experiment, data["recent"])),
        champion=None if champion is None else _experiment(champion),
        metric=data["metric"],
        budget=data["budget"],
    )


def _study(data: Mapping[str, Any]) -> Study:
    reason, champion = data["reason"], data["champion"]
    return Study(
        **{
            **data,
            "state": StudyState(data["state"]),
            "reason": None if reason is None else StopReason(reason),
            "counts": {ExperimentState(state): n for state, n in data["counts"].items()},
            "champion": None if champion is None else ChampionRecord(**champion),
        }
    )


def _experiment(data: Mapping[str, Any]) -> Experiment:
    return Experiment(**{**data, "state": ExperimentState(data["state"])})

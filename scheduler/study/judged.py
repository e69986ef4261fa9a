"""On what evidence experiments were judged, and how much the metric varies: read back, as it was.

In: a study's reader. Out: the rules' own records (`Evidence`, `Noise`), from the tables in which
the store put them. Decides nothing. A study of an older version has no evidence: then there is
none here.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from scheduler.rules.evidence import Decision, Evidence
from scheduler.rules.noise import Noise
from scheduler.rules.states import ExperimentState
from scheduler.study.reader import Reader
from scheduler.study.values import read_scalars

AT_A_TIME = 500  # numbers in one query: SQLite takes at most some thousands


def noise_of(reader: Reader) -> dict[str, Noise]:
    """The noise by class of hardware; a class without repeats has no degree of freedom."""
    found = read_scalars(reader.db).get("noise", {})
    return {name: Noise(**fields) for name, fields in sorted(found.items())}


def evidence_for(reader: Reader, experiments: Collection[int]) -> dict[int, Evidence]:
    """What these experiments were judged on, as far as it is recorded."""
    numbers, found = sorted(experiments), {}
    for start in range(0, len(numbers), AT_A_TIME):
        some = numbers[start : start + AT_A_TIME]
        marks = ", ".join("?" * len(some))
        rows = reader.db.execute(
            f"SELECT experiment, evidence FROM judgement WHERE experiment IN ({marks})",  # noqa: S608
            some,
        )
        found.update({row["experiment"]: read_evidence(row["evidence"]) for row in rows})
    return found


def confirmed_in_vain(reader: Reader, count: int) -> list[tuple[int, Evidence]]:
    """The discarded ones with the most seeds that confirm: looked good at first, and were not."""
    rows = reader.db.execute(
        "SELECT experiment, evidence FROM judgement JOIN experiment ON experiment.id = experiment"
        " WHERE state = ? AND json_extract(evidence, '$.standard_error') IS NOT NULL"
        " AND rebases = '[]' AND ablates IS NULL"  # these have no first trial
        " ORDER BY json_extract(evidence, '$.seeds') DESC, experiment DESC LIMIT ?",
        (ExperimentState.DISCARD, count),
    )
    return [(row["experiment"], read_evidence(row["evidence"])) for row in rows]


def read_evidence(text: str) -> Evidence:
    """Evidence as the store writes it."""
    return evidence_of(json.loads(text))


def evidence_of(fields: Mapping[str, Any]) -> Evidence:
    """The same of its fields."""
    lists = {name: tuple(fields[name]) for name in ("candidate_needs", "champion_needs")}
    return Evidence(**{**fields, **lists, "verdict": Decision(fields["verdict"])})

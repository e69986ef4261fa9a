"""Every decision of a study can be taken again from its database."""

import sqlite3
from pathlib import Path

import pytest

from scheduler.rules.evidence import Criteria, Decision
from scheduler.study.reader import Reader
from scheduler.study.recheck import Rechecked, recheck
from tests.synthetic import make_study

CONFIRMED = Criteria(most_seeds=4, champion_seeds=2, gate=0.5)


def rechecked(study: Path) -> list[Rechecked]:
    with Reader(study / "study.db") as reader:
        return list(recheck(reader, minimize=True))


@pytest.mark.parametrize("criteria", [None, CONFIRMED], ids=["plain", "confirmed"])
@pytest.mark.parametrize("seed", range(3))
def test_every_decision_of_a_whole_study_comes_out_as_it_was_recorded(
    tmp_path: Path, seed: int, criteria: Criteria | None
) -> None:
    study = make_study(tmp_path / "s", 120, seed, slots=6, criteria=criteria)
    found = rechecked(study)
    with Reader(study / "study.db") as reader:
        measured = {e.id for e in reader.experiments() if e.metric is not None}
    assert {each.experiment for each in found} >= measured
    assert [each for each in found if not each.agrees] == []
    tested = [each for each in found if each.again is not None]
    assert len(tested) > 60
    if criteria is not None:
        assert any(each.recorded.p is not None for each in tested)
        with Reader(study / "study.db") as reader:
            assert any(e.rebases for e in reader.experiments()), "some were carried over"


@pytest.mark.parametrize("what", ["a figure", "a verdict"])
def test_what_was_changed_afterwards_is_found(tmp_path: Path, what: str) -> None:
    study = make_study(tmp_path / "s", 60, 1, slots=4, criteria=CONFIRMED)
    kept = next(
        each.experiment
        for each in rechecked(study)
        if each.recorded.verdict is Decision.KEEP and each.experiment
    )
    with sqlite3.connect(study / "study.db") as db:
        if what == "a figure":
            db.execute(
                "UPDATE outcome SET metric = metric + 0.05 WHERE trial IN"
                " (SELECT id FROM trial WHERE experiment = ?)",
                (kept,),
            )
        else:
            db.execute(
                "UPDATE journal SET data = replace(data, '\"keep\"', '\"discard\"')"
                " WHERE fact = 'Judged' AND json_extract(data, '$.id') = ?",
                (kept,),
            )
    assert kept in {each.experiment for each in rechecked(study) if not each.agrees}

"""How measured numbers are written: six decimals as long as they say something."""

import csv
import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from scheduler.api.dashboard import words
from scheduler.api.dashboard.drawing import draw
from scheduler.api.dashboard.overview import figures
from scheduler.api.dashboard.panels import sparkline
from scheduler.api.dashboard.slots import _figures
from scheduler.api.dashboard.snapshot import Snapshot
from scheduler.cli.view import render
from scheduler.figures import amount, change, count, degrees_of_freedom, figure, glance
from scheduler.notices import ended
from scheduler.rules.evidence import Criteria, weigh
from scheduler.rules.noise import Noise
from scheduler.study.exports import write_tsv
from scheduler.study.folder import StudyFolder
from scheduler.study.points import collect
from scheduler.study.reader import Reader
from scheduler.study.records import Live, SlotView
from tests import synthetic
from tests.fixtures.confirmed_study import make_confirmed
from tests.fixtures.reports import files_of
from tests.fixtures.verbs import Output, call

NOTHING = re.compile(r"[-+\N{MINUS SIGN}\N{PLUS-MINUS SIGN}]?\b0\.0{4,}\b")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.93125, "0.931250"), (0.0, "0"), (-0.0, "0"), (-12.5, "-12.500000"), (0.05, "0.050000"),
        (2.0e-9, "2e-09"), (-3.21987654e-7, "-3.21988e-07"), (0.00012345, "0.00012345"),
        (1e30, "1e+30"), (float("nan"), "nan"), (float("-inf"), "-inf"),
    ],
)  # fmt: skip
def test_a_metric_has_six_decimals_or_as_many_digits(value: float, text: str) -> None:
    assert figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0125, "+0.012500"), (-0.00012, "-0.000120"), (0.0, "±0"), (-2.512e-9, "-2.51e-09")],
)
def test_a_difference_has_its_sign_and_never_shows_as_nothing(value: float, text: str) -> None:
    assert change(value) == text
    assert amount(abs(value)) == text[1:]


def test_one_thing_is_one_thing() -> None:
    assert [count(n, "call") for n in (0, 1, 1200)] == ["0 calls", "1 call", "1,200 calls"]
    assert [count(n, "hour") for n in (1.0, 2.5)] == ["1 hour", "2.5 hours"]
    assert degrees_of_freedom(1.0) == "1 degree of freedom"
    assert degrees_of_freedom(2.5714) == "2.57 degrees of freedom"


def test_a_difference_on_a_page_has_its_sign_too() -> None:
    assert words.difference(1e-9, 3e-9) == "\N{MINUS SIGN}2e\N{MINUS SIGN}09"
    assert words.difference(1e-9, 1e-9) == "\N{PLUS-MINUS SIGN}0"


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.14159, "3.142"), (0.0123, "0.0123"), (1.2e-5, "1.2e-05"), (-2.5, "-2.500"), (0.0, "0")],
)
def test_a_loss_that_goes_by_has_three_decimals_or_three_digits(value: float, text: str) -> None:
    assert glance(value) == text


def test_the_words_of_a_decision_show_an_effect_however_small() -> None:
    theirs = {1: 2e-13, 2: 2.1e-13, 3: 1.9e-13, 4: 2.05e-13}
    ours = {2: 1e-13, 3: 1.1e-13, 4: 0.9e-13}
    found = weigh(
        ours,
        theirs,
        Noise().taking_all(list(theirs.values())),
        Criteria(most_seeds=3),
        minimize=True,
    )
    assert re.search(r"[-]1\.\d*e-13 ± \d\.?\d*e-15", found.words), found.words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "BASELINE_METRIC", 1.1e-9)
        patch.setattr(synthetic, "BEST_METRIC", 0.9e-9)
        patch.setattr(synthetic, "SIGMA", 2e-12)
        return StudyFolder(make_confirmed(tmp_path_factory.mktemp("small") / "s", seed=1))


def test_no_verb_writes_a_small_metric_as_nothing(folder: StudyFolder, capsys: Output) -> None:
    with Reader(folder.database) as reader:
        champion = reader.study().champion
    assert champion is not None
    for verb in (["status"], ["best"], ["show", champion.experiment]):
        assert call(*verb, "-s", folder.path) == 0
        said = capsys.readouterr().out
        assert figure(champion.metric) in said, verb
        assert not NOTHING.search(said), verb


def test_no_export_and_no_report_does(folder: StudyFolder, tmp_path: Path) -> None:
    with Reader(folder.database) as reader:
        write_tsv(reader, tmp_path / "results.tsv")
        experiments = {e.metric for e in reader.experiments() if e.metric is not None}
    with (tmp_path / "results.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    written = {float(row["val_bpb"]) for row in rows if row["val_bpb"]}
    assert written == {float(figure(each)) for each in experiments}
    assert not NOTHING.search(files_of(folder)["report.md"].decode())


def test_neither_a_page_nor_a_notice_does(folder: StudyFolder) -> None:
    with Reader(folder.database) as reader:
        study, points = reader.study(), collect(reader)
        champion = reader.experiment(study.champion.experiment if study.champion else 0)
    assert champion is not None
    assert champion.metric is not None
    assert (
        figure(champion.metric)
        in figures(Snapshot(study, 0.0, runs=False, champion=champion))["champion"]
    )
    assert figure(champion.metric) in ended(Live(at=0.0, study=study), "s").text
    drawing = draw(points, {}, "loss", minimize=True)
    assert figure(champion.metric) in drawing.words
    assert [row[1] for row in drawing.line][-1] == pytest.approx(champion.metric, rel=1e-5)


def test_neither_a_live_view_nor_a_slots_card_does(folder: StudyFolder) -> None:
    slot = SlotView(0, trial=1, experiment=1, title="t", phase="train", step=5, loss=1.2e-5)
    with Reader(folder.database) as reader:
        live = Live(at=0.0, study=reader.study(), slots=(slot,))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(render(live))
    assert "1.2e-05" in console.export_text()
    assert "loss 1.2e-05" in _figures(slot)
    assert "from 1.2e-05 to 5e-06" in sparkline([(0, 1.2e-5), (1, 5e-6)])

"""The report: what it says of studies of every kind."""

import re
import shutil
import sqlite3
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt

from scheduler.results import Ended
from scheduler.rules.states import ExperimentState
from scheduler.study.config import Config
from scheduler.study.folder import StudyFolder
from scheduler.study.reader import Reader
from scheduler.study.report.material import gathered
from tests.fixtures.acted_study import ActedStudy
from tests.fixtures.confirmed_study import make_confirmed
from tests.fixtures.reports import Page, files_of
from tests.long_study import lengthen
from tests.synthetic import make_study
from workers import Outcome, OutcomeStatus

STUDIES = Path(__file__).parents[1] / "fixtures" / "studies"


@pytest.fixture(scope="module")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return StudyFolder(make_confirmed(tmp_path_factory.mktemp("c") / "confirmed", 60, seed=3))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return StudyFolder(make_study(tmp_path_factory.mktemp("p") / "plain", 40, seed=3))


def test_what_each_edit_contributes_and_that_all_decisions_come_out_again(
    confirmed: StudyFolder,
) -> None:
    page = Page(files_of(confirmed)["report.html"])
    with Reader(confirmed.database) as reader:
        taken_out = reader.ablations(100)
        decided = sum(e.metric is not None for e in reader.experiments())
    assert taken_out
    assert f"{len(taken_out)} edit" in page.text
    lines = page.text.split("\n")
    for each in taken_out:
        row = lines[lines.index(f"#{each.ablates}", lines.index("without it")) :][:7]
        assert row[2] == f"#{each.parent}"
        assert row[6].startswith("stays" if each.state is ExperimentState.DISCARD else each.state)
    assert f"{decided} decisions to keep or to discard" in page.text
    assert "every one comes out as it was recorded" in page.text


# ---- what it says ---------------------------------------------------------------------------


def test_a_study_that_confirms_is_told_with_effects_errors_and_chances(
    confirmed: StudyFolder,
) -> None:
    page = Page(files_of(confirmed)["report.html"])
    with Reader(confirmed.database) as reader:
        wins = [each for each in reader.kept() if each.parent is not None]
        lines = page.text.split("\n")
    assert wins
    assert f"{len(wins)} changes, {len(wins)} of them confirmed with further seeds" in page.text
    assert "Nothing was confirmed" not in page.text
    for each in wins:  # "discarded: -0.0041 ± 0.0012 over 3 seeds, p = 0.004"
        found = re.search(r"kept: ([+-][\d.]+) ± ([\d.]+) over (?:the )?(\d+) seed", each.reason)
        assert found is not None, each.reason
        row = lines[lines.index(f"#{each.id}") :][:10]
        effect, error = row[4].replace("\N{MINUS SIGN}", "-"), row[5].lstrip("±")
        assert float(effect) == pytest.approx(float(found[1]), abs=6e-5)
        assert float(error) == pytest.approx(float(found[2]), abs=6e-5)
        assert row[6] == found[3]


def test_comments_of_the_directions_stay_out(tmp_path: Path) -> None:
    study = StudyFolder(make_study(tmp_path / "own", 4, seed=3))
    study.save_program("# Find it\n\n<!-- WRITE HERE: your aims. -->\nLower the loss.\n")
    text = Page(files_of(study)["report.html"]).text
    assert "Lower the loss." in text
    assert "your aims" not in text


def test_a_study_that_kept_nothing_counts_no_change_as_kept(tmp_path: Path) -> None:
    study = StudyFolder(make_confirmed(tmp_path / "none", 4, seed=3))
    with Reader(study.database) as reader:
        kept = [e.id for e in reader.kept()]
        counts = reader.study().counts
    text = Page(files_of(study)["report.html"]).text
    wins = len(kept) - 1
    assert f"({'the baseline, ' + f'{wins} kept, ' * (wins > 0)}" in text
    assert f"{counts[ExperimentState.DISCARD]} discarded" in text
    assert " keep," not in text
    assert "more than 1 standard deviation of the noise" in text


def test_its_commands_name_the_study(tmp_path: Path) -> None:
    study = StudyFolder(make_study(tmp_path / "we ird ü", 4))
    text = files_of(study)["report.md"].decode()
    assert "autoresearch best -o train.py -s 'we ird ü'" in text
    odd = StudyFolder(make_study(tmp_path / "a\nrm b", 4))
    assert "-s STUDY" in files_of(odd)["report.md"].decode()


def test_where_no_repeat_differs_the_report_makes_up_no_chance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.synthetic.SIGMA", 0.0)
    study = StudyFolder(make_confirmed(tmp_path / "exact", 20, seed=3))
    text = Page(files_of(study)["report.html"]).text
    assert "< 0.0001" not in text
    assert "±0.000000" not in text
    assert "the seed changes nothing, so there is no p" in text
    assert "not measured" in text
    assert "Nothing was confirmed" not in text
    assert "every one comes out as it was recorded" in text


def test_a_study_of_plain_comparisons_says_that_nothing_was_confirmed(plain: StudyFolder) -> None:
    files = files_of(plain)
    page = Page(files["report.html"])
    assert "Nothing was confirmed." in page.text
    assert "0 of them confirmed" in page.text
    assert "which luck can win too" in page.text
    assert "The noise is not known" in page.text
    assert "95 % interval:" not in page.text
    assert "by which it was chosen" in page.text


def test_both_formats_have_the_same_sections_and_words(confirmed: StudyFolder) -> None:
    files = files_of(confirmed, at=1.8e9)
    page = Page(files["report.html"])
    html = MarkdownIt("commonmark").enable("table").render(files["report.md"].decode())
    markdown = Page(f"<div>{html}</div>".encode())
    assert markdown.headings == page.headings
    words = re.findall(r"\w+", page.text.partition("The question\n")[2])
    others = set(re.findall(r"\w+", markdown.text))
    assert [each for each in words if each not in others] == []


def test_pictures_stand_in_the_page_and_beside_the_markdown(confirmed: StudyFolder) -> None:
    files = files_of(confirmed)
    named = re.findall(r"!\[.*\]\(([^)]+)\)", files["report.md"].decode())
    assert named == ["report-progress.png", "report-effects.png"]
    assert set(files) == {"report.html", "report.md", *named}
    assert all(files[name][:8] == b"\x89PNG\r\n\x1a\n" for name in named)
    drawings = re.findall(r"<svg.*?</svg>", files["report.html"].decode(), re.DOTALL)
    assert len(drawings) == 2
    for each in drawings:
        ElementTree.fromstring(each)
        assert "var(--good)" in each
        assert not re.search(r"#01020\d", each)


def test_estimates_leave_out_the_trial_that_one_was_chosen_by(confirmed: StudyFolder) -> None:
    with Reader(confirmed.database) as reader:
        champion = reader.champion()
        assert champion is not None
        trials = [t for t in reader.trials(champion.experiment) if t.outcome and t.outcome.metric]
        metrics = [t.outcome.metric for t in trials if t.outcome and t.number > 1]
    mean = sum(m for m in metrics if m is not None) / len(metrics)
    page = Page(files_of(confirmed)["report.html"])
    best = page.text.partition("\nbest\n")[2].split("\n")[0]
    assert f"{mean:.6f} ±" in page.text
    assert f"(#{champion.experiment}, {len(metrics)} trial" in page.text, best


def test_a_study_whose_baseline_failed_has_a_report(tmp_path: Path) -> None:
    with ActedStudy(tmp_path / "failed") as study:
        outcome = Outcome(1, OutcomeStatus.CRASH, reason="ValueError: no way", log="x")
        study.send(Ended(time.time(), outcome))
    files = files_of(study.folder)
    page = Page(files["report.html"])
    assert "There is no figure: the baseline failed (crash): ValueError: no way" in page.text
    assert "Progress" not in page.headings
    assert "What was kept" not in page.headings
    assert not any(name.endswith(".png") for name in files)


def test_a_study_that_has_just_begun_has_one_that_says_so(tmp_path: Path) -> None:
    with ActedStudy(tmp_path / "begun") as study:
        page = Page(files_of(study.folder)["report.html"])
    assert "no baseline has been measured yet" in page.text
    assert "The study still runs" in page.text


@pytest.mark.parametrize("schema", [1, 2])
def test_studies_of_older_versions_have_one(tmp_path: Path, schema: int) -> None:
    folder = StudyFolder(tmp_path / "old")
    folder.create(Config(), "# Directions")
    database = sqlite3.connect(folder.database)
    database.executescript((STUDIES / f"schema{schema}.sql").read_text("utf-8"))
    database.close()
    page = Page(files_of(folder)["report.html"])
    assert "Nothing was confirmed." in page.text
    assert "What was kept" in page.headings


def test_a_long_study_has_a_report_of_bounded_length(tmp_path: Path, plain: StudyFolder) -> None:
    shutil.copytree(plain.path, tmp_path / "long")
    long = StudyFolder(tmp_path / "long")
    assert lengthen(long.database, 250) > 10_000
    short_files, files = files_of(plain), files_of(long)
    with Reader(long.database) as reader:
        kept = list(reader.kept())
    page = Page(files["report.html"])
    assert all(f"#{each.id}\n" in page.text for each in kept)
    assert len(files["report.md"]) < len(short_files["report.md"]) + 10_000
    assert len(files["report.html"]) < 500_000


def test_a_metric_to_be_maximised_is_told_so(tmp_path: Path) -> None:
    with ActedStudy(tmp_path / "up", "task.metric.goal=maximize") as study:
        study.end_trial(1, 2.0)
        study.propose(2.5)
        study.end_trial(study.started()[-1], 2.5)
    page = Page(files_of(study.folder)["report.html"])
    assert "higher is better" in page.text
    assert "from 2.000000 to 2.500000: +0.500000, which is +25.00 %" in page.text
    assert "positive is better" in page.text


def test_what_is_nobodys_business_is_not_told(tmp_path: Path) -> None:
    secret = "https://chat.example.org/hooks/secret-word"
    with ActedStudy(tmp_path / "s", f"notify.webhook={secret}", "agent.key_file=/k/e.y") as study:
        study.end_trial(1, 2.0)
    for content in files_of(study.folder).values():
        assert b"secret-word" not in content
        assert b"/k/e.y" not in content


def test_a_study_that_goes_on_meanwhile_is_told_as_it_was(tmp_path: Path) -> None:
    with ActedStudy(tmp_path / "running") as study:
        study.end_trial(1, 2.0)
        study.propose(1.5)
        with Reader(study.folder.database) as reader:
            config = study.folder.load_config()
            with gathered(reader, study.folder, config, at=time.time(), runs=True) as material:
                study.end_trial(study.started()[-1], 1.5)
                assert [each.experiment.id for each in material.kept] == [0]
                assert len(list(reader.kept())) == 1
            assert len(list(reader.kept())) == 2


def test_every_failure_is_counted_in_its_kind(plain: StudyFolder) -> None:
    page = Page(files_of(plain)["report.html"])
    with Reader(plain.database) as reader:
        counts = reader.study().counts
    failed = sum(count for state, count in counts.items() if state.is_failure)
    assert f"{failed} experiments failed" in page.text
    assert counts[ExperimentState.CRASH] > 1
    assert f"{counts[ExperimentState.CRASH]}\ncrash\nRuntimeError: mat1" in page.text

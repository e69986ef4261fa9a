"""The live view: what a frame shows at any size, and what is told where there is no terminal."""

import io
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from agent import ArmRecord
from scheduler.cli import texts
from scheduler.cli.view import news, render
from scheduler.notices import notices
from scheduler.rules.states import ExperimentState, InstructionState, StopReason, StudyState
from scheduler.study.live import FRESH_SECONDS, read_live, write_live
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, InstructionRecord, Live, SlotView
from tests.synthetic import make_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Live:
    """A study with two slots at work, a queue and decisions."""
    folder = make_study(tmp_path_factory.mktemp("view") / "s", experiments=30, seed=3)
    with Reader(folder / "study.db") as reader:
        study = reader.study()
        assert study.champion is not None
        waiting = replace(reader.recent(1)[0], id=31, state=ExperimentState.QUEUED, title="queued")
        return Live(
            at=time.time(),
            study=replace(study, state=StudyState.RUNNING, reason=None),
            slots=(slot(0, "train", 0.5), slot(1, "warm_up", 0.0), SlotView(2)),
            queue=(waiting,),
            recent=tuple(reader.recent(10)),
            champion=reader.experiment(study.champion.experiment),
            budget="300 s",
        )


def slot(number: int, phase: str, fraction: float) -> SlotView:
    return SlotView(
        slot=number,
        trial=number + 40,
        experiment=number + 29,
        title=f"title-{number}",
        phase=phase,
        fraction=fraction,
        step=120,
        loss=3.25,
        tokens_per_second=45_000.0,
    )


ASKED = tuple(
    InstructionRecord(
        id=number,
        text="try bigger models" if number == 1 else f"a wish of many words, number {number}",
        priority=0,
        state=InstructionState.IN_USE,
        expires=None,
        created_at=0.0,
        moved_at=0.0,
        experiments=(5, 7) if number == 1 else (),
    )
    for number in range(1, 5)
)


def in_trouble(live: Live) -> Live:
    """The same, paused, with models that cost and one that gives nothing."""
    study = replace(
        live.study,
        state=StudyState.PAUSED,
        reason=StopReason.FAILURES,
        text="8 in a row failed",
        arms=(
            ArmRecord("tuner", proposals=40, experiments=38, kept=3),
            ArmRecord("a-model", proposals=20, experiments=18, kept=5),
        ),
        troubles={"a-model": "no key", "another": "is down"},
        calls=31,
        tokens=231_234,
        dollars=0.8312,
    )
    return replace(live, study=study)


def frame(
    live: Live,
    width: int = 80,
    height: int = 40,
    asked: tuple[InstructionRecord, ...] = (),
    resume: str = "",
) -> list[str]:
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
    )
    console.print(render(live, "a-study", asked, resume))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_a_frame_shows_slots_queue_champion_and_decisions(study: Live) -> None:
    text = "\n".join(frame(study, width=120))
    assert study.champion is not None
    for part in ("a-study", "running", "300 s", "title-0", "warm_up", "3.250", "45k", "free"):
        assert part in text
    assert f"#{study.champion.id}" in text
    assert "#31 queued" in text
    assert all(f"#{e.id}" in text for e in study.recent[:5])


@pytest.mark.parametrize(("width", "height"), [(40, 24), (60, 20), (80, 24), (200, 60)])
@pytest.mark.parametrize("slots", [1, 16, 500])
def test_a_frame_fits_the_terminal(study: Live, width: int, height: int, slots: int) -> None:
    crowd = tuple(slot(n, "train", n / slots) for n in range(slots))
    for live in (study, in_trouble(study)):
        lines = frame(replace(live, slots=crowd), width, height, ASKED)
        assert len(lines) <= height
        assert max(map(len, lines)) <= width


def test_80_columns_and_24_lines_hold_all_that_the_dashboard_shows(study: Live) -> None:
    crowd = tuple(slot(n, "train", 0.5) for n in range(4))
    live = replace(in_trouble(study), slots=crowd)
    text = "\n".join(frame(live, 80, 24, ASKED))
    assert live.champion is not None
    for part in (
        *("paused: 8 in a row failed", "autoresearch unpause, or stop", "a-model: no key"),
        *("a-model 5 kept of 18, tuner 3 kept of 38", "0.83 $, 31 calls, 231,234 tokens"),
        *("title-0", "title-3", "3.250", f"#{live.champion.id}", "queue 1", "asked 4"),
        *("1 in use by #7: try bigger models", f"#{live.recent[0].id}"),
    ):
        assert part in text, part


def test_what_a_paused_study_needs_is_said_only_where_it_needs_it(study: Live) -> None:
    paused = in_trouble(study)
    assert "autoresearch run night" in "\n".join(frame(paused, resume="autoresearch run night"))
    full = replace(paused, study=replace(paused.study, reason=None, text="no room on the disk"))
    assert "to go on" not in "\n".join(frame(full))
    assert "to go on" not in "\n".join(frame(study))


def test_slots_without_room_are_summed_up(study: Live) -> None:
    crowd = tuple(slot(n, "train" if n % 2 else "eval", 0.5) for n in range(100))
    text = "\n".join(frame(replace(study, slots=crowd), height=24))
    shown = sum(f"title-{n} " in text for n in range(100))
    assert f"and {100 - shown} more slots" in text


def test_what_a_model_wrote_is_neither_markup_nor_an_escape(study: Live) -> None:
    evil = replace(slot(0, "train", 0.5), title="[red]x[/red] \x1b[2J\x1b]0;owned\x07")
    text = "\n".join(frame(replace(study, slots=(evil,)), width=120))
    assert "[red]x[/red]" in text
    assert "\x1b" not in text
    assert "owned" not in text


# ---- lines ------------------------------------------------------------------------------------


def decided(study: Live, *experiments: Experiment) -> Live:
    counts = dict(study.study.counts)
    for experiment in experiments:
        counts[experiment.state] = counts.get(experiment.state, 0) + 1
    recent = (*reversed(experiments), *study.recent)[:10]
    return replace(study, study=replace(study.study, counts=counts), recent=recent)


def experiment(
    study: Live, number: int, state: ExperimentState, metric: float | None
) -> Experiment:
    on = study.champion.hardware if study.champion else ""
    return replace(
        study.recent[0], id=number, state=state, metric=metric, title=f"t{number}", hardware=on
    )


def test_the_first_frame_tells_the_state_and_not_the_past(study: Live) -> None:
    (line,) = news(None, study)
    assert line.endswith("study running")


def test_nothing_new_is_nothing_told(study: Live) -> None:
    assert news(study, replace(study, at=study.at + 1)) == []


def test_each_decision_is_told_once_in_its_order(study: Live) -> None:
    discard = experiment(study, 90, ExperimentState.DISCARD, 1.5)
    crash = experiment(study, 91, ExperimentState.CRASH, None)
    later = decided(study, discard, crash)
    first, second = news(study, later)
    assert "#90" in first
    assert "1.500000" in first
    assert "#91" in second
    assert "crash" in second
    assert news(later, later) == []


def test_decisions_beyond_those_that_a_frame_holds_are_counted(study: Live) -> None:
    many = [experiment(study, 100 + n, ExperimentState.DISCARD, 1.5) for n in range(13)]
    lines = news(study, decided(study, *many))
    assert "3 more experiments were decided" in lines[0]
    assert len(lines) == 11


def test_a_new_champion_and_a_new_state_are_told(study: Live) -> None:
    champion = study.study.champion
    assert champion is not None
    better = replace(champion, number=champion.number + 1, experiment=90, metric=0.5)
    changed = replace(study.study, champion=better, state=StudyState.DRAINING)
    lines = news(study, replace(study, study=changed))
    assert any("study draining" in line for line in lines)
    assert any("champion #90  0.500000" in line for line in lines)


def test_a_decision_is_told_against_the_figure_that_the_champion_had_then(study: Live) -> None:
    """Which a repeat may have moved since the last frame."""
    champion = study.study.champion
    assert champion is not None
    moved = replace(study.study, champion=replace(champion, metric=1.25))
    lost = experiment(study, 90, ExperimentState.DISCARD, 1.5)
    (line,) = news(study, decided(replace(study, study=moved), lost))
    assert "+0.250000" in line


def test_a_win_is_told_against_the_champion_that_it_overtook(study: Live) -> None:
    champion = study.study.champion
    assert champion is not None
    won = experiment(study, 90, ExperimentState.KEEP, 0.5)
    old = experiment(study, champion.experiment, ExperimentState.KEEP, 1.25)
    crowned = replace(champion, number=champion.number + 1, experiment=90, metric=0.5)
    later = decided(replace(study, study=replace(study.study, champion=crowned)), won)
    later = replace(later, recent=(later.recent[0], old))
    line = news(study, later)[0]
    assert "-0.750000" in line


def test_a_model_that_fails_is_told_once_with_its_cause_first(study: Live) -> None:
    def failing(seconds: int) -> Live:
        why = f"401 wrong key (1 failed attempt; left alone for {seconds} s)"
        return replace(study, study=replace(study.study, troubles={"foo/bar": why}))

    quiet = replace(study, study=replace(study.study, troubles={}))
    (line,) = news(quiet, failing(30))
    assert line.partition("  ")[2].startswith("trouble  foo/bar: 401 wrong key (1 failed")
    assert news(failing(30), failing(20)) == []


# ---- live.json --------------------------------------------------------------------------------


def test_a_champion_that_was_measured_again_is_no_new_one(study: Live) -> None:
    champion = study.study.champion
    assert champion is not None
    again = replace(study.study, champion=replace(champion, metric=champion.metric - 0.001))
    now = replace(study, study=again)
    assert news(study, now) == []
    assert notices(study, now, "s") == []


def test_what_is_written_is_what_is_read(study: Live, tmp_path: Path) -> None:
    write_live(tmp_path / "live.json", study)
    assert read_live(tmp_path / "live.json", now=study.at + 1) == study


def test_an_old_view_says_nothing_of_the_present(study: Live, tmp_path: Path) -> None:
    write_live(tmp_path / "live.json", study)
    assert read_live(tmp_path / "live.json", now=study.at + FRESH_SECONDS) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"at": 1}', '{"at": "x"}', "\x00\xff"])
def test_a_damaged_view_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "live.json"
    path.write_bytes(text.encode("latin-1"))
    assert read_live(path) is None


def test_a_missing_view_is_none(tmp_path: Path) -> None:
    assert read_live(tmp_path / "live.json") is None


def test_models_whose_names_differ_at_their_end_can_be_told_apart() -> None:
    names = [f"openrouter/some-provider/a-model-with-a-long-name:{end}" for end in ("one", "two")]
    console = Console(file=io.StringIO(), width=80)
    console.print(texts.arms([ArmRecord(name, proposals=100_000) for name in names]))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert names == ["".join(line.split()[0] for line in part) for part in _parts(lines[1:])]


def _parts(lines: list[str]) -> list[list[str]]:
    """Rows of a table whose first column is folded; a row begins where there are figures."""
    parts: list[list[str]] = []
    for line in lines:
        if len(line.split()) > 1:
            parts.append([])
        parts[-1].append(line)
    return parts

"""The reading verbs of the command line, on a study that is not running and on one that is."""

import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scheduler.cli.show import _kin
from scheduler.reasons import decision
from scheduler.rules.states import ExperimentState
from scheduler.study.folder import StudyFolder
from scheduler.study.live import write_live
from scheduler.study.reader import Reader
from scheduler.study.records import Live
from scheduler.study.store import Store
from tests.fixtures.confirmed_study import make_confirmed
from tests.fixtures.verbs import Output, call, document
from tests.synthetic import make_study

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_study(tmp_path_factory.mktemp("verbs") / "studies" / "s", experiments=40, seed=3)


@pytest.fixture(scope="module")
def crash(folder: Path) -> int:
    """The id of an experiment that crashed."""
    with Reader(folder / "study.db") as reader:
        return next(e.id for e in reader.experiments() if e.state is ExperimentState.CRASH)


# ---- status, top ------------------------------------------------------------------------------


def test_status_says_where_the_study_stands(folder: Path, capsys: Output) -> None:
    assert call("status", folder) == 0
    text = capsys.readouterr().out
    for part in ("stopped", "stop.max_experiments", "champion", "from the baseline", "leaderboard"):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_status_says_that_a_lucky_figure_above_the_champion_was_not_kept(
    tmp_path: Path, capsys: Output
) -> None:
    folder = make_confirmed(tmp_path / "s", 20, seed=3)
    with Reader(folder / "study.db") as reader:
        champion = reader.study().champion
        assert champion is not None
        other = next(e for e in reader.experiments() if e.state is ExperimentState.DISCARD)
    store = Store(folder / "study.db")
    for metric, there in ((champion.metric - 0.01, True), (champion.metric + 0.01, False)):
        store._db.execute("UPDATE experiment SET metric = ? WHERE id = ?", (metric, other.id))
        assert call("status", folder) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert (f"above the champion, and not kept: #{other.id}; by one" in text) is there
    store.close()


def test_status_as_json_has_numbers_and_nulls(folder: Path, capsys: Output) -> None:
    assert call("status", "-s", folder, "--json") == 0
    status = document(capsys)
    assert status["running"] is False
    assert status["study"]["reason"] == "max_experiments"
    assert isinstance(status["leaderboard"][0]["metric"], float)
    failures = [e for e in status["recent"] if e["state"] in ("crash", "oom")]
    assert all(e["metric"] is None for e in failures)


def test_without_a_name_the_latest_study_is_read(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parents[1])
    assert call("status", "--json") == 0
    assert document(capsys)["name"] == "s"


@pytest.mark.parametrize("verb", [("export",), ("plot",), ("serve",), ("reproduce", "1")])
def test_verbs_that_read_a_folder_take_no_other_study_than_the_one_behind_the_url(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    monkeypatch.chdir(folder.parents[1])
    monkeypatch.setenv("AUTORESEARCH_URL", "http://127.0.0.1:1")
    assert call(*verb) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "name the study, or unset AUTORESEARCH_URL" in output.err
    assert output.err.count("\n") == 1


def test_a_study_that_is_named_goes_before_the_url(
    folder: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTORESEARCH_URL", "http://127.0.0.1:1")
    assert call("export", "-o", tmp_path / "a.tsv", "-s", folder) == 0
    assert call("status", folder) == 0


@pytest.mark.parametrize("verb", ["status", "top", "report", "timeline", "pause"])
def test_two_names_for_one_study_are_refused(folder: Path, capsys: Output, verb: str) -> None:
    assert call(verb, "other", "-s", folder) == 2
    assert "these are two studies, name one" in capsys.readouterr().err


def test_an_empty_name_is_refused(capsys: Output) -> None:
    assert call("run", "") == 2
    assert "a study's name is empty" in capsys.readouterr().err
    assert call("status", "-s", "") == 2


def test_a_running_study_is_shown_from_its_live_view(folder: Path, capsys: Output) -> None:
    with Reader(folder / "study.db") as reader:
        live = Live(at=time.time(), study=replace(reader.study(), slots=77))
    write_live(folder / "live.json", live)
    try:
        assert call("status", folder, "--json") == 0
    finally:
        (folder / "live.json").unlink()
    status = document(capsys)
    assert (status["running"], status["study"]["slots"]) == (True, 77)


def test_top_shows_the_last_state_of_a_study_that_does_not_run(
    folder: Path, capsys: Output
) -> None:
    assert call("top", folder) == 0
    assert "stopped" in capsys.readouterr().out


# ---- one experiment ---------------------------------------------------------------------------


def test_show_says_why_an_experiment_failed(folder: Path, crash: int, capsys: Output) -> None:
    assert call("show", crash, "-s", folder) == 0
    text = capsys.readouterr().out
    assert "crash: RuntimeError: mat1 and mat2" in text
    assert "Traceback" in text
    assert "NVIDIA H100" in text


@pytest.mark.parametrize("columns", [60, 80])
def test_show_fits_the_terminal(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert call("show", 0, "-s", folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("trial 1: seed") for line in lines)
    assert max(map(len, lines)) <= columns


def test_show_says_of_an_experiment_what_its_state_does_not(tmp_path: Path, capsys: Output) -> None:
    folder = make_confirmed(tmp_path / "s", 20, seed=3)
    with Reader(folder / "study.db") as reader:
        every = list(reader.experiments())
    for state, words in (
        (ExperimentState.KEEP, "keep: -0."),
        (ExperimentState.DISCARD, "discard: "),
    ):
        found = next(e for e in every if e.state is state and e.parent is not None)
        assert found.reason.startswith(("kept: ", "discarded"))
        assert call("show", found.id, "-s", folder) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert f"state {words}" in text
        assert ": kept" not in text
        assert ": discarded" not in text
    assert decision(every[0]) == "the baseline"
    older = replace(every[0], reason="the baseline, over 1 trial")
    assert decision(older) == "the baseline"
    one, two = (_kin(replace(older, rebases=edits))["rebases"] for edits in ((13,), (13, 14)))
    assert one == "#13, overtaken before it was confirmed"
    assert two == "#13, #14, overtaken before they were confirmed"
    plain = "kept by a plain comparison, which luck can win"
    assert decision(replace(older, reason=plain)) == plain.removeprefix("kept ")


def test_show_says_which_start_up_was_of_a_process_that_was_there(
    folder: Path, capsys: Output
) -> None:
    with Reader(folder / "study.db") as reader:
        trials = reader.trials()
    cold, warm = trials[0], trials[-1]
    for trial, words in ((cold, "4.0 s"), (warm, "0.5 s warm")):
        call("show", trial.experiment, "-s", folder)
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        row = next(line for line in lines if line.startswith(f"{trial.id} "))
        assert f" {words} 11.0 s" in row


def test_show_names_the_constants_that_differ_from_the_parent(folder: Path, capsys: Output) -> None:
    with Reader(folder / "study.db") as reader:
        found = next(e for e in reader.experiments() if e.origin == "tuner")
    assert call("show", found.id, "-s", folder, "--json") == 0
    changed = document(capsys)["changed_constants"]
    (name,) = changed
    assert found.title.startswith(f"{name} ")
    assert changed[name]["after"] == found.constants[name]


def test_diff_shows_the_edit_of_the_parent(folder: Path, crash: int, capsys: Output) -> None:
    assert call("diff", crash, "-s", folder) == 0
    text = capsys.readouterr().out
    assert text.startswith("--- a/train.py\n+++ b/train.py\n")


def test_a_diff_with_itself_is_empty(folder: Path, capsys: Output) -> None:
    assert call("diff", 3, 3, "-s", folder) == 0
    assert capsys.readouterr().out == ""


def test_the_baseline_has_no_diff_of_its_own(folder: Path, capsys: Output) -> None:
    assert call("diff", 0, "-s", folder) == 2
    assert "is a baseline" in capsys.readouterr().err


def test_what_a_script_printed_cannot_steer_the_terminal(tmp_path: Path, capsys: Output) -> None:
    folder = make_study(tmp_path / "s", experiments=1)
    path = StudyFolder(folder).experiment(1).trial_log(1)
    path.parent.mkdir(parents=True)
    path.write_text("[bold]as it is[/bold] \x1b[2J\x1b]0;owned\x07\n")
    store = Store(folder / "study.db")
    store._db.execute(
        "UPDATE experiment SET title = '[red]\x1b[31mT', hypothesis = '[/nope]\x1b[2J'"
    )
    store.close()
    for verb in (("log", 1), ("show", 1), ("status",), ("top",)):
        assert call(*verb, "-s", folder) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "[bold]as it is[/bold]" in text
    assert "[/nope]" in text


def test_the_tail_of_a_log(folder: Path, crash: int, capsys: Output) -> None:
    assert call("log", crash, "--tail", 1, "-s", folder) == 0
    assert capsys.readouterr().out.startswith("RuntimeError")


def test_following_a_log_ends_when_the_experiment_is_decided(
    tmp_path: Path, capsys: Output
) -> None:
    folder = make_study(tmp_path / "s", experiments=1)
    path = StudyFolder(folder).experiment(1).trial_log(1)
    path.parent.mkdir(parents=True)
    path.write_text("before\n")
    store = Store(folder / "study.db")
    (final,) = store._db.execute("SELECT state FROM experiment WHERE id = 1").fetchone()
    store._db.execute("UPDATE experiment SET state = 'running' WHERE id = 1")
    with Reader(folder / "study.db") as reader:
        write_live(folder / "live.json", Live(at=time.time(), study=reader.study()))
    store.close()

    def end() -> None:
        with path.open("a") as file:
            file.write("while it was followed\n")
        other = Store(folder / "study.db")
        other._db.execute("UPDATE experiment SET state = ? WHERE id = 1", (final,))
        other.close()

    ending = threading.Timer(0.5, end)
    ending.start()
    assert call("log", 1, "--follow", "-s", folder) == 0
    ending.join()
    assert capsys.readouterr().out == "before\nwhile it was followed\n"


# ---- files ------------------------------------------------------------------------------------


def test_best_writes_the_champions_code(folder: Path, tmp_path: Path, capsys: Output) -> None:
    target = tmp_path / "best.py"
    assert call("best", "-o", target, "-s", folder, "--json") == 0
    best = document(capsys)
    with Reader(folder / "study.db") as reader:
        assert target.read_text() == reader.files(best["experiment"])["train.py"]
        assert best["metric"] == reader.leaders(1)[0].metric


def test_export_and_plot_write_where_they_are_told(
    folder: Path, tmp_path: Path, capsys: Output
) -> None:
    fresh = tmp_path / "not" / "there"
    assert call("export", "--format", "tsv,csv", "-o", fresh, "-s", folder) == 0
    assert {path.name for path in fresh.iterdir()} == {"results.tsv", "results.csv"}
    assert call("export", "-o", tmp_path / "nor" / "this" / "a.tsv", "-s", folder) == 0
    assert (tmp_path / "nor" / "this" / "a.tsv").is_file()
    (taken := tmp_path / "taken").write_text("")
    assert call("export", "--format", "tsv,csv", "-o", taken, "-s", folder) != 0
    for each in ("not", "nor"):
        shutil.rmtree(tmp_path / each)
    taken.unlink()
    assert call("export", "--format", "tsv,csv", "-o", tmp_path, "-s", folder) == 0
    assert call("plot", "-o", tmp_path / "p.png", "-s", folder) == 0
    assert call("plot", "-o", tmp_path / "new" / "p.png", "-s", folder) == 0
    assert call("timeline", "-o", tmp_path / "new" / "er" / "trace.json", "-s", folder) == 0
    assert call("report", "-o", f"{tmp_path}/new/est/", "-s", folder) == 0
    assert call("report", "--format", "html,md", "-o", tmp_path / "new" / "both", folder) == 0
    made = ("p.png", "er/trace.json", "est/report.html", "both/report.html", "both/report.md")
    assert all((tmp_path / "new" / each).is_file() for each in made)
    shutil.rmtree(tmp_path / "new")
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"results.tsv", "results.csv", "p.png"}
    assert str(tmp_path / "p.png") in capsys.readouterr().out


# ---- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "999"), "no experiment 999"),
        (("export", "--format", "xml"), "--format xml"),
        (("plot", "-o", "/dev/null/p.png"), "the folder /dev/null is a file"),
        (("timeline", "--plot", "/dev/null/p.png"), "--plot /dev/null/p.png: the folder"),
        (("report", "--format", "html,md", "-o", "/dev/null"), "--output /dev/null: the folder"),
        (("plot", "-o", "p.jpg"), "p.jpg: pictures are PNG files; name it p.png"),
        (("timeline", "--plot", "p.pdf"), "p.pdf: pictures are PNG files; name it p.png"),
        (("log", "1", "-f", "--json"), "choose one"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    folder: Path, capsys: Output, arguments: tuple[str, ...], words: str
) -> None:
    assert call(*arguments, "-s", folder) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert words in output.err
    assert output.err.count("\n") == 1


def test_an_unknown_study_is_bad_usage(tmp_path: Path, capsys: Output) -> None:
    assert call("status", tmp_path / "nothing") == 2
    assert "no study here" in capsys.readouterr().err


def test_an_unknown_option_is_bad_usage() -> None:
    assert call("status", "--bogus") == 2


def test_a_damaged_database_is_a_failure(tmp_path: Path, capsys: Output) -> None:
    folder = make_study(tmp_path / "s", experiments=0)
    (folder / "study.db").write_bytes(b"no database" * 1000)
    assert call("status", folder) == 1
    assert "study.db" in capsys.readouterr().err


def run_command(*arguments: str | Path, stdout: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "scheduler.cli.app", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE)


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    read, write = os.pipe()
    process = run_command("status", folder, "--json", stdout=write)
    os.close(write)
    os.close(read)
    _, errors = process.communicate(timeout=60)
    assert errors == b""


OF_A_RUN = {
    *("ray", "torch", "matplotlib", "numpy", "scipy", "optuna", "httpx", "asyncio"),
    *("psutil", "filelock", "pathspec", "regex", "immutables"),
    *("workers.supervisor", "workers.command_trial", "workers.bundle", "agent.proposer"),
    *("scheduler.rules.state", "scheduler.rules.events", "scheduler.study.store"),
    *("scheduler.study.letters", "scheduler.study.repository"),
}
"""What runs a study or changes one, and what those who only read it need not wait for."""


def loads(of: set[str], *arguments: str) -> tuple[str, list[str]]:
    """What a verb prints in a process of its own, and which of these modules it has loaded then."""
    code = (
        "import sys\nfrom scheduler.cli.app import main\n"
        f"try:\n    main({list(arguments)})\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print(*sorted({of} & set(sys.modules)), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    return done.stdout, done.stderr.split()


def test_help_loads_nothing_heavy() -> None:
    shown, loaded = loads({*OF_A_RUN, "pydantic", "rich"}, "--help")
    assert "status" in shown
    assert not loaded


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_status_loads_what_it_reads_with_and_no_more(
    folder: Path, options: tuple[str, ...]
) -> None:
    shown, loaded = loads(OF_A_RUN, "status", str(folder), *options)
    assert "baseline" in shown
    assert not loaded

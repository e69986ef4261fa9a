"""`autoresearch init` as people meet it: questions on a terminal, a baseline, faults.

Each fault of a task is said with the line that proves it and with what to do about it.
"""

import os
import pty
import re
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scheduler.study.config_file import load_config
from tests.fixtures.candidates import ROOT
from tests.fixtures.verbs import Output, call

TRAIN = 'SIZE = 3\nfor n in range(SIZE):\n    loss = 1 / (n + 1)\nprint(f"val_loss: {loss:.4f}")\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTORESEARCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.py").write_text(TRAIN)
    return tmp_path / "mine"


def test_without_a_question_it_writes_both_files_and_shows_the_line_of_the_metric(
    folder: Path, capsys: Output
) -> None:
    assert call("init", "mine", "--yes") == 0
    said = capsys.readouterr().out
    assert "val_loss = 0.333300 after" in said
    assert "read from the line: val_loss: 0.3333" in said
    assert "this was one run with one seed" in said
    made = folder.parent / "mine-research"
    config = load_config(made / "mine.yaml", [], {})
    assert config.task.source == str(folder)
    assert config.task.deadline == 40  # measured: it knows no seconds
    program = (made / "program.md").read_text()
    assert program.count("WRITE HERE") == 3
    assert "Lower **val_loss**" in program
    text = (made / "mine.yaml").read_text()
    assert "goal:" not in text  # the default
    assert "# train.py:4: val_loss: <loss>" in text
    assert f"start   {text.splitlines()[2].removeprefix('#   ')}" in said.replace("\n", " ")


def test_a_pattern_that_only_trials_understand_shows_its_line_too(
    folder: Path, capsys: Output
) -> None:
    flags = ["--metric", "val_loss", "--pattern", r"val_loss: (?<value>[-+.\w]+)"]
    assert call("init", "mine", "--yes", *flags) == 0
    assert "read from the line: val_loss: 0.3333" in capsys.readouterr().out


def test_a_metric_whose_line_the_log_has_lost_says_that(folder: Path, capsys: Output) -> None:
    longer = 'print("x" * 100)\n' * 20
    (folder / "train.py").write_text(
        f"{longer * 100}{TRAIN}for n in range(200_000):\n    print(n)\n"
    )
    assert call("init", "mine", "--yes") == 0
    said = capsys.readouterr().out
    assert "val_loss = 0.333300 after" in said
    assert "read from a line of its output, which is cut out of the log" in said
    assert "None" not in said


REPORTS = (
    "import argparse\nparser = argparse.ArgumentParser()\n"
    'parser.add_argument("--steps", type=int, default=3)\n'
    "for n in range(parser.parse_args().steps):\n    loss = 1 / (n + 1)\n"
    '    print(f"val_loss: {loss:.4f}")\n'
)


def test_a_script_that_counts_its_steps_gets_a_budget_that_fits_them(
    folder: Path, capsys: Output
) -> None:
    (folder / "train.py").write_text(REPORTS)
    assert call("init", "mine", "--yes") == 0
    said = capsys.readouterr().out
    assert "--steps = 3 (train.py) says when it ends" in said
    assert "wrote   budget.seconds: 40, since" in said
    made = folder.parent / "mine-research"
    config = load_config(made / "mine.yaml", [], {})
    assert (config.budget.seconds, config.task.budget) == (40, "enforced")
    assert "within the budget of a trial (40 s)" in (made / "program.md").read_text()

    assert call("init", "mine", "--yes", "--force", "--seconds", "200") == 0
    assert load_config(made / "mine.yaml", [], {}).budget.seconds == 200
    assert "wrote   budget.seconds" not in capsys.readouterr().out


def test_nothing_is_overwritten_unless_it_is_told_to(folder: Path, capsys: Output) -> None:
    made = folder.parent / "mine-research"
    made.mkdir()
    (made / "program.md").write_text("mine")
    assert call("init", "mine", "--yes", "--no-baseline") == 2
    assert "overwrite with --force" in capsys.readouterr().err
    assert [path.name for path in made.iterdir()] == ["program.md"]
    assert (made / "program.md").read_text() == "mine"
    assert call("init", "mine", "--yes", "--no-baseline", "--force") == 0
    assert (made / "program.md").read_text() != "mine"


def test_from_within_the_repository_the_files_land_beside_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.chdir(folder)
    assert call("init", ".", "--yes", "--no-baseline") == 0
    assert (folder.parent / "mine-research" / "mine.yaml").is_file()
    assert [path.name for path in folder.iterdir()] == ["train.py"]
    assert f"autoresearch run {folder.parent}/mine-research/study --config" in (
        capsys.readouterr().out
    )


def test_an_address_of_git_is_cloned_at_its_newest_commit(folder: Path, capsys: Output) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "x"]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    done = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    assert call("init", f"file://{folder}", "--yes") == 0, capsys.readouterr()
    config = load_config(folder.parent / "mine-research" / "mine.yaml", [], {})
    assert config.task.revision == done.stdout.strip()
    written = (folder.parent / "mine-research" / "mine.yaml").read_text()
    assert f"# the newest when this was written\n  revision: {done.stdout.strip()}" in written
    assert "val_loss = 0.3333" in capsys.readouterr().out
    subprocess.run(["git", "-C", str(folder), "tag", "v1"], check=True)
    flags = ("--revision", "v1", "--no-baseline", "--force")
    assert call("init", f"file://{folder}", "--yes", *flags) == 0, capsys.readouterr()
    written = (folder.parent / "mine-research" / "mine.yaml").read_text()
    assert "# as you said\n  revision: v1\n" in written
    assert "newest" not in written
    assert call("init", "file:///nowhere/at/all", "--yes") == 2
    assert "git says" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "flags", "proof", "advice"),
    [
        (TRAIN, ["--command", "nosuchprogram train.py"], "can't be started", "--command"),
        (TRAIN, ["--command", "{python} tain.py", "--script", "train.py"],
         "can't open file", "not where the command looks"),
        (TRAIN, ["--metric", "val_loss", "--pattern", "valid: (.*)"],
         "    val_loss: 0.3333", r"--metric val_loss --pattern '\bval_loss:\s*([-+.\w]+)'"),
        (f"{TRAIN}import nosuchmodule\n", ["--setup", ""],
         "No module named 'nosuchmodule'", "install it in task.setup"),
        (f"open('data/tokens.bin')\n{TRAIN}", [], "data/tokens.bin", "task.mounts"),
        (f"open('README.md', 'a').write('x')\n{TRAIN}", [],
         "changed README.md", "name under task.protected"),
        (TRAIN, ["--setup", "echo no wheel for this machine; exit 3"],
         "no wheel for this machine", "another with --setup"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_the_line_that_proves_it_and_what_to_do(
    folder: Path, capsys: Output, *, code: str, flags: list[str], proof: str, advice: str
) -> None:
    (folder / "train.py").write_text(code)
    (folder / "README.md").write_text("hello\n")
    assert call("init", "mine", "--yes", "--seconds", "5", *flags) == 1
    said = capsys.readouterr().out
    assert proof in said
    assert advice in said
    assert (folder.parent / "mine-research" / "mine.yaml").is_file()


def test_a_file_that_lies_beside_the_script_is_found_from_its_folder(
    folder: Path, capsys: Output
) -> None:
    code = folder / "the code"
    code.mkdir()
    (folder / "train.py").rename(code / "main.py")
    (code / "main.py").write_text(f"open('cfg.txt')\n{TRAIN}")
    (code / "cfg.txt").write_text("1\n")
    (folder / "README.md").write_text("    cd code\n    python main.py\n")
    assert call("init", "mine", "--yes") == 1
    said = capsys.readouterr().out
    assert "cfg.txt is there as the code/cfg.txt" in said
    assert ".gitignore" not in said
    (advice,) = (line for line in said.splitlines() if "--command" in line)
    flags = shlex.split(advice[advice.index("--command") :])
    assert call("init", "mine", "--yes", "--force", *flags) == 0, said
    config = load_config(folder.parent / "mine-research" / "mine.yaml", [], {})
    assert config.task.editable == ("the code/main.py",)


def test_a_key_that_is_wrong_is_told_before_anything_is_written(
    folder: Path, capsys: Output
) -> None:
    assert call("init", "mine", "--yes", "--metric", "x", "--pattern", "((") == 2
    assert "is no regular expression" in capsys.readouterr().err
    assert call("init", "mine", "--yes", "--editable", "src/*.py") == 2
    assert "task.editable: src/*.py fits no file" in capsys.readouterr().err
    assert not (folder.parent / "mine-research").exists()


def test_a_terminal_is_asked_and_what_was_found_is_the_answer(folder: Path) -> None:
    (folder / "train.py").write_text(f'{TRAIN}print(f"accuracy = {{0.75}}")\n')
    answers = ["\n", "accuracy\n", "\n", "7\n"]
    said, code = on_a_terminal([sys.executable, "-m", "scheduler", "init", "mine"], answers)
    assert code == 0, said
    assert "Training script, or a whole command (train.py):" in said
    assert "Better is (lower, higher) (higher):" in said
    assert "accuracy = 0.750000 after" in said
    config = load_config(folder.parent / "mine-research" / "mine.yaml", [], {})
    assert (config.task.metric.name, config.task.metric.goal) == ("accuracy", "maximize")
    assert config.budget.seconds == 7


def on_a_terminal(command: list[str], answers: list[str]) -> tuple[str, int]:
    """Run a command on a terminal of its own, and answer each question as it comes."""
    ours, theirs = pty.openpty()
    environment = dict(os.environ, PYTHONPATH=str(ROOT), TERM="dumb", COLUMNS="200")
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True
    )
    os.close(theirs)
    said, left, seen, end = "", list(answers), 0, time.monotonic() + 120
    while time.monotonic() < end:
        ready, _, _ = select.select([ours], [], [], 0.2)
        try:
            data = os.read(ours, 4096) if ready else b""
        except OSError:  # Linux: the other side is closed
            break
        said += data.decode()
        if left and re.search(r"\): $", said[seen:]):
            seen = len(said)
            os.write(ours, left.pop(0).encode())
    code = process.wait(30)
    os.close(ours)
    return said, code

"""Reading a metric: the last match of a line, whatever the stream does to it; files as they are."""

import json
from pathlib import Path

import pytest

from scheduler.study.config_file import load_config
from workers.command import Reading
from workers.errors import ReadingError
from workers.readings import LINE_BYTES, Scanner, read_file

LOSS = Reading("loss", pattern=r"loss ([-+.\w]+)")

# How the two print, in their own order: nanoGPT as it evaluates, autoresearch at its end, after a
# progress line that is written over itself.
NANOGPT = b"""\
step 0: train loss 4.2874, val loss 4.2823
iter 0: loss 4.26, time 91.0ms
step 250: train loss 1.9512, val loss 2.0477
iter 250: loss 1.99, time 90.0ms
"""
AUTORESEARCH = b"""\
\rstep 00952 (99.8%) | loss: 3.012345 | lrm: 0.01    \rstep 00953 (100.0%)    \n\
---
val_bpb:          0.997900
training_seconds: 300.1
peak_vram_mb:     45060.2
num_steps:        953
"""


def scanned(data: bytes, *readings: Reading, piece: int = 7) -> Scanner:
    scanner = Scanner(readings)
    for start in range(0, len(data), piece):
        scanner.write(data[start : start + piece])
    scanner.close()
    return scanner


@pytest.mark.parametrize(
    ("preset", "output", "metric", "more"),
    [
        ("nanogpt", NANOGPT, 2.0477, {}),
        ("autoresearch", AUTORESEARCH, 0.9979, {"peak_vram_mb": 45060.2, "num_steps": 953.0}),
    ],
)
def test_the_presets_read_what_their_repositories_print(
    preset: str, output: bytes, metric: float, more: dict[str, float]
) -> None:
    command = load_config(preset, [], {}).trial_command()
    assert command is not None
    scanner = scanned(output, command.metric, *command.metrics)
    assert scanner.value(command.metric) == metric
    assert {each.name: scanner.value(each) for each in command.metrics} == more


@pytest.mark.parametrize("preset", ["nanogpt", "autoresearch"])
@pytest.mark.parametrize("number", ["nan", "9.8e-05", "-inf", "1e+02"])
def test_a_preset_reads_the_last_number_whatever_it_looks_like(preset: str, number: str) -> None:
    command = load_config(preset, [], {}).trial_command()
    assert command is not None
    said = {
        "nanogpt": f"{NANOGPT.decode()}step 500: train loss {number}, val loss {number}\n",
        "autoresearch": AUTORESEARCH.decode().replace("0.997900", number),
    }[preset]
    assert str(scanned(said.encode(), command.metric).value(command.metric)) == str(float(number))


@pytest.mark.parametrize(
    ("pattern", "line", "whole"),
    [
        (r"loss ([0-9.]+)", "loss 9.8e-05", "9.8e-05"),
        (r"loss (\d)", "loss 12.5", "12.5"),
        (r"loss .*([0-9.]+)", "loss 12.5", "2.5|.5|5"),
        (r"loss -([0-9.]+)", "loss -0.5", "-0.5"),
        (r"loss ([-+.\w]+)", "loss 1,234.5", "1,234.5"),
        (r"loss (\d+)", "loss 1,234,567", "1,234,567"),
        (r"([-+.\w]+)$", "loss 1,234", "1,234"),
        (r"loss ([0-9]+[.][0-9]+)", "loss 1.5E+03", "1.5E+03"),
    ],
)
def test_a_piece_of_a_number_is_no_metric(
    tmp_path: Path, pattern: str, line: str, whole: str
) -> None:
    reading = Reading("loss", pattern=pattern)
    with pytest.raises(ReadingError, match="of a number that is longer") as error:
        scanned(f"loss 3\n{line}\n".encode(), reading).value(reading)
    assert any(f"({each!r})" in str(error.value) for each in whole.split("|"))
    (tmp_path / "out").write_text(f"{line}\n")
    with pytest.raises(ReadingError, match="of a number that is longer"):
        read_file(Reading("loss", pattern=pattern, file="out"), tmp_path)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (r"loss=([0-9.]+)s", "loss=0.5s"),
        (r"loss-([0-9.]+)", "loss-0.5"),
        (r"(\S+)$", "epoch 3 loss 0.5"),
        (r"([0-9.]+),", "x 0.5, y 7"),
        (r"loss ([-+.\w]+)", "loss 0.5,200 steps"),
        (r"loss ([-+.\w]+)", "The final loss 0.5."),
        (r"loss ([0-9]+[.][0-9]+)", "The final loss 0.5."),
        (r"loss ([-+.\w]+)", "loss 0.5%"),
        (r"loss ([-+.\w]+)", "loss +5E-1"),
        (r"loss ([-+.\w]+)", "loss .5"),
        (r"^[0-9]+,([-+.\w]+),", "7,0.5,200"),
        (r"^7,([-+.\w]+)", "7,0.5"),
    ],
)
def test_a_whole_number_beside_other_signs_is_one(pattern: str, line: str) -> None:
    reading = Reading("loss", pattern=pattern)
    assert scanned(line.encode(), reading).value(reading) == 0.5


@pytest.mark.parametrize(
    ("line", "value"),
    [("1,234.5", 1234.5), ("-12,345,678", -12345678.0), ("1_234.5", 1234.5), ("1,234.", 1234.0)],
)
def test_thousands_may_stand_apart(line: str, value: float) -> None:
    reading = Reading("loss", pattern=r"loss ([-+.,\w]+)")
    assert scanned(f"loss {line}\n".encode(), reading).value(reading) == value


def test_a_comma_that_the_pattern_takes_stands_between_two_numbers() -> None:
    reading = Reading("step", pattern=r"^([0-9]+),")
    assert scanned(b"5,100,0.3\n", reading).value(reading) == 5.0
    behind = Reading("size", pattern=r"^[0-9]+,([0-9]+),")
    assert scanned(b"5,100,0.3\n", behind).value(behind) == 100.0


def test_what_only_looks_like_thousands_is_no_number() -> None:
    reading = Reading("loss", pattern=r"loss ([-+.,\w]+)")
    for line in ("1,23", "1,2345", "12,34,567", "0.5,200"):
        with pytest.raises(ReadingError, match="which is no number"):
            scanned(f"loss {line}\n".encode(), reading).value(reading)


def test_a_pattern_that_takes_for_ever_is_given_up_and_said(tmp_path: Path) -> None:
    slow = Reading("loss", pattern=r"loss (x+x+)+y")
    line = b"y loss " + b"x" * 4000 + b"\n"
    with pytest.raises(ReadingError, match=r"took longer than 0\.1 s on the line 'y loss"):
        scanned(line, slow).value(slow)
    (tmp_path / "out").write_bytes(line)
    with pytest.raises(ReadingError, match="took longer than"):
        read_file(Reading("loss", pattern=slow.pattern, file="out"), tmp_path)


def test_many_slow_lines_together_have_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.readings.ALL_SLOW_SECONDS", 0.15)
    slow = Reading("loss", pattern=r"loss (x+x+)+y|loss (?P<value>\d)")
    lines = (b"y loss " + b"x" * 4000 + b"\n") * 1000 + b"loss 1\n"
    with pytest.raises(ReadingError, match=r"longer than 0\.15 s on slow lines"):
        scanned(lines, slow, piece=len(lines)).value(slow)


def test_a_long_line_is_cut_and_never_through_a_number() -> None:
    reading = Reading("loss", pattern=r"loss ([-+.\w]+)")
    start = b"loss 7 " + b"x" * (LINE_BYTES - 7 - 8) + b" loss 1"
    assert scanned(start + b"25\n", reading, piece=1000).value(reading) == 7.0


@pytest.mark.parametrize("text", ['{"a": ' + "9" * 400 + "}", '{"a": ' + "[" * 9000 + "}"])
def test_a_number_that_is_too_large_or_nested_too_deeply_is_no_metric(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ReadingError, match="is no"):
        read_file(Reading("loss", file="m.json", key="a"), tmp_path)


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (b"loss 1.5\nloss 0.5\n", 0.5),
        (b"loss 1.5, loss 0.25\n", 0.25),  # the last of a line too
        (b"loss 0.5", 0.5),  # no line end
        (b"\x1b[32mloss 0.5\x1b[0m\r\n", 0.5),  # colours
        (b"loss 0.9\rloss 0.8\rloss 0.7\r", 0.7),  # a progress bar
        (b"x" * 3 * LINE_BYTES + b"\nloss 0.5\n", 0.5),
        (b"\xff\xfe loss 0.5\n", 0.5),
        (b"loss 0.5\n" + b"noise\n" * 50_000, 0.5),  # more than the log keeps
    ],
)
def test_the_last_match_counts_however_it_comes(output: bytes, value: float) -> None:
    assert scanned(output, LOSS, piece=1000).value(LOSS) == value


def test_a_named_group_goes_before_the_first() -> None:
    named = Reading("acc", pattern=r"(\w+) (?P<value>[-+.\w]+)")
    assert scanned(b"top 0.75\n", named).value(named) == 0.75


def test_what_was_there_instead_is_quoted() -> None:
    with pytest.raises(ReadingError, match=r"'loss .*'; its last line was 'bye'"):
        scanned(b"hello\nbye\n\n", LOSS).value(LOSS)
    with pytest.raises(ReadingError, match="it printed nothing"):
        scanned(b"", LOSS).value(LOSS)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("val.acc", "has no key val.acc: at 'acc' it has loss"),
        ("val.loss.x", "at 'x' there is"),
        ("runs.7", "at '7' there is"),
        ("name", "name in m.json is 'mine', which is no number"),
        ("done", "done in m.json is True, which is no number"),
    ],
)
def test_a_key_that_is_not_there_says_what_is(tmp_path: Path, key: str, words: str) -> None:
    found = {"val": {"loss": 0.5}, "runs": [1, 2], "name": "mine", "done": True}
    (tmp_path / "m.json").write_text(json.dumps(found))
    with pytest.raises(ReadingError) as error:
        read_file(Reading("x", file="m.json", key=key), tmp_path)
    assert words in str(error.value)


def test_files_hold_a_key_a_line_or_the_number_alone(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"runs": [{"loss": 3}, {"loss": 2}]}')
    (tmp_path / "log.txt").write_text("loss 9\nloss 8\nend\n")
    (tmp_path / "score").write_text(" 0.125\n")
    assert read_file(Reading("x", file="m.json", key="runs.-1.loss"), tmp_path) == 2.0
    assert read_file(Reading("x", file="log.txt", pattern=r"loss (\d)"), tmp_path) == 8.0
    assert read_file(Reading("x", file="score"), tmp_path) == 0.125

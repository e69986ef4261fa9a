"""What is read from source text without running it."""

import pytest

from agent.errors import SourceError
from agent.source import (
    constants_of,
    edit_constants,
    fingerprint,
    identify,
    read_constants,
    replace_constants,
    skeleton,
)

SCRIPT = '''"""A script."""
import math

DEPTH = 4  # blocks
LR: float = 1e-3
BATCH = 2**16
WIDTH = 6 * 64
SHIFT = -0.5
VOCABULARY = 65_536


def train(session):
    """Train."""
    return math.sqrt(LR)  # a comment


LATE = 3
'''


def one(text: str) -> dict[str, str]:
    return {"train.py": text}


def test_constants_are_the_capital_names_with_numbers_before_the_first_function() -> None:
    assert read_constants(SCRIPT) == {
        "DEPTH": 4,
        "LR": 1e-3,
        "BATCH": 65536,
        "WIDTH": 384,
        "SHIFT": -0.5,
        "VOCABULARY": 65536,
    }


@pytest.mark.parametrize(
    "line",
    [
        "FLAG = True",
        "NAME = 'x'",
        "lower = 1",
        "A = B = 1",
        "TWICE = 1\nTWICE = 2",
        "COPY = OTHER",
        "HUGE = 9**9**9",
        "ZERO = 1 / 0",
        "IMAGINARY = (-8) ** 0.5",
        "INFINITE = 1e999",
        "if True:\n    NESTED = 1",
        "SUM = " + " + ".join("1" * 500),
    ],
)
def test_what_is_no_plain_number_is_no_constant(line: str) -> None:
    assert read_constants(line) == {}


def test_replacing_changes_the_literals_and_nothing_else() -> None:
    edited = replace_constants(
        SCRIPT, {"DEPTH": 5, "LR": 2e-5, "BATCH": 2**17, "SHIFT": -0.25, "VOCABULARY": 131072}
    )
    expected = SCRIPT.replace("DEPTH = 4", "DEPTH = 5").replace("1e-3", "2e-5")
    expected = expected.replace("2**16", "2**17").replace("-0.5", "-0.25")
    assert edited == expected.replace("65_536", "131_072")


def test_replacing_keeps_windows_line_ends_other_alphabets_and_a_byte_order_mark() -> None:
    text = '\ufeffÄ = "größe"; LR = 0.5 # größer\r\nDEPTH = (4)\r\n'
    assert (
        replace_constants(text, {"LR": 0.25, "DEPTH": 6})
        == '\ufeffÄ = "größe"; LR = 0.25 # größer\r\nDEPTH = (6)\r\n'
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"MISSING": 1}, "MISSING"),
        ({"DEPTH": 4.5}, "DEPTH is a whole number"),
        ({"LR": float("nan")}, "LR can't be nan"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(
    values: dict[str, int | float], reason: str
) -> None:
    with pytest.raises(SourceError, match=reason):
        replace_constants(SCRIPT, values)


def test_layout_comments_and_docstrings_leave_the_fingerprint_alone() -> None:
    other = SCRIPT.replace('"""A script."""', '"""Another\n\ntext."""').replace('"""Train."""', "")
    other = other.replace("  # a comment", "").replace("2**16", "65536").replace("1e-3", ".001")
    assert fingerprint(one(other.replace("\n", "\r\n"))) == fingerprint(one(SCRIPT))


@pytest.mark.parametrize(
    ("old", "new"), [("sqrt", "exp"), ("DEPTH = 4", "DEPTH = 5"), ("LATE = 3", "LATE = 4")]
)
def test_a_change_of_meaning_changes_the_fingerprint(old: str, new: str) -> None:
    assert fingerprint(one(SCRIPT.replace(old, new))) != fingerprint(one(SCRIPT))


def test_the_path_and_other_files_are_part_of_the_fingerprint() -> None:
    prints = {
        fingerprint({"a.py": "X = 1", "b.txt": "1 "}),
        fingerprint({"aa.py": "X = 1", "b.txt": "1 "}),
        fingerprint({"a.py": "X = 1", "b.txt": "2"}),
    }
    assert len(prints) == 3


def test_line_ends_and_trailing_space_of_other_files_do_not_count() -> None:
    assert fingerprint({"a.yaml": "x: 1  \r\ny: 2\r\n"}) == fingerprint({"a.yaml": "x: 1\ny: 2"})


def test_the_skeleton_ignores_the_values_of_constants() -> None:
    moved = replace_constants(SCRIPT, {"DEPTH": 9, "LR": 0.5})
    assert skeleton(one(moved)) == skeleton(one(SCRIPT))


@pytest.mark.parametrize(
    ("old", "new"), [("LATE = 3", "LATE = 4"), ("DEPTH = 4", "DEPTH = 4.0"), ("DEPTH", "LAYERS")]
)
def test_the_skeleton_sees_all_but_the_values_of_constants(old: str, new: str) -> None:
    assert skeleton(one(SCRIPT.replace(old, new))) != skeleton(one(SCRIPT))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\ny = (\n", r"train\.py: line 2: '\(' was never closed"),
        ("x = 1\0", r"train\.py: .*null bytes"),
        ("x = '\ud800'", r"train\.py: .*surrogates"),
        ("-" * 5000 + "1", r"train\.py: an expression is nested too deeply"),
    ],
    ids=["open parenthesis", "null byte", "lone surrogate", "deep nesting"],
)
def test_text_that_does_not_parse_is_an_error_with_its_place(text: str, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        identify(one(text))


def test_constants_of_several_files_are_edited_where_they_stand() -> None:
    files = {"a.py": "LR = 1.0\nSHARED = 1\n", "b.py": "DEPTH = 2\nSHARED = 2\n", "c.md": "X = 1"}
    assert constants_of(files) == {"LR": 1.0, "DEPTH": 2}
    assert edit_constants(files, {"DEPTH": 3, "LR": 1.0}) == {"b.py": "DEPTH = 3\nSHARED = 2\n"}
    with pytest.raises(SourceError, match="SHARED"):
        edit_constants(files, {"SHARED": 3})

"""How edits are applied to files: all or none, tolerant where only one reading is left."""

import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.errors import EditError
from agent.globs import Editable
from agent.llm.answer import parse_answer
from agent.llm.draft import Edit, Replace, Whole
from agent.llm.edits import apply_edits

TRAIN = (Path(__file__).parents[1] / "fixtures/answers/edited_file").read_text(encoding="utf-8")
SCRIPT = """\
import math

DEPTH = 8  # blocks
LR = 0.02


class Block:
    def forward(self, x):
        y = self.up(x)

        return x + y


def schedule(progress):
    return min(1.0, progress)
"""
FILES = {"train.py": SCRIPT, "model/layers.py": "WIDTH = 4\n"}


def one(search: str, replace: str, text: str = SCRIPT) -> str:
    """The text after one exchange."""
    return apply_edits({"train.py": text}, [Replace("train.py", search, replace)])["train.py"]


def refusal(edits: Sequence[Edit], files: dict[str, str] = FILES) -> str:
    """Why edits are refused; it also sees that nothing was changed."""
    before = dict(files)
    with pytest.raises(EditError) as error:
        apply_edits(files, edits)
    assert files == before
    return str(error.value)


def test_only_changed_files_come_back_and_whole() -> None:
    changed = apply_edits(FILES, [Replace("train.py", "LR = 0.02\n", "LR = 0.04\n")])
    assert changed == {"train.py": SCRIPT.replace("LR = 0.02", "LR = 0.04")}


def test_edits_of_one_file_apply_one_after_the_other() -> None:
    edits = [
        Replace("train.py", "LR = 0.02", "LR = 0.03"),
        Replace("train.py", "LR = 0.03", "LR = 1"),
    ]
    assert "LR = 1\n" in apply_edits(FILES, edits)["train.py"]


def test_one_edit_that_fails_undoes_all() -> None:
    good = Replace("train.py", "LR = 0.02", "LR = 0.03")
    words = refusal([good, Replace("model/layers.py", "WIDTH = 5", "WIDTH = 6")])
    assert words.startswith("edit 2 of 2, model/layers.py: ")


@pytest.mark.parametrize(
    "path", ["./train.py", "a/train.py", "b/train.py", "`train.py`", '"train.py"', "**train.py**:"]
)
def test_a_file_is_known_under_the_names_that_models_write(path: str) -> None:
    assert apply_edits(FILES, [Replace(path, "LR = 0.02", "LR = 0.03")]).keys() == {"train.py"}


def test_a_passage_is_looked_for_in_the_only_file_whose_name_ends_alike() -> None:
    assert apply_edits(FILES, [Replace("layers.py", "WIDTH = 4", "WIDTH = 8")]).keys() == {
        "model/layers.py"
    }
    assert "can't be edited" in refusal([Whole("layers.py", "WIDTH = 8\n")])


def test_an_unknown_file_is_refused_with_the_names_of_those_that_can_be_edited() -> None:
    words = refusal([Replace("trian.py", "LR = 0.02", "LR = 0.03")])
    assert "trian.py can't be edited; only model/layers.py, train.py can" in words
    assert "did you mean train.py?" in words
    assert "names no file" in refusal([Replace("", "LR = 0.02", "LR = 0.03")])


def test_trailing_whitespace_and_line_ends_do_not_matter_and_the_file_keeps_its_own() -> None:
    windows = SCRIPT.replace("\n", "\r\n")
    for search in ("LR = 0.02  \n", "LR = 0.02\r\n", "LR = 0.02\t"):
        assert one(search, "LR = 3\nMORE = 1\n") == SCRIPT.replace("LR = 0.02", "LR = 3\nMORE = 1")
        expected = windows.replace("LR = 0.02", "LR = 3\r\nMORE = 1")
        assert one(search, "LR = 3\nMORE = 1\n", windows) == expected
    mixed = "a\r\nb\nc\r\nd\r\n"
    assert one("b\n", "x\ny\n", mixed) == "a\r\nx\r\ny\r\nc\r\nd\r\n"


def test_a_missing_final_newline_stays_missing() -> None:
    assert one("b\n", "c\n", "a\nb") == "a\nc"
    assert one("a", "c", "a\nb") == "c\nb"


def test_a_passage_moved_as_a_whole_is_found_and_its_replacement_moves_along() -> None:
    expected = SCRIPT.replace("return x + y", "z = 2 * y\n        if z:\n            return x + z")
    search, new = "y = self.up(x)\n\nreturn x + y", "z = 2 * y\nif z:\n    return x + z"
    new = f"y = self.up(x)\n\n{new}"
    for prefix in ("", "  ", "    ", "            ", "\t"):

        def move(text: str, by: str = prefix) -> str:
            return re.sub(r"(?m)^(?=.)", by, text)

        assert one(move(search), move(new)) == expected
    tabbed = SCRIPT.replace("    ", "\t")
    assert one(search, new, tabbed) == expected.replace("    ", "\t")


def test_a_replacement_that_can_not_follow_the_indentation_is_refused() -> None:
    search = "            def forward(self, x):\n                y = self.up(x)\n"
    words = refusal([Replace("train.py", search, "def forward(self, x):\n    pass\n")])
    assert "8 columns further left" in words


def test_an_indentation_that_is_not_uniform_is_not_guessed() -> None:
    search = "y = self.up(x)\n\n    return x + y"
    assert "is not in the file" in refusal([Replace("train.py", search, "pass")])


def test_blank_lines_around_a_passage_do_not_matter() -> None:
    assert one("\n\nLR = 0.02\n\n\n\n", "\n\nLR = 3\n\n\n\n") == SCRIPT.replace("0.02", "3")
    assert one("\n\n\n\nLR = 0.02\n", "LR = 3\n") == SCRIPT.replace("0.02", "3")


def test_a_piece_of_a_line_is_found_where_no_word_is_torn() -> None:
    assert one("DEPTH = 8", "DEPTH = 12") == SCRIPT.replace("DEPTH = 8", "DEPTH = 12")
    assert one("min(1.0, progress)", "progress") == SCRIPT.replace("min(1.0, progress)", "progress")
    for torn in ("LR = 0.0", "R = 0.02", "EPTH", "DEPTH = 8  # block"):
        assert "is not in the file" in refusal([Replace("train.py", torn, "x")])


def test_a_statement_that_is_deleted_takes_its_comment_along() -> None:
    assert one("DEPTH = 8\n", "") == SCRIPT.replace("DEPTH = 8  # blocks\n", "")


def test_a_first_line_without_its_indentation_is_put_where_it_belongs() -> None:
    expected = SCRIPT.replace("y = self.up(x)", "y = 2 * self.up(x)")
    search = "y = self.up(x)\n\n        return x + y"
    for indent in ("", "        "):
        assert one(search, f"{indent}y = 2 * self.up(x)\n\n        return x + y") == expected


def test_an_exact_passage_goes_before_one_that_is_only_alike() -> None:
    assert one("a\n", "b\n", "  a\na\nx a\n") == "  a\nb\nx a\n"


def test_a_passage_at_several_places_is_refused_with_their_lines() -> None:
    words = refusal([Replace("train.py", "x = 1\n", "x = 2\n")], {"train.py": "x = 1\ny\nx = 1\n"})
    assert "found at 2 places, lines 1, 3" in words
    assert "add lines before or after it" in words
    indented = {"train.py": "if a:\n  x = 1\nif b:\n    x = 1\n"}
    assert "lines 2, 4" in refusal([Replace("train.py", "x = 1\n", "x = 2\n")], indented)


def test_a_passage_that_is_not_there_is_answered_with_the_nearest_one() -> None:
    search = "def schedule(progress):\n    return max(1.0, progress)\n"
    words = refusal([Replace("train.py", search, "x")])
    assert "The nearest passage is lines 14 to 15:" in words
    assert "   15 |     return min(1.0, progress)" in words
    assert "-     return min(1.0, progress)\n    +     return max(1.0, progress)" in words
    assert "-     def schedule" not in words


def test_the_nearest_passage_in_a_long_file_is_found_too() -> None:
    randomly = random.Random(7)
    lines = [
        f"    value_{randomly.randrange(500)} = f_{i}(x, {randomly.random()})" for i in range(2500)
    ]
    lines[1800:1803] = ["def target(a, b):", "    c = a + b * 3", "    return c / 2"]
    text = "\n".join(lines)
    search = "def target(a, b):\n    c = a - b * 3\n    return c / 2\n"
    words = refusal([Replace("train.py", search, "x")], {"train.py": text})
    assert "lines 1801 to 1803" in words
    assert len(words) < 3000


@pytest.mark.parametrize("line", ["x" * 100_000, "x y " * 25_000, "a\n" * 50_000])
def test_the_words_of_a_refusal_are_bounded_whatever_the_file(line: str) -> None:
    for search in (line[:50_000] + "?", "x y z", "a\nb\n" * 10_000):
        assert len(refusal([Replace("train.py", search, "b")], {"train.py": line})) < 10_000


def test_an_edit_that_was_made_before_is_recognised() -> None:
    words = refusal([Replace("train.py", "LR = 0.01\n", "LR = 0.02\n")])
    assert "The REPLACE text is there already, at line 4." in words


def test_edits_that_change_nothing_are_refused() -> None:
    assert "change nothing" in refusal([Replace("train.py", "LR = 0.02\n", "LR = 0.02\n")])
    assert "change nothing" in refusal([Whole("train.py", SCRIPT)])
    there = Replace("train.py", "LR = 0.02", "LR = 1")
    back = Replace("train.py", "LR = 1", "LR = 0.02")
    assert "change nothing" in refusal([there, back])
    assert "there is no edit" in refusal([])


def test_an_empty_search_appends_to_the_file() -> None:
    assert one("", "END = 1\n") == SCRIPT + "END = 1\n"
    assert one("\n", "END = 1") == SCRIPT + "END = 1\n"
    assert one("", "b\n", "a") == "a\nb\n"
    assert one("", "b\n", "") == "b\n"
    assert "both SEARCH and REPLACE are empty" in refusal([Replace("train.py", "", "\n")])


def test_a_whole_file_takes_the_place_of_the_old_one_in_its_line_ends() -> None:
    new = SCRIPT.replace("0.02", "0.03")
    windows = SCRIPT.replace("\n", "\r\n")
    assert apply_edits({"train.py": SCRIPT}, [Whole("train.py", new.rstrip("\n"))]) == {
        "train.py": new
    }
    assert apply_edits({"train.py": windows}, [Whole("train.py", new)]) == {
        "train.py": new.replace("\n", "\r\n")
    }
    assert "is empty" in refusal([Whole("train.py", "\n")])


def test_a_whole_file_after_other_edits_of_it_is_refused() -> None:
    edits: list[Edit] = [Replace("train.py", "LR = 0.02", "LR = 1"), Whole("train.py", SCRIPT)]
    assert "would undo the edits" in refusal(edits)


def test_a_part_given_as_a_whole_file_is_refused() -> None:
    words = refusal([Whole("train.py", "DEPTH = 9\n")], {"train.py": TRAIN})
    assert "instead of 291" in words


ELISIONS = (
    r"""
# ...
    # ...
# ... rest unchanged ...
# ... existing code ...
# existing code
# (rest of the code remains the same)
# rest of the file is unchanged
...
    ...
# Rest of the class stays the same
# [... unchanged ...]
# \u2026 rest of train() \u2026
... (rest of the code)
// ... existing code ...
# unchanged
# same as before
# The remaining functions are unchanged
# keep the rest of the code
# omitted for brevity
# Your existing code here
def step(self): ...
    # ... (other methods)
# <... snip ...>
# everything else is unchanged
# Remaining code unchanged
# All other functions as before
""".replace("\\u2026", "\u2026")
    .strip("\n")
    .split("\n")
)


@pytest.mark.parametrize("line", ELISIONS)
def test_a_line_that_stands_for_left_out_code_is_refused(line: str) -> None:
    words = refusal([Whole("train.py", f"{SCRIPT}{line}\n")])
    assert f"line 16 of the whole file given, {line.strip()!r}" in words
    assert "would be lost" in words
    assert "of the replacement" in refusal([Replace("train.py", "LR = 0.02", f"LR = 1\n{line}")])


@pytest.mark.parametrize(
    "line",
    [
        "# warm up before the clock starts...", "# the same loss, averaged over pieces",
        "# keep the original scale", "# the rest goes to AdamW", "# model remains in float32",
        "x[..., 0]", "def f(x: tuple[int, ...]) -> int:", "# Sizes of the model.", "",
        "# previous gradient, decayed", "y = torch.cat([x, ...])", "# all other matrices: Muon",
    ],
)  # fmt: skip
def test_an_honest_line_is_no_elision(line: str) -> None:
    new = SCRIPT + f"{line}\nEND = 1\n"
    assert apply_edits(FILES, [Whole("train.py", new)]) == {"train.py": new}


def test_a_line_that_the_file_has_itself_is_no_elision() -> None:
    text = SCRIPT + "# ...\n"
    assert one("LR = 0.02", "LR = 1", text) == text.replace("0.02", "1")
    assert apply_edits({"a.py": text}, [Whole("a.py", text.replace("0.02", "1"))])


# --- any files, any edits ---------------------------------------------------------------------

LINE = st.builds(
    "{}{} = {}{}".format,
    st.sampled_from(["", "    ", "        "]),
    st.sampled_from("abcdefgh"),
    st.integers(0, 99),
    st.sampled_from(["", "  # note", " * (x + 1)"]),
)
LINES = st.lists(LINE | st.just(""), min_size=3, max_size=30)


@st.composite
def edited(draw: st.DrawFn) -> tuple[str, list[Replace], str]:
    """A file, edits of passages that do not overlap, and the text that must come out."""
    lines = draw(LINES)
    cuts = sorted(draw(st.sets(st.integers(0, len(lines)), min_size=2, max_size=6)))
    edits, expected, at = [], [], 0
    for start, end in zip(cuts[::2], cuts[1::2], strict=False):
        old = lines[start:end]
        new = draw(st.lists(LINE, max_size=4))
        expected += [*lines[at:start], *new]
        at = end
        edits.append((old, new))
    expected += lines[at:]
    now = list(lines)
    for old, new in edits:  # each passage must be found once when its turn comes
        places = [i for i in range(len(now)) if now[i : i + len(old)] == old]
        assume(len(places) == 1 and any(old))
        now[places[0] : places[0] + len(old)] = new
    assume(now == expected and expected != lines)
    return (
        "".join(f"{line}\n" for line in lines),
        [
            Replace("train.py", "\n".join(old) + "\n", "".join(f"{n}\n" for n in new))
            for old, new in edits
        ],
        "".join(f"{line}\n" for line in expected),
    )


def rendered(edits: Sequence[Replace], style: int) -> str:
    """An answer with these edits in one of several manners."""
    marks = [("<" * n, "=" * n, ">" * n) for n in (7, 7, 5, 9, 7, 7)][style]
    blocks = [
        f"{marks[0]} SEARCH\n{edit.search}{marks[1]}\n{edit.replace}{marks[2]} REPLACE\n"
        for edit in edits
    ]
    head = "title: T\nhypothesis: h\nexpected: e\n\n"
    match style:
        case 0:
            return f"<proposal>\n{head}train.py\n{''.join(blocks)}</proposal>\n"
        case 1:
            inner = "".join(f"`train.py`\n```python\n{block}```\n\n" for block in blocks)
            return f"<think>\nhm\n</think>\nSure!\n\n<proposal>\n{head}{inner}</proposal>\nDone."
        case 2:
            title = "**Title:** T\n\n**Hypothesis:** h\n\n### train.py\n\n"
            return f"{title}{''.join(blocks)}\nThat is all."
        case 3:
            return f"````\n<proposal>\n{head}{''.join(blocks)}</proposal>\n````".replace(
                "\n", "\r\n"
            )
        case 4:
            text = (
                "".join(blocks).replace("SEARCH\n", "SEARCH  \n").replace("=======\n", "======= \n")
            )
            return f"```\n{head}./train.py\n{text}```"
        case _:
            return f"<proposal>\n{head}" + "".join(f"a/train.py\n~~~\n{b}~~~\n" for b in blocks)


@settings(max_examples=300, deadline=None)
@given(edited(), st.integers(0, 5), st.sampled_from(["\n", "\r\n"]))
def test_edits_that_were_written_down_are_read_and_applied(
    case: tuple[str, list[Replace], str], style: int, end: str
) -> None:
    text, edits, expected = case
    parsed = parse_answer(rendered(edits, style), ["train.py"])
    assert parsed.problems == ()
    (draft,) = parsed.drafts
    assert (draft.title, draft.hypothesis) == ("T", "h")
    files = {"train.py": text.replace("\n", end)}
    assert apply_edits(files, draft.edits) == {"train.py": expected.replace("\n", end)}


@settings(max_examples=200, deadline=None)
@given(edited(), st.booleans())
def test_passages_whose_indentation_was_lost_go_back_to_their_place(
    case: tuple[str, list[Replace], str], deeper: bool
) -> None:
    """Either the right text comes out, or a refusal: never a wrong text."""
    text, edits, expected = case

    def moved(passage: str) -> str:
        return "".join(f"    {line}" if line.strip() else line for line in passage.splitlines(True))

    if deeper:
        edits = [Replace(e.path, moved(e.search), moved(e.replace)) for e in edits]
        try:
            result = apply_edits({"train.py": text}, edits)["train.py"]
        except EditError:
            return  # two passages differ in their indentation only
        assume(all(edit.search not in text for edit in edits))
        assert squeezed(result) == squeezed(expected)
    else:
        result = apply_edits({"train.py": text}, edits)["train.py"]
        assert result == expected


def squeezed(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]


EDITS: st.SearchStrategy[Edit] = st.builds(
    Replace,
    st.sampled_from(["train.py", "b.py", "x.py", ""]),
    st.text(max_size=20),
    st.text(max_size=20),
) | st.builds(Whole, st.sampled_from(["train.py", "b.py", "x.py"]), st.text(max_size=40))


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["train.py", "b.py"]), st.text(max_size=60), min_size=1),
    st.lists(EDITS, max_size=4),
)
def test_any_edits_give_changed_files_or_a_refusal_and_touch_nothing(
    files: dict[str, str], edits: list[Edit]
) -> None:
    before = dict(files)
    try:
        changed = apply_edits(files, edits)
    except EditError:
        pass
    else:
        assert changed
        assert all(files[path] != text for path, text in changed.items())
    assert files == before


def test_a_file_that_may_be_added_is_given_whole_and_can_then_be_edited() -> None:
    new: list[Edit] = [Whole("src/new.py", "A = 1\n"), Replace("src/new.py", "A = 1", "A = 2")]
    changed = apply_edits(FILES, new, lambda name: name.startswith("src/"))
    assert changed == {"src/new.py": "A = 2\n"}


def test_a_file_that_may_not_be_added_or_is_not_there_to_be_searched_is_refused() -> None:
    may_add = Editable(("src/*.py",)).allows
    with pytest.raises(EditError, match=r"other/new\.py can't be edited"):
        apply_edits(FILES, [Whole("other/new.py", "A = 1\n")], may_add)
    with pytest.raises(EditError, match=r"src/new\.py is not there yet.*give the new file whole"):
        apply_edits(FILES, [Replace("src/new.py", "A = 1", "A = 2")], may_add)
    with pytest.raises(EditError, match="can't be edited"):
        apply_edits(FILES, [Whole("src/new.py", "A = 1\n")])

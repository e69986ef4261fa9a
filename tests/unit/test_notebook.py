"""The notebook: bounded, readable, and nothing important forgotten."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.notebook import MOST, accept, condense

NAMES = ("MATRIX_LR", "EMBED_LR", "DEPTH", "HEADS", "WARM_UP", "BETA1")


def lessons(first: int, last: int, seed: int = 0) -> list[str]:
    """Lessons of a made-up study, in the words of `write_lesson`."""
    chance = random.Random(f"{seed} {first}")
    lines = []
    for number in range(first, last + 1):
        draw, name = chance.random(), chance.choice(NAMES)
        what = f"{name} 0.02 -> {chance.choice([0.01, 0.04])}" if draw > 0.2 else f"Gate {number}"
        size = f"{chance.uniform(0.001, 0.01):.4g}"
        if draw > 0.9:
            lines.append(f"#{number} out of memory: {what}; reason: tried to allocate {number} GiB")
        elif draw > 0.88:
            lines.append(f"#{number} kept: {what}; got {size} lower than #1 (1.5 -> 1.49: better)")
        else:
            lines.append(
                f"#{number} discarded: {what}; expected lower; "
                f"got {size} higher than #1 (1.5 -> 1.51: worse, 2.0 sigma)"
            )
    return lines


def run(experiments: int, every: int) -> str:
    notebook = ""
    for first in range(2, experiments + 1, every):
        notebook = condense(notebook, lessons(first, min(experiments, first + every - 1)))
        assert len(notebook) <= MOST
    return notebook


def test_after_5000_experiments_it_is_bounded_and_keeps_what_matters() -> None:
    early = "#2 kept: The great find; got 0.5 lower than #1 (1.5 -> 1.0: better, 250.0 sigma)"
    notebook = condense("", [early])
    for first in range(3, 5_001, 50):
        notebook = condense(notebook, lessons(first, min(5_000, first + 49)))
        assert len(notebook) <= MOST
    assert "- #2 The great find: better by 0.5" in notebook
    assert "Experiments up to #5000:" in notebook
    assert "- MATRIX_LR up: " in notebook
    assert "- MATRIX_LR down: " in notebook
    assert "- oom, tried to allocate N GiB: " in notebook


def test_equal_changes_are_counted_together_with_their_best() -> None:
    notebook = condense("", [
        "#2 discarded: DEPTH 8 -> 9; got 0.5 higher than #1 (1 -> 1.5: worse)",
        "#3 discarded: DEPTH 8 -> 12; got 0.1 higher than #1 (1 -> 1.1: worse)",
        "#4 discarded: DEPTH 8 -> 6; got 0.2 higher than #1 (1 -> 1.2: worse)",
    ])  # fmt: skip
    assert "- DEPTH up: 2 times, best #3 (DEPTH 8 -> 12): worse by 0.1" in notebook
    assert "- DEPTH down: 1 time, best #4 (DEPTH 8 -> 6): worse by 0.2" in notebook


def test_a_title_with_versions_in_it_is_no_move_of_a_constant() -> None:
    lines = [
        "#2 discarded: CUDA 1.2.3 -> 1.2.4; got 0.1 higher than #1 (1.5 -> 1.6: worse)",
        "#3 discarded: DEPTH 8 -> 1e-05; got 0.1 higher than #1 (1.5 -> 1.6: worse)",
        "#4 crashed: a title; got 1.2.3",
    ]
    notebook = condense("", lines)
    assert "CUDA 1.2.3 -> 1.2.4: worse by 0.1" in notebook
    assert "DEPTH down: 1 time" in notebook


def test_counts_don_t_depend_on_how_often_it_was_condensed() -> None:
    def counts(notebook: str) -> list[str]:
        return [line for line in notebook.splitlines() if " times, " in line or "up to" in line]

    assert counts(condense("", lessons(2, 50) + lessons(51, 99))) == counts(run(99, 49))


@pytest.mark.parametrize("most", [1_000, 2_000, MOST])
def test_condensing_nothing_changes_nothing(most: int) -> None:
    notebook = condense("", lessons(2, 900), most=most)
    assert len(notebook) <= most
    assert condense(notebook, [], most=most) == notebook


def test_what_a_model_wrote_is_kept_as_notes() -> None:
    notebook = condense("# My findings\n\nDepth is exhausted.", lessons(2, 50))
    assert "## Earlier notes\n\n# My findings\n\nDepth is exhausted." in notebook
    assert "Depth is exhausted." in run_on(notebook)


def run_on(notebook: str) -> str:
    for first in range(51, 1_000, 50):
        notebook = condense(notebook, lessons(first, first + 49))
    return notebook


def test_a_model_s_notebook_is_cut_with_a_note_and_loses_what_cannot_be_seen() -> None:
    assert accept("a\x1b[31mb\x00\u202ec\r\nd ") == "abc\nd"
    assert accept("\x00 \n") == ""
    cut = accept("line\n" * 10_000)
    assert len(cut) <= MOST
    assert cut.endswith("line\n\n[cut at 6,000 characters]")


@settings(max_examples=60)
@given(st.text(max_size=9_000), st.lists(st.text(max_size=300), max_size=20), st.integers(1, 40))
def test_any_notebook_and_any_lessons_give_a_bounded_notebook(
    notebook: str, strange: list[str], number: int
) -> None:
    headed = f"# Notebook\n\n## Kept\n\n{notebook}"
    for text in (notebook, headed):
        out = condense(text, [*strange, *lessons(2, number)])
        assert len(out) <= MOST
        assert condense(out, []) == condense(condense(out, []), [])
        assert all(line.isprintable() for line in out.replace("\t", " ").split("\n"))

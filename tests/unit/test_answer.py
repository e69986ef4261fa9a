"""What is read out of a model's answer: a corpus of answers, and properties over any."""

import difflib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import EditError
from agent.llm.answer import MOST_PROBLEMS, MOST_PROPOSALS, parse_answer
from agent.llm.draft import Draft, Replace, Whole
from agent.llm.edits import apply_edits

HERE = Path(__file__).parent.parent
CORPUS = sorted((HERE / "fixtures" / "answers").glob("*.txt"))
# A train.py of its day, which the answers edit: the bundled one goes on.
FILES = {"train.py": (HERE / "fixtures" / "answers" / "edited_file").read_text(encoding="utf-8")}


def changes(draft: Draft) -> list[str]:
    """The lines that a draft takes out and puts in, as a diff marks them."""
    new = apply_edits(FILES, draft.edits)["train.py"]
    compared = difflib.unified_diff(
        FILES["train.py"].splitlines(), new.splitlines(), n=0, lineterm=""
    )
    return [line for line in list(compared)[2:] if not line.startswith("@@")]


def assert_draft(draft: Draft, expected: dict[str, Any]) -> None:
    for name in expected.keys() - {"changes", "refused"}:
        assert getattr(draft, name) == expected[name], name
    for name in ("parent", "combines", "instruction"):
        assert getattr(draft, name) == expected.get(name), name
    if "refused" in expected:
        with pytest.raises(EditError) as error:
            apply_edits(FILES, draft.edits)
        assert expected["refused"] in str(error.value)
    else:
        assert changes(draft) == expected["changes"]


def test_the_corpus_is_as_large_as_it_should_be() -> None:
    assert len(CORPUS) >= 40
    assert all(path.with_suffix(".json").exists() for path in CORPUS)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_an_answer_of_the_corpus_is_read_as_its_author_meant_it(path: Path) -> None:
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    parsed = parse_answer(path.read_bytes().decode(), FILES)
    wanted = expected.get("problems", [])
    assert len(parsed.problems) == len(wanted), parsed.problems
    for problem, words in zip(parsed.problems, wanted, strict=True):
        assert words in problem
    assert parsed.notebook == expected.get("notebook", "")
    assert len(parsed.drafts) == len(expected["drafts"])
    for draft, one in zip(parsed.drafts, expected["drafts"], strict=True):
        assert_draft(draft, one)


def test_every_beginning_of_an_answer_gives_whole_proposals_or_a_problem() -> None:
    text = (HERE / "fixtures/answers/two_proposals_and_a_notebook.txt").read_text(encoding="utf-8")
    whole = parse_answer(text, FILES)
    for end in range(len(text)):
        parsed = parse_answer(text[:end], FILES, truncated=True)
        assert parsed.drafts == whole.drafts[: len(parsed.drafts)]
        begun = text[:end].count("<proposal>\n")
        assert parsed.problems or len(parsed.drafts) == begun


def test_of_a_truncated_answer_an_unclosed_proposal_is_not_used() -> None:
    text = (HERE / "fixtures/answers/plain.txt").read_text(encoding="utf-8")
    text = text.removesuffix("</proposal>\n")
    assert len(parse_answer(text, FILES).drafts) == 1
    parsed = parse_answer(text, FILES, truncated=True)
    assert not parsed.drafts
    assert "the answer was cut off within it" in parsed.problems[0]


def test_with_several_files_a_block_without_a_name_is_a_problem() -> None:
    answer = "title: T\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n"
    parsed = parse_answer(answer, ["a.py", "b.py"])
    assert not parsed.drafts
    assert "names no file" in parsed.problems[0]
    assert "a.py, b.py" in parsed.problems[0]


def test_blocks_of_several_files_keep_their_names() -> None:
    block = "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n"
    answer = f"<proposal>\ntitle: T\nsrc/a.py\n{block}{block}\nb.py\n{block}</proposal>"
    (draft,) = parse_answer(answer, ["src/a.py", "b.py"]).drafts
    assert draft.edits == tuple(Replace(p, "x\n", "y\n") for p in ("src/a.py", "src/a.py", "b.py"))


def test_a_fence_within_a_file_is_no_end_of_it_or_a_problem() -> None:
    body = '"""Doc.\n\n```python\nx = 1\n```\n"""\n'
    answer = f"<proposal>\ntitle: T\na.py\n```python\n{body}```\n</proposal>"
    (draft,) = parse_answer(answer, ["a.py"]).drafts
    assert draft.edits == (Whole("a.py", body),)
    unclear = answer.replace("```python\nx", "```\nx")
    assert "not clear where the code block" in parse_answer(unclear, ["a.py"]).problems[0]
    longer = unclear.replace("a.py\n```python", "a.py\n````python").replace("```\n</", "````\n</")
    assert parse_answer(longer, ["a.py"]).drafts[0].edits == (
        Whole("a.py", body.replace("```python", "```")),
    )


def test_proposals_and_problems_are_bounded_in_number_and_size() -> None:
    block = "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n"
    many = parse_answer(f"<proposal>\ntitle: T\n{block}</proposal>\n" * 1000, ["a.py"])
    assert len(many.drafts) == MOST_PROPOSALS
    assert len(many.problems) == 1
    bad = "".join(f"<proposal>\ntitle: {'T' * 5000}{i}\n</proposal>\n" for i in range(1000))
    problems = parse_answer(bad, ["a.py"]).problems
    assert len(problems) <= MOST_PROBLEMS
    assert all(len(problem) < 1000 for problem in problems)


# A reader whose time grew with the square of the length would pass the time limit of the suite.
@pytest.mark.parametrize(
    "piece",
    [
        "<", " ", "*", "<think>\n", "</think>\n", "<<<<<<< SEARCH\n", "=======\n", "```python\n",
        "```train.py\n", "<proposal>\n", "<notebook>\n", "title: x\n", "a.py\n```\n", "@@\n", "[{",
        "--- a/x\n", "*** Begin Patch\n", "before\n```\nx\n```\nafter\n```\ny\n```\n", "a.b.",
    ],
)  # fmt: skip
def test_a_megabyte_of_anything_is_read(piece: str) -> None:
    parsed = parse_answer(piece * (1_000_000 // len(piece)), FILES)
    assert len(parsed.drafts) <= MOST_PROPOSALS


PIECES = st.sampled_from(
    [
        "<proposal>", "</proposal>", "<notebook>", "</notebook>", "<think>", "</think>", "```",
        "```python", "````", "~~~", "```diff", "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE",
        "<<<<<<< SEARCH train.py", "train.py", "`train.py`:", "prepare.py", "title: T", "parent: 3",
        "**Hypothesis:** h", "## Proposal 2: X", "--- a/train.py", "+++ b/train.py", "@@ -1 +1 @@",
        "-a", "+b", " c", "DEPTH = 8", "", "*** Begin Patch", "Before:", "After:", "{", "}", "...",
    ]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES | st.text(max_size=30), max_size=40), st.sampled_from(["\n", "\r\n"]))
def test_no_text_makes_the_reader_raise(pieces: list[str], end: str) -> None:
    for paths in (["train.py"], ["train.py", "b.py"], []):
        parsed = parse_answer(end.join(pieces), paths)
        assert parsed.drafts or parsed.notebook or parsed.problems
        assert all(draft.edits for draft in parsed.drafts)
        for draft in parsed.drafts:
            assert all(edit.path for edit in draft.edits)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300), st.booleans())
def test_any_text_at_all_is_read(text: str, truncated: bool) -> None:
    parse_answer(text, FILES, truncated=truncated)


def test_all_before_an_end_of_thinking_without_a_beginning_was_thought() -> None:
    block = "<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n"
    first, second = (f"<proposal>\ntitle: {t}\n{block}</proposal>\n" for t in ("One", "Two"))
    parsed = parse_answer(f"{first}<think>\nhm\n</think>\n{first}</think>\n{second}", ["a.py"])
    assert [draft.title for draft in parsed.drafts] == ["Two"]
    spoken = parse_answer(f"I end my </think> tag here, then:\n{first}{second}", ["a.py"])
    assert [draft.title for draft in spoken.drafts] == ["One", "Two"]

"""Edits of overtaken wins, carried over to today's champion: claims about texts."""

import asyncio
from dataclasses import replace

import pytest

from agent import Briefing, Code, Proposal, Purpose, Win
from agent.arm import Brought
from agent.check import Checker
from agent.merging import carry
from agent.proposer import Researcher
from agent.rebasing import as_rebase, rebase
from agent.source import read_constants

BASE = """\
DEPTH = 8
WIDTH = 512
RATE = 0.02


def train(session):
    warm = 1
    decay = 2
    return warm + decay
"""


def one(text: str) -> dict[str, str]:
    return {"train.py": text}


def edited(*changes: tuple[str, str], text: str = BASE) -> str:
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


def win(number: int, text: str, origin: str = "model") -> Win:
    code = Code(number, one(text), 1.0 + number / 100, f"edit {number}")
    return Win(code, one(BASE), f"hypothesis {number}", "less", None, origin)


def briefing(champion: str, *wins: Win) -> Briefing:
    return Briefing(
        request=1,
        count=max(1, len(wins)),
        seed=0,
        program="",
        metric="val_bpb",
        minimize=True,
        budget="300 s",
        champion=Code(9, one(champion), 1.0, "the champion"),
        contract={"train.py": ("train",)},
        purpose=Purpose.REBASE,
        wins=wins,
    )


def test_changes_of_both_sides_are_joined_on_neighbouring_lines_too() -> None:
    theirs, ours = edited(("decay = 2", "decay = 3")), edited(("warm = 1", "warm = 4\n    x = 5"))
    merged = carry(one(BASE), one(theirs), one(ours))
    assert merged.is_clean
    expected = edited(("decay = 2", "decay = 3"), ("warm = 1", "warm = 4\n    x = 5"))
    assert merged.files == one(expected)


def test_constants_are_merged_by_name_and_the_edit_holds() -> None:
    theirs = edited(("WIDTH = 512", "WIDTH = 640"), ("RATE = 0.02", "RATE = 0.03"))
    ours = edited(("DEPTH = 8", "DEPTH = 12"), ("RATE = 0.02", "RATE = 0.01"))
    merged = carry(one(BASE), one(theirs), one(ours))
    assert read_constants(merged.files["train.py"]) == {"DEPTH": 12, "WIDTH": 640, "RATE": 0.03}
    assert merged.constants == {"WIDTH": 640, "RATE": 0.03}


def test_a_constant_that_the_champion_dropped_is_a_conflict() -> None:
    theirs = edited(("RATE = 0.02", "RATE = 0.03"), ("decay = 2", "decay = 3"))
    ours = edited(("RATE = 0.02\n", ""))
    merged = carry(one(BASE), one(theirs), one(ours))
    assert "RATE = 0.03" in merged.conflicts


def test_the_same_line_changed_twice_is_shown_as_a_conflict() -> None:
    theirs, ours = edited(("decay = 2", "decay = 3")), edited(("decay = 2", "decay = 9"))
    merged = carry(one(BASE), one(theirs), one(ours))
    assert not merged.is_clean
    assert not merged.files
    for line in ("train.py", "decay = 3", "decay = 9", "<<<<<<<", ">>>>>>>"):
        assert line in merged.conflicts


def test_the_same_change_on_both_sides_counts_once() -> None:
    both = edited(("decay = 2", "decay = 3"))
    assert carry(one(BASE), one(both), one(both)).files == one(both)


def test_what_merges_by_lines_to_no_python_is_a_conflict() -> None:
    base = "x = [\n    1,\n]\n"
    theirs, ours = "x = [\n    1,\n    (2,\n    3),\n]\n", "x = 1\n"
    merged = carry(one(base), one(theirs), one(ours))
    assert not merged.is_clean


def test_wins_that_merge_become_one_proposal_in_their_authors_words() -> None:
    wins = (win(4, edited(("WIDTH = 512", "WIDTH = 640"))), win(5, edited(("decay = 2", "d = 3"))))
    asked = briefing(edited(("DEPTH = 8", "DEPTH = 12")), *wins)
    found = rebase(asked, Checker(asked))
    (proposal,) = found.proposals
    assert proposal.rebases == (4, 5)
    assert proposal.parent == 9
    assert proposal.origin == "model"
    text = proposal.files["train.py"]
    assert all(part in text for part in ("DEPTH = 12", "WIDTH = 640", "d = 3"))
    assert "edit 4" in proposal.title
    assert "hypothesis 5" in proposal.hypothesis


def test_wins_that_clash_with_each_other_are_run_apart() -> None:
    wins = (
        win(4, edited(("WIDTH = 512", "WIDTH = 640"))),
        win(5, edited(("WIDTH = 512", "WIDTH = 384")), "tuner"),
    )
    asked = briefing(edited(("DEPTH = 8", "DEPTH = 12")), *wins)
    found = rebase(asked, Checker(asked))
    assert [p.rebases for p in found.proposals] == [(4,), (5,)]
    assert [p.origin for p in found.proposals] == ["model", "tuner"]
    assert not found.clashing


def test_an_edit_that_the_champion_has_already_is_refused() -> None:
    same = edited(("WIDTH = 512", "WIDTH = 640"))
    asked = briefing(same, win(4, same))
    found = rebase(asked, Checker(asked))
    assert not found.proposals
    assert "same code" in found.refused[0]


class Mender:
    """A model that carries one edit over, with its text as it likes."""

    name = "model"

    def __init__(self, text: str) -> None:
        self.text = text
        self.seen: list[Briefing] = []

    def trouble(self) -> str:
        return ""

    async def propose(self, briefing: Briefing, checker: Checker) -> Brought:
        self.seen.append(briefing)
        made = Proposal("carried", "", 9, one(self.text), self.name)
        taken = checker.take(as_rebase(made, briefing.wins))
        return Brought((taken,)) if isinstance(taken, Proposal) else Brought(refused=(str(taken),))


@pytest.mark.parametrize("with_model", [True, False])
def test_a_clash_is_put_right_by_a_model_where_there_is_one(with_model: bool) -> None:
    clashing = win(4, edited(("decay = 2", "decay = 3")))
    fine = win(5, edited(("WIDTH = 512", "WIDTH = 640")))
    champion = edited(("decay = 2", "decay = 9"))
    mender = Mender(edited(("decay = 9", "decay = 6"), text=champion))
    researcher = Researcher([mender] if with_model else [])
    answer = asyncio.run(researcher.propose(briefing(champion, clashing, fine)))
    if with_model:
        assert [p.rebases for p in answer.proposals] == [(5,), (4,)]
        (seen,) = mender.seen
        assert seen.wins == (clashing,)
        assert "decay = 9" in seen.conflict
    else:
        assert [p.rebases for p in answer.proposals] == [(5,)]
        assert any("clash" in words for words in answer.refused)


def line_of(*changes: tuple[str, str]) -> tuple[list[Win], str]:
    """Kept edits, one on top of the other, and the code that they led to."""
    wins, text = [], BASE
    for number, change in enumerate(changes, start=1):
        after = edited(change, text=text)
        wins.append(Win(Code(number, one(after), None, f"edit {number}"), one(text)))
        text = after
    return wins, text


def test_each_kept_edit_is_taken_out_of_the_champion_in_turn() -> None:
    wins, champion = line_of(
        ("WIDTH = 512", "WIDTH = 640"), ("decay = 2", "decay = 3"), ("warm = 1", "warm = 4")
    )
    asked = replace(briefing(champion, *wins), purpose=Purpose.ABLATE)
    answer = asyncio.run(Researcher().propose(asked))
    texts = {p.ablates: p.files["train.py"] for p in answer.proposals}
    assert texts[1] == edited(("decay = 2", "decay = 3"), ("warm = 1", "warm = 4"))
    assert texts[2] == edited(("WIDTH = 512", "WIDTH = 640"), ("warm = 1", "warm = 4"))
    assert {p.origin for p in answer.proposals} == {"ablation"}


def test_an_edit_that_later_ones_stand_on_is_not_taken_out() -> None:
    wins, champion = line_of(
        ("RATE = 0.02", "RATE = 0.03"),
        ("RATE = 0.03", "RATE = 0.04"),
        ("decay = 2", "decay = 3"),
        ("decay = 3", "decay = 5"),
    )
    asked = replace(briefing(champion, *wins), purpose=Purpose.ABLATE)
    answer = asyncio.run(Researcher().propose(asked))
    assert [p.ablates for p in answer.proposals] == [2, 4]
    assert any("without #1" in words for words in answer.refused)
    assert any("without #3" in words and "later edits" in words for words in answer.refused)


def test_a_file_that_an_edit_added_is_carried_over_whole() -> None:
    base, ours = {"a.py": "X = 1\n"}, {"a.py": "X = 1\nY = 2\n"}
    theirs = {"a.py": "X = 1\n", "b.py": "Z = 3\n"}
    merged = carry(base, theirs, ours)
    assert merged.is_clean
    assert merged.files == {"a.py": "X = 1\nY = 2\n", "b.py": "Z = 3\n"}

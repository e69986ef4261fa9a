"""Letters to a study."""

from pathlib import Path

import pytest

from scheduler.errors import UsageError
from scheduler.study.letters import AnyLetter, Instruct, Withdraw
from scheduler.study.mailbox import Mailbox


@pytest.fixture
def mailbox(tmp_path: Path) -> Mailbox:
    return Mailbox(tmp_path / "inbox")


def test_letters_wait_in_the_order_in_which_they_were_posted(mailbox: Mailbox) -> None:
    letters: list[AnyLetter] = [
        Instruct("try a larger batch", priority=2),
        Withdraw(3),
        Instruct("ä\n<b>", 0, 5),
    ]
    for letter in letters:
        mailbox.post(letter)
    assert mailbox.waiting() == letters


def test_a_letter_is_gone_once_it_is_removed_and_removing_it_again_is_harmless(
    mailbox: Mailbox,
) -> None:
    letter = Withdraw(1)
    mailbox.post(letter)
    mailbox.remove(letter.key)
    mailbox.remove(letter.key)
    assert mailbox.waiting() == []


@pytest.mark.parametrize(
    "text", ["", "{", '{"kind": "obey", "key": "1"}', '{"kind": "instruct", "text": ""}']
)
def test_what_is_no_letter_is_set_aside_and_hinders_no_other(
    mailbox: Mailbox, tmp_path: Path, text: str
) -> None:
    mailbox.post(Withdraw(1))
    (tmp_path / "inbox" / "0.json").write_text(text)
    assert [each.key for each in mailbox.waiting()] == [each.key for each in mailbox.waiting()]
    assert len(mailbox.waiting()) == 1
    assert (tmp_path / "inbox" / "0.unreadable").exists()


def test_a_half_written_letter_is_not_seen(mailbox: Mailbox, tmp_path: Path) -> None:
    mailbox.post(Withdraw(1))
    (tmp_path / "inbox" / "9.json.77.partial").write_text('{"kind"')
    assert len(mailbox.waiting()) == 1


def test_a_study_without_a_place_to_write_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        Mailbox(tmp_path / "gone" / "inbox").post(Withdraw(1))

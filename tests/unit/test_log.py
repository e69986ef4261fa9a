"""The log of a candidate is bounded, clean and honest about what it left out."""

import re

from workers.log import HEAD_BYTES, NEWS_BYTES, TAIL_BYTES, BoundedLog, clean, last_error, sentence


def test_a_short_log_is_kept_whole() -> None:
    log = BoundedLog()
    log.write(b"one\n")
    log.write("zwölf\n".encode())
    assert log.text() == "one\nzwölf\n"
    assert log.tail(1) == "zwölf"


def test_a_long_log_keeps_both_ends_and_counts_the_rest() -> None:
    log = BoundedLog()
    log.write(b"first\n")
    for _ in range(100):
        log.write(b"x" * 65_536)
    log.write(b"\nlast\n")
    text = log.text()
    assert text.startswith("first\n")
    assert text.endswith("\nlast\n")
    left_out = re.search(r"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n", text)
    assert left_out
    assert int(left_out[1]) == 6 + 6_553_600 + 6 - HEAD_BYTES - TAIL_BYTES
    assert len(text) < HEAD_BYTES + TAIL_BYTES + 100


def test_escapes_and_controls_are_removed() -> None:
    raw = "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link "
    assert clean(raw + "\x1b(B\x00\x08\x9b1mend\u202e") == "red link end"


def test_a_progress_bar_leaves_its_last_state() -> None:
    assert clean("10%\r50%\r100%\nnext\r\n") == "100%\nnext\n"


def test_bytes_that_are_not_utf8_are_replaced() -> None:
    log = BoundedLog()
    log.write(b"\xff\xfe ok\n")
    assert log.text() == "\ufffd\ufffd ok\n"


def test_a_sentence_is_one_bounded_line() -> None:
    assert sentence("  two\n lines\t\x1b[1mhere ") == "two lines here"
    assert len(sentence("y" * 10_000)) == 500


def test_news_comes_once_in_whole_lines() -> None:
    log = BoundedLog()
    log.write(b"one\ntw")
    assert log.news() == "one\n"
    assert log.news() == ""
    log.write(b"o\n")
    assert log.news() == "two\n"


def test_news_is_bounded_to_the_newest() -> None:
    log = BoundedLog()
    log.write(b"old\n" + b"z" * 50_000 + b"\nnew\n")
    news = log.news()
    assert len(news) == NEWS_BYTES
    assert news.endswith("\nnew\n")


def test_the_last_error_of_a_log_is_its_last_traceback_with_the_line_in_train_py() -> None:
    first = (
        'Traceback (most recent call last):\n  File "/trial/train.py", line 3, in f\nKeyError: 1\n'
    )
    last = (
        "During handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n"
        '  File "/trial/train.py", line 7, in <module>\n    f()\n'
        '  File "/lib/torch/nn.py", line 99, in forward\n    raise ValueError\n'
        "ValueError: no\nbye\n"
    )
    assert last_error(first + last) == "ValueError: no (train.py, line 7: f())"
    assert last_error("nothing of the kind") == ""

"""The referee: it believes nothing of what comes over the exam, and says how the exam ended."""

import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.exams import Process, buffer, token_bytes_file
from train_template import exam
from train_template.errors import LeftError, RejectedError
from train_template.exam import CandidateEnd, Kind, Message, Precision, RefereeEnd, Shape
from train_template.job import Settings, parse_referee_job
from train_template.probes import make_plan
from train_template.referee import Patience, check_waits, examine
from train_template.score import log_probabilities
from workers import wire

SHAPE = Shape(windows=4, length=8, vocabulary=5)
ANSWER = Message(Kind.ANSWER, 0, 4, 8, 5, Precision.FLOAT32)
TOKENS = np.arange(32, dtype=np.uint16).reshape(4, 8)


class Both:
    """Both ends of an exam, and the candidate's raw socket."""

    def __init__(self, stack: ExitStack) -> None:
        ours, self.raw = (stack.enter_context(end) for end in socket.socketpair())
        ours.settimeout(60)
        self.raw.settimeout(60)
        questions = stack.enter_context(buffer(SHAPE.question_bytes))
        answers = stack.enter_context(buffer(SHAPE.answer_bytes))
        self.referee = RefereeEnd(ours, questions, answers, SHAPE)
        self.candidate = CandidateEnd(self.raw, questions, answers, SHAPE)


@pytest.fixture
def both() -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(stack)


def test_the_numbers_of_batches_go_on_in_a_second_exam(both: Both) -> None:
    """So that no answer to the first one can pass for an answer to the second."""
    settings = Settings(sequence_length=8, validation_tokens=90, eval_batch_tokens=32)
    tokens = np.random.default_rng(0).integers(5, size=200).astype(np.uint16)
    plan = make_plan(tokens, settings, SHAPE.windows, 1)
    numbers = []

    def answer() -> None:
        while question := both.candidate.receive():
            numbers.append(question.batch)
            both.candidate.answers[:] = bytes(SHAPE.answer_bytes)
            both.candidate.answer(question, Precision.FLOAT32)

    with ThreadPoolExecutor(1) as pool:
        answering = pool.submit(answer)
        hold = partial(examine, both.referee, plan, [1] * 5, threads=1, report=lambda *_: None)
        first = hold()
        again = hold(first=len(plan.windows) // SHAPE.windows)
        both.referee.end()
        answering.result()
    assert first == again == pytest.approx(np.log2(5), rel=1e-6), "it guesses"
    assert numbers == list(range(len(numbers)))
    assert len(numbers) == 2 * len(plan.windows) // SHAPE.windows


def test_a_question_arrives_as_it_was_asked_and_so_does_its_answer(both: Both) -> None:
    both.referee.ask(7, TOKENS)
    question = both.candidate.receive()
    assert question is not None
    assert question.batch == 7
    np.testing.assert_array_equal(question.tokens, TOKENS)
    logits = np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32)
    both.candidate.answers[:] = logits.tobytes()
    both.candidate.answer(question, Precision.FLOAT32)
    answer = both.referee.receive(7)
    np.testing.assert_array_equal(answer.logits.view(np.float32).reshape(32, 5), logits)
    both.referee.end()
    assert both.candidate.receive() is None


REFUSED = {
    "an answer to another batch": (replace(ANSWER, batch=1), "answered batch 1"),
    "a message of another kind": (replace(ANSWER, kind=Kind.END), "message of kind 3"),
    "fewer windows": (replace(ANSWER, windows=3), r"\[3, 8, 5\], not \[4, 8, 5\]"),
    "shorter windows": (replace(ANSWER, length=7), r"\[4, 7, 5\], not"),
    "a wider vocabulary": (replace(ANSWER, vocabulary=2**32 - 1), r"\[4, 8, 4294967295\], not"),
    "an unknown number format": (replace(ANSWER, precision=9), "number format 9"),
}


@pytest.mark.parametrize(("message", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_answer_to_the_question_is_rejected(
    both: Both, message: Message, sentence: str
) -> None:
    both.raw.sendall(message.pack())
    with pytest.raises(RejectedError, match=sentence):
        both.referee.receive(0)


def test_rubbish_and_half_a_message_are_refused(both: Both) -> None:
    both.raw.sendall(b"\x80\x04pickled" * 10)
    with pytest.raises(RejectedError, match="no message in batch 0"):
        both.referee.receive(0)


def test_a_candidate_that_closes_the_exam_has_left(both: Both) -> None:
    both.raw.sendall(ANSWER.pack()[:10])
    both.raw.close()
    with pytest.raises(LeftError, match="closed the exam in batch 3"):
        both.referee.receive(3)
    with pytest.raises(LeftError, match="before batch 4"):
        both.referee.ask(4, TOKENS)


def test_the_number_format_can_not_change_between_batches(both: Both) -> None:
    both.raw.sendall(ANSWER.pack())
    both.referee.receive(0)
    both.raw.sendall(replace(ANSWER, batch=1, precision=Precision.BFLOAT16).pack())
    with pytest.raises(RejectedError, match="changed the number format"):
        both.referee.receive(1)


def test_answers_that_are_rewritten_while_they_are_judged_count_as_they_were_sent(
    both: Both,
) -> None:
    logits = np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32)
    targets = np.tile(np.arange(2), (32, 1))
    both.candidate.answers[:] = logits.tobytes()
    both.raw.sendall(ANSWER.pack())
    answer = both.referee.receive(0)
    stop = threading.Event()
    certain = np.full((32, 5), -1e9, dtype=np.float32)
    certain[:, 0] = 1e9

    def rewrite() -> None:
        while not stop.is_set():
            both.candidate.answers[:] = certain.tobytes()

    with ThreadPoolExecutor(1) as pool:
        writer = threading.Thread(target=rewrite)
        writer.start()
        try:
            values = [log_probabilities(answer, targets, pool) for _ in range(200)]
        finally:
            stop.set()
            writer.join()
    shifted = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    for value in values:
        np.testing.assert_allclose(value, shifted[:, :2], rtol=1e-5)


def test_it_runs_without_torch_and_without_the_edited_code() -> None:
    program = (
        "import sys, train_template.referee; "
        "assert not {'torch', 'train_template.candidate', 'train'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_job_that_lacks_a_key_says_which() -> None:
    with pytest.raises(ValueError, match="settings"):
        parse_referee_job('{"socket": 3}')


@pytest.fixture
def process(tmp_path: Path) -> Iterator[tuple[Process, socket.socket]]:
    """The real referee, which holds the tokens already, and the candidate's end of its exam."""
    (tmp_path / "tokens").write_bytes((np.arange(900) % 5).astype("<u2").tobytes())
    settings = Settings(8, 400, 32)
    shape = exam.batch_shape(settings, 5)
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        questions = stack.enter_context(buffer(shape.question_bytes))
        answers = stack.enter_context(buffer(shape.answer_bytes))
        tokens = stack.enter_context((tmp_path / "tokens").open("rb")).fileno()
        sizes = stack.enter_context(token_bytes_file([1] * 5))
        job: dict[str, object] = {
            "exam": ours.fileno(),
            "questions": questions,
            "answers": answers,
            "tokens": tokens,
            "token_bytes": sizes,
            "settings": asdict(settings),
            "secret": 1,
        }
        one = Process("referee", job, [ours.fileno(), questions, answers, sizes, tokens])
        stack.callback(one.close)
        ours.close()
        theirs.settimeout(60)
        yield one, theirs


def test_nothing_is_asked_before_go(process: tuple[Process, socket.socket]) -> None:
    referee, candidate = process
    assert referee.until(wire.Kind.HELLO).text == "referee, host memory"
    candidate.setblocking(False)
    with pytest.raises(BlockingIOError):
        candidate.recv(1)
    candidate.settimeout(60)
    wire.send_go(referee.socket, None)
    assert candidate.recv(4) == exam.MAGIC


def test_it_ends_when_its_supervisor_is_gone(process: tuple[Process, socket.socket]) -> None:
    referee, _ = process
    referee.until(wire.Kind.HELLO)
    referee.socket.close()
    assert referee.process.wait(timeout=60) == 1


def test_an_answer_that_takes_far_longer_than_the_others_is_rejected() -> None:
    check_waits([1.9, 0.1, 0.1, 0.2], Patience(2.0))
    check_waits([9.0, 4.0, 4.0, 4.1], Patience(2.0))  # a slow model is slow every time
    with pytest.raises(RejectedError, match=r"took 4\.0 s, where most took 0\.10 s"):
        check_waits([4.0, 0.1, 0.1, 0.1], Patience(2.0))


def test_a_first_answer_that_takes_too_long_is_rejected_though_all_others_are_as_slow() -> None:
    check_waits([3.9, 9.0, 3.0, 3.0, 4.1], Patience(2.0, first=4.0))
    with pytest.raises(RejectedError, match=r"first answer in the exam took 9\.0 s, and 4 s is"):
        check_waits([9.0, 9.0, 9.0, 9.0], Patience(2.0, first=4.0))


def test_while_it_waits_for_an_answer_it_says_for_how_long(
    process: tuple[Process, socket.socket],
) -> None:
    referee, candidate = process
    wire.send_go(referee.socket, None)
    candidate.recv(exam.LAYOUT.size)
    first = referee.until(wire.Kind.PROGRESS)
    candidate.sendall(ANSWER.pack()[:10])  # half an answer is none
    second = referee.until(wire.Kind.PROGRESS)
    assert first.fraction == second.fraction == 0.0
    assert 0.0 < first.value < second.value


def test_a_vocabulary_larger_than_any_command_line_can_be_scored() -> None:
    # Linux takes no argument over 128 KiB: 60,000 numbers of three characters are more.
    sizes = tuple(7 for _ in range(60_000))
    settings = Settings(sequence_length=2, validation_tokens=6, eval_batch_tokens=4)
    shape = exam.batch_shape(settings, len(sizes))
    with ExitStack() as stack:
        ours, theirs = (stack.enter_context(end) for end in socket.socketpair())
        questions = stack.enter_context(buffer(shape.question_bytes))
        answers = stack.enter_context(buffer(shape.answer_bytes))
        table = stack.enter_context(token_bytes_file(sizes))
        tokens = stack.enter_context(tempfile.TemporaryFile())
        tokens.write(np.arange(59_000, 59_090, dtype="<u2").tobytes())
        tokens.flush()
        job: dict[str, object] = {
            "exam": ours.fileno(),
            "questions": questions,
            "answers": answers,
            "tokens": tokens.fileno(),
            "token_bytes": table,
            "secret": 1,
            "settings": asdict(settings),
        }
        handed = [ours.fileno(), questions, answers, tokens.fileno(), table]
        referee = Process("referee", job, handed)
        stack.callback(referee.close)
        ours.close()
        wire.send_go(referee.socket, None)
        end = CandidateEnd(theirs, questions, answers, shape)
        while question := end.receive():
            end.answer(question, Precision.BFLOAT16)  # zeros: it knows nothing
        score = referee.until(wire.Kind.SCORED).value
    assert score == pytest.approx(np.log2(60_000) / 7, abs=1e-5)

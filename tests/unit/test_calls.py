"""The ledger in the study's database: limits hold, nothing is counted twice, nothing forgotten."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import ArmRecord, SpentError
from agent.errors import ModelError
from agent.ledger import Intent, Limits, Message, Settlement
from agent.llm.breaker import Breaker
from agent.llm.calls import Caller
from agent.llm.model import Reply
from scheduler.study.call_ledger import Calls
from scheduler.study.calls import CallRecord
from scheduler.study.reader import Reader
from scheduler.study.store import Store

PROMPT = (Message("system", "Be good. ✓"), Message("user", "Improve \ud800 it."))
INTENT = Intent(1, "a/model", "improve", PROMPT, 1000, 500, 0.5)
DONE = Settlement("an answer", "", 900, 100, 0.2, 3.0)


class Books:
    """The ledger of a study, and who reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.open()

    def open(self, limits: Limits | None = None) -> Calls:
        """As by a new process, under these limits."""
        self.store = Store(self.path)
        self.store._db.execute("PRAGMA synchronous = OFF")
        self.ledger = self.store.calls(limits or Limits())
        return self.ledger

    def settle(self, number: int, settlement: Settlement = DONE) -> list[str]:
        """Settle a call; return whose records were asked for."""
        asked: list[str] = []

        def count(model: str) -> Iterable[ArmRecord]:
            asked.append(model)
            return (ArmRecord(model, calls=len(asked)),)

        self.ledger.settle(number, settlement, count)
        return asked

    def call(self, number: int) -> CallRecord:
        """As the database has it."""
        with Reader(self.path) as reader:
            call = reader.call(number)
        assert call is not None
        return call


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    books = Books(tmp_path / "study.db")
    yield books
    books.store.close()


def test_a_call_is_kept_whole(books: Books) -> None:
    number = books.ledger.reserve(5.0, INTENT)
    assert (books.call(number).state, books.call(number).output_tokens) == ("open", 500)
    assert books.settle(number) == ["a/model"]
    call = books.call(number)
    assert call.prompt == PROMPT
    assert (call.answer, call.state, call.error) == ("an answer", "settled", "")
    assert (call.input_tokens, call.output_tokens, call.dollars) == (900, 100, 0.2)
    assert (call.request, call.purpose, call.at, call.seconds) == (1, "improve", 5.0, 3.0)
    with Reader(books.path) as reader:
        assert reader.arms() == (ArmRecord("a/model", calls=1),)
        assert (reader.study().calls, reader.study().tokens) == (1, 1000)


def test_a_settlement_that_comes_twice_counts_once(books: Books) -> None:
    number = books.ledger.reserve(5.0, INTENT)
    books.settle(number)
    before = books.ledger.account
    assert books.settle(number, replace(DONE, dollars=9.0)) == []
    assert books.settle(99) == []
    assert books.ledger.account == before
    assert books.call(number).dollars == 0.2


def test_what_was_open_when_the_process_died_is_lost_and_counts_in_full(books: Books) -> None:
    for _ in range(2):
        books.ledger.reserve(5.0, INTENT)
    books.settle(1)
    books.store.close()
    ledger = books.open()
    assert [books.call(n).state for n in (1, 2)] == ["settled", "lost"]
    assert (ledger.account.calls, ledger.account.tokens) == (2, 1000 + 1500)
    assert ledger.account.dollars == pytest.approx(0.7)


def test_a_lost_call_that_is_settled_after_all_counts_as_what_it_was(books: Books) -> None:
    books.ledger.reserve(5.0, INTENT)
    books.store.close()
    books.open()  # the results actor died; the agent lives, and its call goes on
    assert books.settle(1) == ["a/model"]
    assert books.ledger.account.tokens == 1000
    assert books.call(1).state == "settled"


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(calls=1), "calls"),
        (Limits(tokens=2999), "tokens"),
        (Limits(dollars=0.99), "dollars"),
    ],
)
def test_a_limit_holds_over_processes(books: Books, limits: Limits, name: str) -> None:
    books.ledger.reserve(5.0, INTENT)
    books.store.close()
    with pytest.raises(SpentError) as raised:
        books.open(limits).reserve(6.0, INTENT)
    assert raised.value.limit == name
    with Reader(books.path) as reader:
        assert reader.study().calls == 1


class Unlucky:
    """A Model whose every second attempt fails, some slowly; it counts how it is pressed."""

    name = "a/model"
    context_tokens = 10_000

    def __init__(self) -> None:
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0

    def count(self, text: str) -> int:
        return len(text)

    def price(self, input_tokens: int, output_tokens: int) -> float | None:
        return (input_tokens + output_tokens) * 1e-4

    async def ask(self, messages: Sequence[Message], *, most_tokens: int) -> Reply:
        self.asked += 1
        number = self.asked
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001 * (number % 3))
        self.at_once -= 1
        error = "it broke" if number % 2 else ""
        return Reply("text", 15, most_tokens, self.price(15, most_tokens), 0.1, error=error)


class Direct:
    """The ledger, without Ray in between."""

    def __init__(self, books: Books) -> None:
        self._books = books

    async def reserve(self, intent: Intent) -> int:
        await asyncio.sleep(0)
        return self._books.ledger.reserve(1.0, intent)

    async def settle(self, call: int, settlement: Settlement) -> None:
        await asyncio.sleep(0)
        self._books.settle(call, settlement)


@settings(max_examples=15, deadline=None)
@given(
    st.one_of(
        st.builds(Limits, calls=st.integers(0, 12)),
        st.builds(Limits, tokens=st.integers(0, 3000)),
        st.builds(Limits, dollars=st.floats(0, 0.3)),
    )
)
def test_no_limit_is_passed_with_many_failing_calls_under_way(
    tmp_path_factory: pytest.TempPathFactory, limits: Limits
) -> None:
    books = Books(tmp_path_factory.mktemp("study") / "study.db")
    books.store.close()
    books.open(limits)
    model = Unlucky()

    async def rest(_: float) -> None:
        await asyncio.sleep(0)

    async def ask(request: int) -> None:
        try:
            caller = Caller(model, Direct(books), Breaker(time.monotonic, failures=99), sleep=rest)
            await caller.ask(request, "improve", PROMPT[:1], 200)
        except (SpentError, ModelError):
            pass

    async def everybody() -> None:
        await asyncio.gather(*(ask(number) for number in range(10)))

    asyncio.run(everybody())
    with Reader(books.path) as reader:
        study = reader.study()
    books.store.close()
    assert study.calls == model.asked
    if limits.calls is not None:
        assert study.calls == limits.calls or limits.calls > study.calls >= 10
    if limits.tokens is not None:
        assert study.tokens <= limits.tokens
    if limits.dollars is not None:
        assert (study.dollars or 0.0) <= limits.dollars + 1e-9

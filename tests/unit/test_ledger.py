"""Money, tokens and calls are reserved before a call and settled after it."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SpentError
from agent.ledger import Account, Intent, Limits, MemoryLedger, Message, Settlement

INTENT = Intent(1, "m", "improve", (Message("user", "hi"),), 100, 900, 0.5)

amounts = st.integers(0, 10_000)
dollars = st.none() | st.floats(0, 10)
calls = st.lists(
    st.tuples(
        st.builds(
            Intent, st.just(1), st.just("m"), st.just(""), st.just(()), amounts, amounts, dollars
        ),
        st.builds(
            Settlement,
            input_tokens=amounts,
            output_tokens=amounts,
            dollars=dollars,
        ),
    ),
    max_size=20,
)


@given(calls)
def test_when_all_calls_are_settled_only_what_they_used_is_counted(
    calls: list[tuple[Intent, Settlement]],
) -> None:
    account = Account()
    for intent, _ in calls:
        account = account.admit(intent, Limits())
    for intent, settlement in calls:
        account = account.settle(intent, settlement)
    assert account.tokens == sum(s.input_tokens + s.output_tokens for _, s in calls)
    assert account.dollars == pytest.approx(sum(s.dollars or 0.0 for _, s in calls), abs=1e-9)
    assert account.calls == len(calls)
    assert account.unpriced == sum(s.dollars is None for _, s in calls)


@given(calls, st.integers(0, 50_000))
def test_calls_that_keep_to_their_reservation_never_pass_a_limit(
    calls: list[tuple[Intent, Settlement]], limit: int
) -> None:
    account, limits = Account(), Limits(tokens=limit)
    for intent, settlement in calls:
        try:
            account = account.admit(intent, limits)
        except SpentError as spent:
            assert spent.limit == "tokens"  # noqa: PT017 - most of the calls raise nothing
            continue
        used = replace(
            settlement,
            input_tokens=min(settlement.input_tokens, intent.input_tokens),
            output_tokens=min(settlement.output_tokens, intent.most_output_tokens),
        )
        account = account.settle(intent, used)
        assert account.tokens <= limit


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(dollars=0.9), "dollars"),
        (Limits(tokens=1_999), "tokens"),
        (Limits(calls=1), "calls"),
    ],
)
def test_a_call_under_way_holds_its_share_until_it_is_settled(limits: Limits, name: str) -> None:
    async def scene() -> None:
        ledger = MemoryLedger(limits)
        await ledger.reserve(INTENT)
        with pytest.raises(SpentError) as spent:
            await ledger.reserve(INTENT)
        assert spent.value.limit == name
        assert ledger.account.calls == 1

    asyncio.run(scene())


def test_what_a_call_did_not_use_is_free_for_the_next() -> None:
    async def scene() -> None:
        ledger = MemoryLedger(Limits(dollars=0.9, tokens=1_500))
        first = await ledger.reserve(INTENT)
        await ledger.settle(first, Settlement("yes", "", 90, 10, 0.1, 1.0))
        await ledger.reserve(INTENT)
        assert ledger.account.dollars == pytest.approx(0.6)
        assert (ledger.account.tokens, ledger.account.calls) == (1_100, 2)

    asyncio.run(scene())


def test_settling_twice_counts_once() -> None:
    async def scene() -> None:
        ledger = MemoryLedger()
        call = await ledger.reserve(INTENT)
        await ledger.settle(call, Settlement("first", "", 1, 2, 0.1))
        await ledger.settle(call, Settlement("second", "", 1, 2, 0.1))
        assert ledger.account.dollars == pytest.approx(0.1)
        assert (ledger.account.tokens, ledger.account.calls) == (3, 1)
        assert [s.answer for s in ledger.settlements()] == ["first"]

    asyncio.run(scene())


def test_a_call_without_a_price_is_counted_as_such_and_costs_no_dollars() -> None:
    async def scene() -> None:
        ledger = MemoryLedger(Limits(dollars=0.01))
        call = await ledger.reserve(replace(INTENT, dollars=None))
        assert (ledger.account.dollars, ledger.account.unpriced) == (0.0, 1)
        await ledger.settle(call, Settlement("", "429", 0, 0, 0.0))  # refused: that is free
        assert ledger.account.unpriced == 0

    asyncio.run(scene())


def test_the_refusal_says_the_limit_as_a_person_writes_it() -> None:
    with pytest.raises(SpentError, match="limit of 1,000,000 tokens"):
        Account(tokens=999_999).admit(INTENT, Limits(tokens=1_000_000))

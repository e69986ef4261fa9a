"""How studies share a cluster: nobody gets more than there is, and everybody what is due."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from scheduler.shares import FRESH_SECONDS, IDLE_SECONDS, TOLERANCE, Claim, Shares, allot

CLAIMS = st.lists(
    st.tuples(
        st.integers(0, 40),  # fits
        st.none() | st.integers(0, 40),  # most
        st.integers(-2, 2),  # priority
    ),
    max_size=6,
).map(lambda rows: {f"s{n}": Claim(f"s{n}", *row) for n, row in enumerate(rows)})


def room(claim: Claim) -> int:
    return claim.fits if claim.most is None else min(claim.fits, claim.most)


def used(claims: dict[str, Claim], slots: dict[str, int]) -> float:
    return sum(slots[name] / claims[name].fits for name in slots if slots[name])


@given(CLAIMS)
def test_the_cluster_is_never_given_away_twice_and_no_study_gets_more_than_it_wants(
    claims: dict[str, Claim],
) -> None:
    slots = allot(claims)
    assert slots.keys() == claims.keys()
    assert used(claims, slots) <= 1 + 100 * TOLERANCE
    assert all(0 <= slots[name] <= room(claim) for name, claim in claims.items())


@given(CLAIMS)
def test_nothing_is_left_free_that_a_study_could_use(claims: dict[str, Claim]) -> None:
    slots = allot(claims)
    free = 1 - used(claims, slots)
    for name, claim in claims.items():
        assert slots[name] == room(claim) or free < 1 / claim.fits


@given(CLAIMS)
def test_what_is_less_important_takes_nothing_from_what_is_more(claims: dict[str, Claim]) -> None:
    slots = allot(claims)
    for level in {claim.priority for claim in claims.values()}:
        above = {name: claim for name, claim in claims.items() if claim.priority >= level}
        assert allot(above) == {name: slots[name] for name in above}


@given(st.integers(1, 200), st.integers(1, 8))
def test_equal_studies_get_equal_shares(fits: int, count: int) -> None:
    slots = allot({f"s{n}": Claim(f"s{n}", fits) for n in range(count)})
    assert sum(slots.values()) == fits
    assert max(slots.values()) - min(slots.values()) <= 1


def test_a_study_alone_has_the_whole_cluster_up_to_its_cap() -> None:
    assert allot({"a": Claim("a", 100)}) == {"a": 100}
    assert allot({"a": Claim("a", 100, most=7)}) == {"a": 7}


def test_what_a_cap_leaves_goes_to_the_others() -> None:
    claims = {"a": Claim("a", 8, most=1), "b": Claim("b", 8), "c": Claim("c", 8)}
    assert allot(claims) == {"a": 1, "b": 4, "c": 3}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_study_that_is_silent_loses_its_share_and_one_that_leaves_does_so_at_once() -> None:
    async def studies() -> None:
        clock = Clock()
        shares = Shares(lambda: None, clock)
        assert await shares.claim(Claim("a", 4)) == 4
        assert await shares.claim(Claim("b", 4)) == 2
        assert await shares.claim(Claim("a", 4)) == 2
        await shares.leave("b")
        assert await shares.claim(Claim("a", 4)) == 4
        assert await shares.claim(Claim("c", 4)) == 2
        clock.now += FRESH_SECONDS
        assert await shares.claim(Claim("a", 4)) == 4

    asyncio.run(studies())


def test_it_ends_once_nobody_claims_anything() -> None:
    async def end() -> None:
        clock, ended = Clock(), asyncio.Event()
        shares = Shares(ended.set, clock)
        await shares.claim(Claim("a", 4))
        await asyncio.sleep(0)
        clock.now += IDLE_SECONDS
        await asyncio.wait_for(ended.wait(), 10)

    asyncio.run(end())

"""What the tuner proposes, given what a study has measured."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest

from agent.briefing import Briefing, Code, PastExperiment
from agent.ranges import range_of
from agent.source import edit_constants, identify
from agent.tuner import Tuner

SCRIPT = """\
DEPTH = 4
WIDTH = 128
LR = 0.02
BETA = 0.95
DECAY = 0.0
SEED = 7


def train(session):
    return session
"""
FILES = {"train.py": SCRIPT}


def experiment(number: int, values: Mapping[str, int | float], **known: object) -> PastExperiment:
    """An experiment of the champion's skeleton, with these values for some constants."""
    identity = identify(FILES | edit_constants(FILES, values))
    past = PastExperiment(
        number, 1, "", "", "tuner", "discard",
        fingerprint=identity.fingerprint, skeleton=identity.skeleton, constants=identity.constants,
    )  # fmt: skip
    return replace(past, **known)  # type: ignore[arg-type]


def briefing(
    *past: PastExperiment, files: Mapping[str, str] = FILES, count: int = 8, minimize: bool = True
) -> Briefing:
    return Briefing(
        1, count, 11, "", "val_bpb", minimize, "1 s", Code(1, files, 1.0), recent=tuple(past)
    )


def measured_by_rate() -> list[PastExperiment]:
    """Thirty experiments whose metric is the logarithm of LR, in units of the champion's."""
    rng = random.Random(3)
    rates = [float(f"{0.02 * 4 ** rng.uniform(-1, 1):.3g}") for _ in range(30)]
    return [
        experiment(n, {"LR": rate}, metric=math.log(rate / 0.02)) for n, rate in enumerate(rates, 2)
    ]


def test_proposals_differ_from_each_other_and_from_all_that_is_known() -> None:
    first = Tuner().propose(briefing())
    # What was proposed is running now: the same request must lead elsewhere.
    running = tuple(
        experiment(n, p.constants, state="queued") for n, p in enumerate(first, start=2)
    )
    second = Tuner().propose(replace(briefing(), pending=running))
    assert len({p.fingerprint for p in (*first, *second)}) == 16


def test_equal_briefings_give_equal_answers_whatever_was_asked_before() -> None:
    used = Tuner()
    used.propose(briefing(count=3))
    assert used.propose(briefing(*measured_by_rate())) == Tuner().propose(
        briefing(*measured_by_rate())
    )


def test_a_proposal_changes_one_to_three_constants_and_its_title_names_them() -> None:
    start = identify(FILES).constants
    for proposal in Tuner().propose(briefing(*measured_by_rate())):
        changed = [name for name in start if proposal.constants[name] != start[name]]
        assert 1 <= len(changed) <= 3
        assert proposal.files == edit_constants(FILES, proposal.constants)
        assert [part.split()[0] for part in proposal.title.split(", ")] == changed


@pytest.mark.parametrize(("minimize", "sign"), [(True, -1), (False, 1)])
def test_with_a_history_the_rate_moves_to_where_the_metric_is_good(
    minimize: bool, sign: int
) -> None:
    answer = Tuner().propose(briefing(*measured_by_rate(), count=24, minimize=minimize))
    moved = [p.constants["LR"] for p in answer if p.constants["LR"] != 0.02]
    good = [rate for rate in moved if sign * math.log(rate / 0.02) > 0]
    assert len(moved) >= 6
    assert len(good) > 0.8 * len(moved)


def test_values_that_crashed_are_avoided() -> None:
    deep = [
        experiment(n, {"DEPTH": depth, "LR": 0.01 + n / 1000}, state="crash")
        for n, depth in enumerate([5, 6] * 8, start=40)
    ]
    shallow = [
        experiment(n, {"DEPTH": depth, "LR": 0.01 + n / 1000}, metric=1.0)
        for n, depth in enumerate([2, 3, 4] * 5, start=60)
    ]
    answer = Tuner().propose(briefing(*deep, *shallow, count=24))
    moved = [p.constants["DEPTH"] for p in answer if p.constants["DEPTH"] != 4]
    assert moved
    assert sum(depth > 4 for depth in moved) <= 0.2 * len(moved)


def test_a_history_of_failures_alone_is_explored_on() -> None:
    failed = [experiment(n, {"LR": n / 1000}, state="oom") for n in range(2, 16)]
    answer = Tuner().propose(briefing(*failed))
    assert len(answer) == 8
    assert all(p.hypothesis.startswith("Explores ") for p in answer)


def test_the_hypothesis_names_where_the_best_measured_values_lie() -> None:
    answer = Tuner().propose(briefing(*measured_by_rate()))
    hypotheses = [p.hypothesis for p in answer if "LR near" in p.hypothesis]
    # The best six of thirty: the lowest rates, whose median is known from the fixture's seed.
    best = sorted(e.constants["LR"] for e in measured_by_rate())[:6]
    assert hypotheses
    assert all(f"LR near {(best[2] + best[3]) / 2:.3g}" in text for text in hypotheses)


def test_experiments_on_other_code_do_not_count() -> None:
    other = [replace(e, skeleton="another") for e in measured_by_rate()]
    assert [p.constants for p in Tuner().propose(briefing(*other))] == [
        p.constants for p in Tuner().propose(briefing())
    ]


def test_an_exhausted_range_gives_fewer_proposals() -> None:
    answer = Tuner().propose(briefing(files={"train.py": "DEPTH = 1\n"}, count=5))
    assert sorted(p.constants["DEPTH"] for p in answer) == [2, 3]


@pytest.mark.parametrize("text", ["print('hello')\n", "SEED = 5\nFAST = True\nMARK = -1\n"])
def test_without_constants_that_may_move_nothing_is_proposed(text: str) -> None:
    assert Tuner().propose(briefing(files={"train.py": text})) == ()


@pytest.mark.parametrize(
    ("name", "value", "low", "high"),
    [
        ("MATRIX_LR", 0.02, 0.005, 0.08),
        ("EMBED_LR", 0.4, 0.1, 1.6),  # a rate may pass 1
        ("SHARE", 0.08, 0.02, 0.32),
        ("COOL_DOWN", 0.9, 0.6, 0.975),
        ("COOL_DOWN", 0.5, 0.3, 0.7),
        ("BETA", 0.999, 0.996, 0.99975),
        ("DROPOUT", 0.0, 0.0, 0.1),
        ("BIAS", -0.4, -0.7, -0.1),
        ("CAP", 15.0, 3.8, 60.0),
        ("WIDTH", 128, 32, 512),
        ("CHANNELS", 384, 192, 768),
        ("STEPS", 1500, 800, 3000),
        ("DEPTH", 4, 2, 6),
        ("DEPTH", 1, 1, 3),
        ("SWITCH", 0, 0, 2),
    ],
)
def test_a_range_surrounds_the_champions_value(
    name: str, value: float, low: float, high: float
) -> None:
    found = range_of(name, value)
    assert found is not None
    assert (found.value(found.low), found.value(found.high)) == (low, high)
    assert found.value(found.coordinate(value) or 0.0) == pytest.approx(value)
    assert isinstance(found.value(found.low), type(value))


@pytest.mark.parametrize(("value", "grain"), [(384, 32), (1500, 100), (24, 1)])
def test_whole_numbers_keep_their_grain(value: int, grain: int) -> None:
    found = range_of("N", value)
    assert found is not None
    places = range(int(found.low), int(found.high) + 1)
    assert {found.value(place) % grain for place in places} == {0}


@pytest.mark.parametrize(
    ("name", "value"), [("SEED", 1), ("DATA_SEED", 0.5), ("MASK", 2**32), ("IGNORE", -100)]
)
def test_seeds_marks_and_huge_numbers_stay(name: str, value: float) -> None:
    assert range_of(name, value) is None


def test_a_new_champion_s_learning_rates_are_looked_at_first() -> None:
    script = SCRIPT.replace("DECAY = 0.0", "HEAD_LR = 0.3")
    asked = briefing(files={"train.py": script}, count=5)
    titles = [p.title for p in Tuner().propose(asked)]
    assert titles[:4] == ["LR 0.02 -> 0.04", "HEAD_LR 0.3 -> 0.6", "LR 0.02 -> 0.01",
                          "HEAD_LR 0.3 -> 0.15"]  # fmt: skip
    # Where the sampler has something to go by, it decides.
    later = [p.title for p in Tuner().propose(briefing(*measured_by_rate()))]
    assert not {"LR 0.02 -> 0.04", "LR 0.02 -> 0.01"} & set(later[:2])

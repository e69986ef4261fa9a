"""What a request to a model is to be."""

from collections import Counter
from dataclasses import replace

from agent.briefing import Briefing, Broken, Code, Instruction, PastExperiment, Purpose
from agent.llm.plan import Move, Plan, make_plan

DIFF = "-LR = 1\n+LR = 2\n"


def past(number: int, parent: int | None, metric: float, before: float | None) -> PastExperiment:
    return PastExperiment(
        number, parent, f"title {number}", "", "tuner", "keep", metric, parent_metric=before
    )


LEADERS = (
    Code(5, {"train.py": "LR = 2\n"}, 1.1, "a win elsewhere", DIFF),
    Code(6, {"train.py": "LR = 3\n"}, 1.2, "another", DIFF),
)
BASE = Briefing(
    request=1, count=1, seed=1, program="", metric="val_bpb", minimize=True, budget="300 s",
    champion=Code(9, {"train.py": "LR = 1\n"}, 1.0, "best", DIFF),
    best=(
        past(9, 1, 1.0, 1.3), past(5, 1, 1.1, 1.3), past(6, 1, 1.2, 1.3),
        past(1, None, 1.3, None),
    ),
    leaders=LEADERS,
)  # fmt: skip


def plans(briefing: Briefing, number: int = 400) -> list[Plan]:
    return [make_plan(replace(briefing, seed=seed)) for seed in range(number)]


def moves(briefing: Briefing) -> Counter[Move]:
    return Counter(plan.move for plan in plans(briefing))


def test_equal_briefings_give_equal_plans_and_other_seeds_other_ones() -> None:
    assert plans(BASE) == plans(BASE)
    assert len({plan.task for plan in plans(BASE)}) > 3


def test_most_calls_improve_the_champion_and_some_build_or_combine() -> None:
    found = moves(BASE)
    assert set(found) == {Move.IMPROVE, Move.BUILD, Move.COMBINE}
    assert found[Move.IMPROVE] > 240
    assert min(found[Move.BUILD], found[Move.COMBINE]) > 15


def test_whatever_the_plan_names_the_prompt_shows_and_a_proposal_may_edit() -> None:
    for plan in plans(replace(BASE, count=8, free_slots=8, since_champion=90)):
        assert plan.codes[0].experiment == plan.parent
        assert plan.parent in BASE.codes()
        if plan.combines is not None:
            assert [code.experiment for code in plan.changes] == [plan.combines]
            assert f"`combines: {plan.combines}`" in plan.task
        if plan.parent != 9:
            assert f"`parent: {plan.parent}`" in plan.task


def test_without_leaders_the_champion_is_improved() -> None:
    assert set(moves(replace(BASE, leaders=()))) == {Move.IMPROVE}


def test_what_the_champion_has_is_neither_built_on_nor_combined() -> None:
    line = (past(9, 5, 1.0, 1.1), past(5, 6, 1.1, 1.2), past(6, 1, 1.2, 1.3))
    assert set(moves(replace(BASE, best=line))) == {Move.IMPROVE}


def test_a_change_that_lost_or_was_tried_on_the_champion_is_not_combined() -> None:
    lost = replace(BASE, leaders=LEADERS[:1], best=(past(5, 1, 1.1, 1.05),))
    tried = replace(BASE, leaders=LEADERS[:1], best=(past(5, 9, 1.1, None),))
    upward = replace(BASE, leaders=LEADERS[:1], best=(past(5, 1, 1.1, 1.05),), minimize=False)
    assert Move.COMBINE not in moves(lost)
    assert Move.COMBINE not in moves(tried)
    assert Move.COMBINE in moves(upward)


def test_a_grid_needs_a_slot_and_a_proposal_for_each_cell() -> None:
    assert Move.GRID not in moves(replace(BASE, count=2, free_slots=9))
    assert Move.GRID not in moves(replace(BASE, count=9, free_slots=2))
    small = [p for p in plans(replace(BASE, count=4, free_slots=3)) if p.move is Move.GRID]
    large = [p for p in plans(replace(BASE, count=8, free_slots=8)) if p.move is Move.GRID]
    assert "give 3 proposals" in small[0].task
    assert "give 7 proposals" in large[0].task
    assert "A+B+C" in large[0].task


def test_the_longer_nothing_changed_the_bolder_and_the_more_often() -> None:
    shares = []
    for level, since in enumerate((8, 20, 50), start=1):
        found = Counter(plan.boldness for plan in plans(replace(BASE, since_champion=since)))
        assert set(found) == {0, level}
        shares.append(found[level])
    assert shares == sorted(shares)
    assert {plan.boldness for plan in plans(replace(BASE, since_champion=7))} == {0}


def test_experiments_that_were_under_way_before_say_nothing_of_a_standstill() -> None:
    running = tuple(past(number, 9, 1.0, None) for number in range(100, 150))
    crowd = replace(BASE, since_champion=55, pending=running)
    assert {plan.boldness for plan in plans(crowd)} == {0}


def test_an_open_instruction_comes_first_until_something_serves_it() -> None:
    asked = replace(BASE, instructions=(Instruction(3, "Try it."), Instruction(4, "And this.")))
    assert set(moves(asked)) == {Move.INSTRUCTION}
    assert {plan.instruction for plan in plans(asked)} == {3}
    running = replace(past(20, 9, 1.0, None), state="queued", instruction=3)
    assert {p.instruction for p in plans(replace(asked, pending=(running,)))} == {4}
    both = (running, replace(running, id=21, instruction=4))
    assert Move.IMPROVE in moves(replace(asked, pending=both))


def test_mending_shows_the_broken_code_alone() -> None:
    code = Code(12, {"train.py": "LR = 1 +\n"}, None, "", DIFF)
    broken = Broken(code, "t", "h", "SyntaxError", "", instruction=3)
    plan = make_plan(replace(BASE, purpose=Purpose.MEND, broken=broken))
    assert (plan.move, plan.parent, plan.codes, plan.instruction) == (Move.MEND, 12, (code,), 3)
    assert "`parent: 12`" in plan.task
    assert "`instruction: 3`" in plan.task

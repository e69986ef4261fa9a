"""What a request to a language model is to be: decided from the briefing, before the prompt.

In: a briefing. Out: a Plan: which code the prompt shows, and the task in sentences. The draws come
from the briefing's seed, so that an equal briefing gives an equal plan in any process, and calls
that run side by side differ. Nothing is asked and nothing is judged here.

Shares, of the calls without an instruction:

    a factorial grid    25 % where it fits    only with slots free for all of its cells: on few
                                              slots, three cells would hold them for an hour
    combine             15 %                  two wins seldom cancel, and it needs no new idea; but
                                              a study has only as many as it has leaders
    build on a leader   10 %, 20 % at a       a leader is one step from the champion: its own next
                        standstill            step seldom pays, but may leave a dead end
    improve             the rest              where nearly all wins come from
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.briefing import Briefing, Code, Instruction, Purpose
from agent.lessons import number
from agent.quoting import one_line

GRID, COMBINE, BUILD, BUILD_STUCK = 0.25, 0.15, 0.10, 0.20
SMALL_GRID, LARGE_GRID = 3, 7  # cells of two and of three factors, less the one that is known

# Experiments decided since the last champion, those left out that were under way before it was
# known; and the share of calls that are nudged from there on. Never all: the next small step may
# still be the right one.
STANDSTILL = ((8, 0.4), (20, 0.6), (50, 0.8))


class Move(StrEnum):
    """The kinds of plan."""

    IMPROVE = "improve"
    BUILD = "build"  # on a leader that is not the champion
    COMBINE = "combine"  # a leader's change with the champion's code
    GRID = "grid"
    INSTRUCTION = "instruction"
    MEND = "mend"
    REBASE = "rebase"  # carry an overtaken win over to the champion's code


@dataclass(frozen=True)
class Plan:
    """What this request is to be."""

    move: Move
    task: str  # what is asked of the model, in sentences
    parent: int  # the experiment whose code is edited
    codes: tuple[Code, ...]  # shown whole, the one to edit first
    changes: tuple[Code, ...] = ()  # shown as diffs
    combines: int | None = None
    instruction: int | None = None
    boldness: int = 0  # 0 to 3


def make_plan(briefing: Briefing) -> Plan:
    """The plan of this request; equal briefings give equal plans."""
    if given := _given(briefing):
        return given
    draw = random.Random(briefing.seed)
    kind, nudged, choice = draw.random(), draw.random(), draw.random()
    if instruction := _next_instruction(briefing):
        return _instruction(briefing, instruction)
    boldness = _boldness(briefing, nudged)
    if _fits_grid(briefing):
        if kind < GRID:
            return _grid(briefing)
        kind = (kind - GRID) / (1 - GRID)  # the other shares are of what is left
    build = BUILD_STUCK if boldness else BUILD
    others = _strangers(briefing)
    changed = _wins(others, briefing)
    if kind < COMBINE and changed:
        return _combine(briefing, _pick(changed, choice))
    if COMBINE <= kind < COMBINE + build and others:
        return _build(briefing, _pick(others, choice), boldness)
    return improve(briefing, boldness, choice)


def improve(briefing: Briefing, boldness: int = 0, choice: float = 0.0) -> Plan:
    """The usual plan, which shows the least: the champion's code alone."""
    champion = briefing.champion
    nudge = _nudge(briefing, boldness, choice)
    task = f"Improve on the champion, {_named(champion, briefing)}."
    return Plan(
        Move.IMPROVE,
        _sentences(task, nudge, _count(briefing)),
        champion.experiment,
        (champion,),
        boldness=boldness,
    )


def _given(briefing: Briefing) -> Plan | None:
    """The plan of a request that leaves no choice."""
    if briefing.purpose is Purpose.MEND and briefing.broken is not None:
        return _mend(briefing)
    return _rebase(briefing) if briefing.purpose is Purpose.REBASE else None


def _mend(briefing: Briefing) -> Plan:
    broken = briefing.broken
    assert broken is not None
    number_ = broken.code.experiment
    serves = "" if broken.instruction is None else f" and `instruction: {broken.instruction}`"
    task = (
        f"Mend experiment #{number_}: it crashed within its first seconds, so its idea was never "
        "measured. Find the cause in the reason and the output above, and carry on with the same "
        "idea without the fault: the smallest edit of its code that runs. Don't retreat to the "
        "code before it, and don't add another idea. If the idea itself can't work, keep what of "
        f"it can. Give one proposal, with `parent: {number_}`{serves}."
    )
    return Plan(
        Move.MEND,
        task,
        number_,
        (broken.code,),
        (broken.code,) if broken.code.diff else (),
        instruction=broken.instruction,
    )


def _rebase(briefing: Briefing) -> Plan:
    champion, (win,) = briefing.champion, briefing.wins
    task = (
        f"Carry the change of {_named(win.code, briefing)} over to the code of the champion, "
        f"{_named(champion, briefing)}. It was better than the code that it was written for, and "
        "the champion overtook it meanwhile. Its diff is shown above, and where the two texts "
        "clash. Make the same change to the champion's code, keep what the champion has gained, "
        "and add no other idea. If the champion has the change already, or the two can't stand "
        "together, say so and give no proposal. Give one proposal at most."
    )
    return Plan(Move.REBASE, task, champion.experiment, (champion,), (win.code,))


def _instruction(briefing: Briefing, instruction: Instruction) -> Plan:
    champion = briefing.champion
    task = (
        f"Serve instruction {instruction.id} of the person who runs this study; it goes before "
        f"your own ideas. Edit the code of the champion, {_named(champion, briefing)}, and write "
        f"`instruction: {instruction.id}` in each proposal that serves it. If it asks for what the "
        "contract rules out, propose what comes closest, and say so in the hypothesis."
    )
    return Plan(
        Move.INSTRUCTION,
        _sentences(task, _count(briefing)),
        champion.experiment,
        (champion,),
        instruction=instruction.id,
    )


def _grid(briefing: Briefing) -> Plan:
    champion = briefing.champion
    large = min(briefing.count, briefing.free_slots) >= LARGE_GRID
    cells, factors = (LARGE_GRID, "three") if large else (SMALL_GRID, "two")
    names = "A, B, C, A+B, A+C, B+C, A+B+C" if large else "A, B, A+B"
    task = (
        f"Plan a small factorial grid on the champion, {_named(champion, briefing)}: choose "
        f"{factors} changes that may depend on each other, and give {cells} proposals, one for "
        f"each cell: {names}. The champion itself is the cell without any. Write each change in "
        'the same words of code in every cell, and begin the titles with the cell ("A+B: ..."), so '
        "that what each adds alone and together can be told apart."
    )
    rest = briefing.count - cells
    more = f"Give up to {rest} more that have nothing to do with the grid." if rest else ""
    return Plan(Move.GRID, _sentences(task, more), champion.experiment, (champion,))


def _combine(briefing: Briefing, other: Code) -> Plan:
    champion = briefing.champion
    task = (
        f"Bring the change of {_named(other, briefing)} to the code of the champion, "
        f"{_named(champion, briefing)}. Its diff is shown above; it was made against other code, "
        "so carry its idea over, not its lines. In that proposal write "
        f"`combines: {other.experiment}`, and say in the hypothesis whether the two should add up, "
        "and why. If they can't stand together, or the champion has it already, improve on the "
        "champion in another way instead, without `combines`."
    )
    return Plan(
        Move.COMBINE,
        _sentences(task, _count(briefing, first="One of them is the combination.")),
        champion.experiment,
        (champion,),
        (other,),
        combines=other.experiment,
    )


def _build(briefing: Briefing, other: Code, boldness: int) -> Plan:
    champion = briefing.champion
    task = (
        f"Build on {_named(other, briefing)} this time instead of on the champion, "
        f"{_named(champion, briefing)}: find what holds it back, or what its way makes possible, "
        "and take the next step from there that could overtake the champion. Edit the code of "
        f"#{other.experiment}, and write `parent: {other.experiment}`."
    )
    nudge = "Small steps have stopped paying, so make it a real step." if boldness > 1 else ""
    return Plan(
        Move.BUILD,
        _sentences(task, nudge, _count(briefing)),
        other.experiment,
        (other,),
        boldness=boldness,
    )


# What is chosen, and why.


def _next_instruction(briefing: Briefing) -> Instruction | None:
    """The most urgent open instruction that nothing queued or running serves already.

    Without this rule a standing wish would take every call until its first result is in.
    """
    served = {e.instruction for e in briefing.pending}
    return next((i for i in briefing.instructions if i.id not in served), None)


def _fits_grid(briefing: Briefing) -> bool:
    return min(briefing.count, briefing.free_slots) >= SMALL_GRID


def _strangers(briefing: Briefing) -> list[Code]:
    """The leaders whose change the champion does not have, as far as the briefing can tell."""
    parents = {e.id: e.parent for e in briefing.past()}
    line: set[int | None] = set()
    at: int | None = briefing.champion.experiment
    while at is not None and at not in line:
        line.add(at)
        at = parents.get(at)
    return [code for code in briefing.leaders if code.experiment not in line]


def _wins(codes: Sequence[Code], briefing: Briefing) -> list[Code]:
    """Those whose change may add to the champion: it won where it was made, and not there.

    A change that was made to the champion's own code has been measured there already.
    """
    known = {e.id: e for e in briefing.past()}

    def may_add(code: Code) -> bool:
        experiment = known.get(code.experiment)
        if not code.diff or experiment is None:
            return bool(code.diff)
        metric, before = experiment.metric, experiment.parent_metric
        lost = (
            metric is not None
            and before is not None
            and (metric >= before if briefing.minimize else metric <= before)
        )
        return not lost and experiment.parent != briefing.champion.experiment

    return [code for code in codes if may_add(code)]


def _pick(codes: Sequence[Code], choice: float) -> Code:
    """One of them, the first ones more often: with weights 1, 1/2, 1/3, ..."""
    left = choice * sum(1 / rank for rank in range(1, len(codes) + 1))
    for rank, code in enumerate(codes, start=1):
        left -= 1 / rank
        if left < 0:
            return code
    return codes[-1]


def _boldness(briefing: Briefing, nudged: float) -> int:
    informed = briefing.since_champion - len(briefing.pending)
    level = sum(informed >= least for least, _ in STANDSTILL)
    return level if level and nudged < STANDSTILL[level - 1][1] else 0


# Words.

_ANGLES = (
    "make a step cheaper, so that the budget buys more of them",
    "make a step teach more: another objective, architecture or optimizer",
    "change how the budget is spent from beginning to end: what is small, short or coarse at first",
    "take something out: what does the code do that nothing has shown to be needed?",
    "look for a part of the code, or a constant, that no experiment has touched yet",
    "take two parts that were tuned apart, and change them together",
)

_NUDGES = (
    "leave the neighbourhood of what was tried lately.",
    (
        "small steps have stopped paying. Propose a change of structure rather than of a constant, "
        "one that you expect to show well above the noise."
    ),
    (
        "something that all of them share is likely to be in the way. Name an assumption of the "
        "champion's code that nobody has questioned, and replace it: a large change that may fail "
        "is worth more now than a safe one that can't win."
    ),
)


def _nudge(briefing: Briefing, boldness: int, choice: float) -> str:
    """A push away from what was tried, the harder the longer nothing changed."""
    if not boldness:
        return ""
    stands = f"{briefing.since_champion} experiments have brought no new champion"
    angle = _ANGLES[int(choice * len(_ANGLES)) % len(_ANGLES)]
    return f"{stands}: {_NUDGES[boldness - 1]} A direction to look in first: {angle}."


def _count(briefing: Briefing, first: str = "") -> str:
    if briefing.count <= 1:
        return "Give one proposal."
    return (
        f"Give {briefing.count} proposals: separate experiments, each made from the code shown, "
        "none resting on another, and as different in kind as you can make them."
        + (f" {first}" if first else "")
    )


def _named(code: Code, briefing: Briefing) -> str:
    value = "" if code.metric is None else f", {briefing.metric} {number(code.metric)}"
    title = f' "{one_line(code.title, 80)}"' if code.title.strip() else ""
    return f"#{code.experiment}{title}{value}"


def _sentences(*parts: str) -> str:
    return " ".join(part for part in parts if part)

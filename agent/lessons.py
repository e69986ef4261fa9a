"""What one finished experiment taught, in one line: what was done, expected against observed.

    #12 kept: MATRIX_LR 0.02 -> 0.04; expected lower by 0.004; got 0.0061 lower than #9
        (1.504912 -> 1.498812: better, 3.1 sigma)                             [all on one line]
    #14 discarded: wider; got 0.0021 lower than #9 (1.504912 -> 1.502812: not shown to be better,
        within the noise (sigma 0.002), one trial)                            [all on one line]
    #13 out of memory: twice the depth; reason: OutOfMemoryError: tried to allocate 2 GiB

In: a decided experiment, its parent, the noise, and what the decision rested on. The metrics are
those that stand for the two when it is decided; repeats that are run later may move both. Out: the
line; and, for the notebook, the line read back. The line is the only record: a study keeps it as
text, and people and models read it as it is. Nothing is judged here: whether it was kept is the
scheduler's word.
"""

import re
from dataclasses import dataclass

from agent.briefing import Constants, PastExperiment
from agent.quoting import one_line

WORDS = {
    "keep": "kept",
    "discard": "discarded",
    "crash": "crashed",
    "timeout": "timed out",
    "oom": "out of memory",
    "rejected": "rejected",
    "cancelled": "cancelled",
}
"""Final state of an experiment -> how a lesson says it."""

FAILURES = ("crash", "timeout", "oom", "rejected")
MOST_MOVES = 6  # constants that are named; code that changes more has a title of its own

_STATES = {word: state for state, word in WORDS.items()}
_LINE = re.compile(
    rf"#(?P<id>\d+) (?P<word>{'|'.join(_STATES)}): (?P<what>[^;]*)"
    r"(?:; expected (?P<expected>[^;]*))?"
    r"(?:; got (?P<got>[^;]*))?"
    r"(?:; reason: (?P<reason>.*))?"
)
NUMBER = r"-?(?:[0-9]+(?:\.[0-9]*)?(?:e[-+]?[0-9]+)?|inf|nan)"
"""As Python writes one; not the 1.2.3 of a version, which a title may hold."""
UNSHOWN = "not shown to be better"
NOISE = 2.0  # sigmas within which two figures may well differ by luck alone
_AGAINST = re.compile(
    rf"(?P<size>{NUMBER}) (?:lower|higher) than #(?P<parent>\d+) "
    rf"\({NUMBER} -> (?P<metric>{NUMBER}): (?P<side>{UNSHOWN}|better|worse)(?P<worth>[ ,].*)?\)"
)
_EQUAL = re.compile(rf"the same as #(?P<parent>\d+) \((?P<metric>{NUMBER})\)")


@dataclass(frozen=True)
class Lesson:
    """A lesson, read back."""

    id: int
    state: str  # the experiment's final state
    what: str  # what was done: constants that moved, or the title
    expected: str = ""
    metric: float | None = None
    gain: float | None = None  # against the parent; above 0: better
    parent: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Ground:
    """What a decision rested on."""

    trials: int = 0  # of the experiment, that were compared; 0: not known
    champion: int | None = None  # that it was compared with
    ahead: bool = True  # whether it did better than that, were it by luck


def write_lesson(
    experiment: PastExperiment,
    parent: PastExperiment | None = None,
    *,
    minimize: bool,
    sigma: float | None = None,
    ground: Ground | None = None,
) -> str:
    """The lesson of a decided experiment.

    With the `parent`, code that differs from it in constants only is told by these. Raises
    ValueError for an experiment that is not decided.
    """
    word = WORDS.get(experiment.state)
    if word is None:
        raise ValueError(f"experiment {experiment.id} is {experiment.state}: no lesson yet")
    parts = [f"#{experiment.id} {word}: {_what(experiment, parent)}"]
    if experiment.expected.strip():
        parts.append(f"expected {_field(experiment.expected, 100)}")
    if experiment.metric is not None:
        before = experiment.parent_metric
        if before is None and parent is not None:
            before = parent.metric
        number = experiment.parent if experiment.parent is not None else 0
        against = None if experiment.parent is None else before
        found = _got(experiment.metric, against, number, minimize, sigma)
        if experiment.state == "discard":
            found = _doubted(found, number, sigma, ground or Ground())
        parts.append(f"got {found}")
    elif experiment.state != "cancelled":
        parts.append(f"reason: {one_line(experiment.reason, 160) or 'none was given'}")
    return "; ".join(parts)


def read_lesson(line: str) -> Lesson | None:
    """The lesson that `write_lesson` wrote; None for any other line."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    lesson = Lesson(
        id=int(found["id"]),
        state=_STATES[found["word"]],
        what=found["what"],
        expected=found["expected"] or "",
        reason=found["reason"] or "",
    )
    got = found["got"] or ""
    gain: float | None = None
    if against := _AGAINST.fullmatch(got):
        size = float(against["size"])
        gain = -size if against["side"] == "worse" else size
    elif against := _EQUAL.fullmatch(got):
        gain = 0.0
    else:
        metric = float(got) if re.fullmatch(NUMBER, got) else None
        return Lesson(**(vars(lesson) | {"metric": metric}))
    known = {"metric": float(against["metric"]), "gain": gain, "parent": int(against["parent"])}
    return Lesson(**(vars(lesson) | known))


def moves(before: Constants, after: Constants) -> str:
    """The constants that moved, as `MATRIX_LR 0.02 -> 0.04, DEPTH 8 -> 6`; "" if none did."""
    return ", ".join(
        f"{name} {before[name]} -> {value}"
        for name, value in after.items()
        if name in before and before[name] != value
    )


def number(value: float) -> str:
    """A measured number with as many digits as a 32-bit float holds."""
    return format(value, ".9g")


def against(
    metric: float, before: float, *, minimize: bool, sigma: float | None
) -> tuple[str, str, str]:
    """A difference: its size, its direction, and what it is worth, in words.

    A size has two digits more than it needs at most: below the noise nothing is to be read.
    """
    difference = metric - before
    better = (difference < 0) == minimize
    worth = "better" if better else "worse"
    if sigma is not None and sigma > 0:
        worth += f", {abs(difference) / sigma:.1f} sigma"
    return format(abs(difference), ".4g"), "lower" if difference < 0 else "higher", worth


def _what(experiment: PastExperiment, parent: PastExperiment | None) -> str:
    """What was done: the constants that moved, where nothing else did, else the title."""
    if (
        parent is not None
        and parent.id == experiment.parent
        and experiment.skeleton
        and experiment.skeleton == parent.skeleton
    ):
        moved = moves(parent.constants, experiment.constants)
        if moved and moved.count(" -> ") <= MOST_MOVES:
            return _field(moved, 240)
    return _field(experiment.title, 160) or "untitled"


def _got(
    metric: float, before: float | None, parent: int, minimize: bool, sigma: float | None
) -> str:
    if before is None:
        return number(metric)
    if metric == before:
        return f"the same as #{parent} ({number(metric)})"
    size, side, worth = against(metric, before, minimize=minimize, sigma=sigma)
    return f"{size} {side} than #{parent} ({number(before)} -> {number(metric)}: {worth})"


def _doubted(found: str, parent: int, sigma: float | None, ground: Ground) -> str:
    """The same of what was discarded, which a figure alone would make look like a win or a loss."""
    said = _AGAINST.fullmatch(found)
    one = ["one trial"] if ground.trials == 1 else []
    if said is None:
        return found
    worth = [said["side"], *filter(None, (said["worth"] or "").split(", "))]
    if said["side"] == "better":
        another = ground.champion not in (None, parent)
        if another and not ground.ahead:
            worth[0] = f"better, but #{ground.champion} is better still"
        else:
            worth[0] = UNSHOWN + f" than #{ground.champion}" * another
            if sigma and float(said["size"]) < NOISE * sigma:
                worth[1:] = [f"within the noise (sigma {sigma:.2g})"]
    return f"{found[: said.start('side')]}{', '.join([*worth, *one])})"


def _field(text: str, most: int) -> str:
    """Text for a place that ends with the next semicolon."""
    return one_line(text.replace(";", ","), most)

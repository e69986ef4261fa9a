"""Numbers as a report writes them. Pure."""

from datetime import UTC, datetime

from scheduler import figures
from scheduler.study.records import Experiment
from workers.log import clean, sentence

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
LONGEST_TITLE = 100  # characters


def metric(value: float | None) -> str:
    """As everywhere."""
    return NONE if value is None else figures.figure(value).replace("-", MINUS)


def change(value: float | None) -> str:
    """A difference, with its sign."""
    return NONE if value is None else figures.change(value).replace("-", MINUS)


def within(half: float | None) -> str:
    """Half an interval, or that it is not known."""
    return NONE if half is None else f"\N{PLUS-MINUS SIGN}{figures.amount(half)}"


def percent(value: float, of: float) -> str:
    """A difference as a part."""
    return NONE if not of else f"{100 * value / abs(of):+.2f} %".replace("-", MINUS)


def chance(p: float | None) -> str:
    """A probability with two figures."""
    return NONE if p is None else ("< 0.0001" if p < 0.0001 else f"{p:.2g}")


def count(number: float, one: str, more: str = "") -> str:
    """Such as `1 call`, `1,200 calls`."""
    return figures.count(number, one, more)


def duration(seconds: float) -> str:
    """In the two largest units."""
    whole = int(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def moment(at: float) -> str:
    """A Unix time; in UTC, as a report travels."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC") if at else NONE


def dollars(value: float | None) -> str:
    """An amount, or that it is not known."""
    return "price not known" if value is None else f"{value:.2f} $"


def title(experiment: Experiment) -> str:
    """One line, of bounded length."""
    return sentence(experiment.title, LONGEST_TITLE) or "untitled"


def named(experiment: Experiment) -> str:
    """With its number."""
    return f"#{experiment.id} {title(experiment)}"


def bounded(text: str, lines: int, characters: int, rest: str) -> str:
    """The beginning of a text; `rest` says where all of it is, if that is not all of it."""
    whole = clean(text).strip("\n")
    some = "\n".join(whole.splitlines()[:lines])[:characters]
    return whole if len(some) >= len(whole) else f"{some}\n\N{HORIZONTAL ELLIPSIS} {rest}"

"""What is worth telling a person who does not look: a new champion, a pause, the end.

In: the study at one moment and at the one before. Out: notices, each with a sentence and the facts.
Pure: nothing is sent here (see `webhook.py`), and nothing of the configuration is in a notice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scheduler.figures import count, figure
from scheduler.reasons import why
from scheduler.rules.states import StudyState
from scheduler.study.records import Live
from workers.log import sentence

TITLE = 120  # characters: a chat shows a line
MENTIONS = str.maketrans({"<": "\u2039", ">": "\u203a", "@": "@\u200b"})
"""Chat services read `<!channel>` and `@everyone` in a text as a call to all: a model's title that
holds them should wake nobody. In the field `experiment` the title stands as it is."""

Kind = Literal["champion", "paused", "ended"]


@dataclass(frozen=True)
class Notice:
    """One thing to tell. `facts` are plain data that JSON knows."""

    kind: Kind
    text: str
    facts: Mapping[str, Any]

    def payload(self) -> dict[str, Any]:
        """The body of the POST. Chat services show `text` and pass over the rest."""
        return {"text": self.text.translate(MENTIONS), "event": self.kind, **self.facts}


def notices(previous: Live | None, live: Live, name: str) -> list[Notice]:
    """What is new since the previous moment; without one, nothing but a pause is news."""
    told = []
    champion, before = live.study.champion, previous.study.champion if previous else None
    if previous is not None and champion is not None and champion.is_new(before):
        told.append(_notice("champion", f"{name}: {_champion(live)}", live, name))
    is_paused = live.study.state is StudyState.PAUSED
    if is_paused and (previous is None or previous.study.state is not StudyState.PAUSED):
        # Without a reason it waits for room on its disk, and needs no one.
        advice = ". Go on with: autoresearch unpause" if live.study.reason else ""
        words = f"{name} is paused: {_why(live)}{advice}"
        told.append(_notice("paused", words, live, name))
    return told


def ended(live: Live, name: str) -> Notice:
    """The session is over, whatever state the study is in."""
    state = live.study.state
    how = state.value if state.is_over or state is StudyState.PAUSED else "cut off by an error"
    reason = _why(live)
    words = f"{name} has ended: {how}{f', {reason}' if reason else ''}; {_result(live)}"
    return _notice("ended", words, live, name)


def _notice(kind: Kind, text: str, live: Live, name: str) -> Notice:
    study, best = live.study, live.champion
    return Notice(
        kind,
        text,
        {
            "study": name,
            "at": live.at,
            "state": study.state.value,
            "reason": study.reason.value if study.reason else None,
            "why": why(study),
            "metric": {
                "name": live.metric,
                "champion": study.champion.metric if study.champion else None,
                "baseline": study.baseline,
            },
            "experiment": None if best is None else _experiment(live),
            "experiments": study.experiments,
            "dollars": study.dollars,
        },
    )


def _experiment(live: Live) -> dict[str, Any]:
    """The champion, without its code."""
    best = live.champion
    assert best is not None
    return {
        "id": best.id,
        "parent": best.parent,
        "title": sentence(best.title, TITLE),
        "origin": best.origin,
        "metric": best.metric,
    }


def _champion(live: Live) -> str:
    champion = live.study.champion
    assert champion is not None
    value = f"{live.metric} {figure(champion.metric)}"
    if champion.number == 1:
        return f"the baseline is measured, {value}"
    title = sentence(live.champion.title, TITLE) if live.champion else ""
    return f"new champion #{champion.experiment}, {value}{_gain(live)}: {title}"


def _result(live: Live) -> str:
    many = count(live.study.experiments, "experiment")
    champion = live.study.champion
    if champion is None:
        return f"{many}, none has a metric"
    return (
        f"{many}, the best #{champion.experiment} with {live.metric} {figure(champion.metric)}"
        + (_gain(live))
    )


def _gain(live: Live) -> str:
    """How far the champion is from the baseline, in per cent of that."""
    champion, baseline = live.study.champion, live.study.baseline
    if champion is None or not baseline or champion.number == 1:
        return ""
    return f" ({100 * (champion.metric / baseline - 1):+.2f} % to the baseline)"


def _why(live: Live) -> str:
    return sentence(why(live.study), 200)

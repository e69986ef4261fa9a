"""How a study's facts read: numbers, states, titles. Shared by the live view and the verbs.

In: records. Out: strings and rich Texts. Whatever a model, a training script or a person wrote is
cleaned of escapes here and never read as markup. Prints nothing.
"""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from agent import ArmRecord
from scheduler.reasons import why
from scheduler.rules.states import ExperimentState
from scheduler.study.records import Experiment, Study
from workers.log import clean, sentence

NONE = "-"
STYLES = {
    ExperimentState.KEEP: "bold green",
    ExperimentState.DISCARD: "dim",
    ExperimentState.RUNNING: "cyan",
    ExperimentState.CONFIRMING: "cyan",
}


def line(text: str, style: str = "") -> Text:
    """Untrusted text as one safe line, cut with an ellipsis where there is no room."""
    return Text(sentence(text), style=style, no_wrap=True, overflow="ellipsis")


def block(text: str) -> Text:
    """Untrusted text as safe lines."""
    return Text(clean(text))


def state(experiment: Experiment) -> Text:
    """An experiment's state in its colour."""
    fallback = "red" if experiment.state.is_failure else ""
    return Text(experiment.state.value, style=STYLES.get(experiment.state, fallback))


def metric(value: float | None) -> str:
    """A metric with six decimals; failures have none."""
    return NONE if value is None else f"{value:.6f}"


def difference(value: float | None, other: float | None) -> str:
    """How far a metric lies from another, with its sign."""
    return NONE if value is None or other is None else f"{value - other:+.6f}"


def percent(value: float | None, other: float | None) -> str:
    """The same in per cent of the other."""
    return NONE if value is None or not other else f"{100 * (value / other - 1):+.2f} %"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: `1:02:03`."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def clock(at: float) -> str:
    """A Unix time as this machine's time of day."""
    return datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def condition(study: Study) -> str:
    """The study's state with its reason, as one safe line."""
    words = why(study)
    return f"{study.state.value}: {sentence(words, 200)}" if words else study.state.value


def elapsed(study: Study, at: float) -> float:
    """Seconds for which the study has been open at the time `at`, all its sessions together."""
    return study.seconds + (max(0.0, at - study.opened_at) if study.state.is_open else 0.0)


def counts(study: Study) -> str:
    """How many experiments are in each state that occurs."""
    parts = [f"{study.counts[s]} {s.value}" for s in ExperimentState if study.counts.get(s)]
    return ", ".join(parts) or "none yet"


def best(study: Study, title: str = "") -> Text:
    """The champion against the baseline, in one line."""
    champion = study.champion
    if champion is None:
        return Text("none yet", style="dim")
    text = Text(f"#{champion.experiment}  {metric(champion.metric)}", style="bold green")
    if champion.number > 1 and study.baseline is not None:
        change = percent(champion.metric, study.baseline)
        text.append(f"  {change} from the baseline's {metric(study.baseline)}", style="default")
    text.append(f"  {sentence(title)}", style="default")
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def arms(records: Sequence[ArmRecord]) -> Table:
    """What each model and the tuner have done."""
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    # Folded, not cut: what tells two models apart often stands at the end.
    table.add_column("arm", overflow="fold", ratio=1)
    for title in ("proposals", "applied", "kept", "failed", "best gain", "dollars"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in records:
        table.add_row(
            Text(line(each.name).plain),
            str(each.proposals),
            str(each.experiments),
            str(each.kept),
            str(each.failed),
            f"{each.best_gain:.6f}" if each.best_gain else NONE,
            "?" if each.dollars is None else f"{each.dollars:.2f}",
        )
    return table


def experiments(
    rows: tuple[Experiment, ...] | list[Experiment], name: str, reference: float | None
) -> Table:
    """A table of experiments that fits 80 columns; differences are to `reference`."""
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True, header_style="dim")
    for title in ("id", line(name), "to champion"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("title", no_wrap=True, overflow="ellipsis", ratio=1)
    for experiment in rows:
        table.add_row(
            f"#{experiment.id}",
            metric(experiment.metric),
            difference(experiment.metric, reference),
            state(experiment),
            line(experiment.title),
        )
    return table

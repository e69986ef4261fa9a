"""The questions of `init`: the script, the metric, which way is better, the budget.

In: what was found and what the flags say. Out: `Wishes` with the answers in. What was found is the
answer to each; what a flag says is not asked for. Decides nothing else.
"""

from dataclasses import replace

from rich.console import Console
from rich.prompt import Confirm, FloatPrompt, Prompt
from rich.text import Text

from scheduler.errors import UsageError
from scheduler.init.draft import SECONDS, Found, Wishes
from scheduler.init.drafting import choose_metric
from scheduler.init.known import known_preset
from scheduler.init.vocabulary import goal_of

OFFERED = 6  # of the metrics


def ask(found: Found, wishes: Wishes, *, console: Console | None = None) -> Wishes:
    """Ask for what the flags leave open. Raises UsageError where the answers end."""
    asking = _Asking(console or Console(highlight=False))
    try:
        if known_preset(found.sources.snapshot) and not wishes.changes_the_task:
            preset = known_preset(found.sources.snapshot)
            if asking.yes(f"Take the preset {preset}?"):
                return wishes
            wishes = replace(wishes, by_preset=False)
        return _all(asking, found, wishes)
    except EOFError:
        raise UsageError("the answers ended; with --yes nothing is asked") from None


def may_overwrite(names: str) -> bool:
    """Whether a person agrees to overwrite these files."""
    try:
        return Confirm.ask(Text(f"{names}: there already. Overwrite?"), default=False)
    except EOFError:
        return False


class _Asking:
    def __init__(self, console: Console) -> None:
        self.console = console

    def text(self, question: str, default: str = "") -> str:
        answer = Prompt.ask(Text(question), console=self.console, default=default)
        return answer.strip()

    def number(self, question: str, default: float) -> float:
        while True:
            answer = FloatPrompt.ask(Text(question), console=self.console, default=default)
            if answer > 0:
                return answer
            self.console.print("more than 0, please")

    def yes(self, question: str) -> bool:
        return Confirm.ask(Text(question), console=self.console, default=True)

    def one_of(self, question: str, shown: list[str], names: list[str]) -> str:
        """One of the names, by itself or by its number; or anything else that was typed."""
        for number, line in enumerate(shown, 1):
            self.console.print(Text(f"  {number}  {line}"), soft_wrap=True)
        answer = self.text(question, names[0] if names else "")
        by_number = answer.isdigit() and 0 < int(answer) <= len(names)
        return names[int(answer) - 1] if by_number else answer


def _all(asking: _Asking, found: Found, wishes: Wishes) -> Wishes:
    if wishes.script is None and wishes.command is None:
        names = [script.name for script in found.scripts]
        shown = [f"{script.name}: {script.why}" for script in found.scripts]
        answer = asking.one_of("Training script, or a whole command", shown, names)
        is_file = answer in found.sources.snapshot.names
        wishes = replace(wishes, script=answer) if is_file else replace(wishes, command=answer)
    if wishes.command is not None and not wishes.editable and wishes.script is None:
        globs = asking.text("What may be edited (names or globs, with blanks between)")
        wishes = replace(wishes, editable=tuple(globs.split()))
    wishes = _metric(asking, found, wishes)
    chosen = choose_metric(found.metrics(wishes.script), wishes)
    if wishes.goal is None:
        likely = chosen.goal if chosen else goal_of(wishes.metric or "")
        default = "lower" if likely == "minimize" else "higher"
        answer = ""
        while answer not in ("lower", "higher"):
            answer = asking.text("Better is (lower, higher)", default)
        wishes = replace(wishes, goal="minimize" if answer == "lower" else "maximize")
    if wishes.seconds is None:
        wishes = replace(wishes, seconds=_seconds(asking, found, wishes))
    return wishes


def _metric(asking: _Asking, found: Found, wishes: Wishes) -> Wishes:
    if wishes.reading or wishes.metric is not None:
        return wishes
    offered = found.metrics(wishes.script)[:OFFERED]
    shown = [f"{each.name}: {each.shown} ({each.where})" for each in offered]
    question = "Metric" if offered else "Metric: nothing was found. Its name"
    name = asking.one_of(question, shown, [each.name for each in offered])
    if name in {each.name for each in offered}:
        return replace(wishes, metric=name)
    pattern = asking.text("How it is printed: a regular expression", rf"{name}: ([-+.\w]+)")
    return replace(wishes, metric=name or "metric", pattern=pattern)


def _seconds(asking: _Asking, found: Found, wishes: Wishes) -> float | None:
    """None where the person takes what is offered."""
    likely = found.seconds(wishes.script)
    answer = asking.number("Budget of a trial, in seconds", likely or SECONDS)
    return None if answer == (likely or SECONDS) else answer

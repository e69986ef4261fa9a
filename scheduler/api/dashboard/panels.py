"""A panel: a titled part of a page, and the small things that several of them show."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape

from nicegui import ui

from scheduler.api.dashboard import words
from scheduler.figures import glance
from scheduler.rules.states import ExperimentState


@contextmanager
def panel(heading: str) -> Iterator[ui.card]:
    """A part of the page with its heading."""
    with ui.card().classes("panel").props(f'role="region" aria-label="{escape(heading)}"') as card:
        title = ui.label(heading)
        title.tag = "h2"
        yield card


def link_to(number: int, text: str = "") -> ui.link:
    """A link to an experiment's page."""
    return ui.link(text or f"#{number}", f"/experiment/{number}")


def state_badge(state: ExperimentState) -> None:
    """Icon and word of an experiment's state."""
    icon, colour = words.SIGNS[state]
    with ui.row().classes("items-center gap-1 no-wrap"):
        ui.icon(icon, color=colour).props('aria-hidden="true"')
        ui.label(state.value)


class Facts:
    """Named figures, brought up to date one by one."""

    def __init__(self, names: Iterable[str], *, many: bool = False) -> None:
        self._values: dict[str, ui.label] = {}
        with ui.element("dl").classes("facts many" if many else "facts"):
            for name in names:
                with ui.element("div"):
                    with ui.element("dt"):
                        ui.label(name)
                    with ui.element("dd"):
                        self._values[name] = ui.label(words.NONE).classes("text")

    def show(self, values: Mapping[str, str]) -> None:
        """Set the figures that are named."""
        for name, value in values.items():
            self._values[name].set_text(value)


def code(text: str, label: str) -> ui.html:
    """Text as it is, in a box that scrolls; lines of a patch have their colours."""
    box = ui.html(lines_of(text), sanitize=False, tag="pre").classes("code")
    box.props(f'tabindex="0" role="region" aria-label="{escape(label)}"')
    return box


def lines_of(text: str) -> str:
    """The text as HTML in which nothing of it is markup."""
    parts = []
    for line in text.splitlines():
        kind = ""
        if line.startswith("@@"):
            kind = "at"
        elif line.startswith("+") and not line.startswith("+++"):
            kind = "plus"
        elif line.startswith("-") and not line.startswith("---"):
            kind = "minus"
        safe = escape(line)
        parts.append(f'<span class="{kind}">{safe}</span>' if kind else f"{safe}\n")
    return "".join(parts)


def sparkline(points: Sequence[tuple[int, float]]) -> str:
    """A small curve, as SVG made of numbers alone."""
    if len(points) < 2:
        return ""
    first, last = points[0][0], points[-1][0]
    low, high = min(y for _, y in points), max(y for _, y in points)
    wide, tall = max(1, last - first), (high - low) or 1.0
    path = " ".join(
        f"{200 * (x - first) / wide:.1f},{2 + 32 * (high - y) / tall:.1f}" for x, y in points
    )
    return (
        '<svg viewBox="0 0 200 36" preserveAspectRatio="none" width="100%" height="36" role="img"'
        f' aria-label="training loss from {glance(points[0][1])} to {glance(points[-1][1])}">'
        f'<polyline points="{path}" fill="none" stroke="#2f81f7" stroke-width="1.5"'
        ' vector-effect="non-scaling-stroke"/></svg>'
    )

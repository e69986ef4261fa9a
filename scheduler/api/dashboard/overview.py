"""The page `/`: the whole study, live."""

from nicegui import ui
from starlette.requests import Request

from scheduler.api.dashboard import words
from scheduler.api.dashboard.frame import frame, keep_up
from scheduler.api.dashboard.lineage import Lineage
from scheduler.api.dashboard.panels import Facts, panel
from scheduler.api.dashboard.progress import Progress
from scheduler.api.dashboard.slot_time import SlotTime
from scheduler.api.dashboard.slots import Slots
from scheduler.api.dashboard.snapshot import Snapshot
from scheduler.api.dashboard.tables import Arms, Experiments
from scheduler.api.dashboard.told import Told
from scheduler.api.dashboard.visitor import Visitor, Visitors
from scheduler.reasons import above
from scheduler.study.records import Study

FACTS = (
    *("champion", "baseline", "experiments", "slots"),
    *("open for", "training", "between trials", "models"),
)


def add_page(visitors: Visitors) -> None:
    """Register the page."""

    @ui.page("/")
    async def overview(request: Request) -> None:
        visitor = visitors.of(request)
        with frame(visitor, "Overview", shown=False) as head:
            page = _Page(visitor)
        seen = -1

        async def update() -> None:
            nonlocal seen
            if visitor.context.follower.version != seen:
                seen, now = await visitor.snapshots.newest()
                head.show(now)
                if now is not None:
                    page.show(now)

        await update()
        keep_up(visitor, update)


class _Page:
    """The panels, each of which redraws only what has changed."""

    def __init__(self, visitor: Visitor) -> None:
        context = visitor.context
        with panel("At a glance"):
            self._facts = Facts(FACTS)
        with panel("Progress"):
            self._progress = Progress(context.metric, minimize=context.minimize)
        with panel("Slots"):
            self._slots = Slots()
        with panel("Time of the slots"):
            self._time = SlotTime()
        with ui.element("div").classes("columns"):
            with ui.element("div").classes("column-of-panels"):
                with panel("Instructions"):
                    self._told = Told(visitor)
                with panel("Leaderboard"):
                    self._leaders = Experiments(context.metric, "Leaderboard")
                    self._above = ui.label().classes("text quiet")
                with panel("Lineage of what was kept"):
                    self._lineage = Lineage()
            with ui.element("div").classes("column-of-panels"):
                with panel("Queue"):
                    self._queue = Experiments(context.metric, "Queue", measured=False)
                with panel("Latest decisions"):
                    self._recent = Experiments(context.metric, "Latest decisions")
                with panel("Who proposes, and what it costs"):
                    self._arms = Arms()
                with panel("What it has learned"):
                    self._learned = ui.label("Nothing is condensed yet.").classes("text long")
                    self._learned.props('tabindex="0" role="region" aria-label="Notebook"')

    def show(self, now: Snapshot) -> None:
        """Bring all of them up to date."""
        best = now.study.champion
        reference = best.metric if best else None
        self._facts.show(figures(now))
        self._progress.show(now)
        self._slots.show(now)
        self._time.show(now)
        self._told.show(now)
        self._queue.show(now.queue, None)
        on = now.leaders[0].hardware if now.leaders else ""  # today's champion's class
        self._leaders.show(now.leaders, reference, on)
        passed = above(now.leaders, best.experiment if best else None)
        self._above.set_text(f"{passed} (their pages say why)")
        self._above.set_visibility(bool(passed))
        self._recent.show(now.recent, reference, on)
        self._lineage.show(now.kept, best.experiment if best else None)
        self._arms.show(now.study.arms)
        if now.notebook is not None:
            self._learned.set_text(now.notebook.text)


def figures(now: Snapshot) -> dict[str, str]:
    """What the panel on top says, by its names."""
    study, none = now.study, words.NONE
    champion, lost = study.champion, study.lost_between_trials
    share = 100 * study.train_seconds / study.trial_seconds if study.trial_seconds else None
    tokens = f"{study.tokens:,} tokens, {words.dollars(study.dollars)}"
    return {
        "champion": f"{words.metric(champion.metric)} (#{champion.experiment}{_over(now)})"
        if champion
        else none,
        "baseline": words.metric(study.baseline),
        "experiments": words.experiments(study) if study.counts else none,
        "slots": f"{study.slots:,}{_kinds(study)}, {now.budget} a trial",
        "open for": words.duration(study.elapsed(now.at)),
        "training": none if share is None else f"{share:.1f} % of the slots' busy time",
        "between trials": none if lost is None else f"{lost:.2f} s lost (median)",
        "models": f"{words.count(study.calls, 'call')}, {tokens}" if study.calls else none,
    }


def _over(now: Snapshot) -> str:
    """How many trials the champion's figure is the mean of, where they are several."""
    return f", {now.champion.repeats.words}" if now.champion and now.champion.repeats else ""


def _kinds(study: Study) -> str:
    """How many there are of each kind, where there are several."""
    if len(study.kinds) < 2:
        return ""
    kinds = ", ".join(f"{count} x {kind or 'other'}" for kind, count in study.kinds.items())
    return f" ({kinds}; kept on {study.reference or 'any'})"

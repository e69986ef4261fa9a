"""The page `/`: the whole study, live."""

from nicegui import ui
from starlette.requests import Request

from scheduler.api.dashboard import words
from scheduler.api.dashboard.frame import Visitor, frame, keep_up
from scheduler.api.dashboard.lineage import Lineage
from scheduler.api.dashboard.panels import Facts, panel
from scheduler.api.dashboard.progress import Progress
from scheduler.api.dashboard.slots import Slots
from scheduler.api.dashboard.snapshot import Snapshot, Snapshots
from scheduler.api.dashboard.tables import Arms, Experiments
from scheduler.api.dashboard.told import Told

FACTS = [
    *("champion", "baseline", "experiments", "slots"),
    *("open for", "training", "between trials", "models"),
]


def add_page(snapshots: Snapshots) -> None:
    """Register the page."""

    @ui.page("/")
    async def overview(request: Request) -> None:
        visitor = Visitor.of(snapshots, request)
        context = visitor.context
        with frame(visitor, "") as head:
            trouble = ui.label("").classes("text text-negative").props('role="alert"')
            facts = Facts(FACTS)
            with panel("Progress"):
                progress = Progress(context.metric, minimize=context.minimize)
            with panel("Slots"):
                slots = Slots()
            with ui.element("div").classes("columns"):
                with panel("Instructions"):
                    told = Told(visitor)
                with panel("Queue"):
                    queue = Experiments(context.metric, "Queue")
                with panel("Leaderboard"):
                    leaders = Experiments(context.metric, "Leaderboard")
                with panel("Latest decisions"):
                    recent = Experiments(context.metric, "Latest decisions")
                with panel("Lineage of what was kept"):
                    lineage = Lineage()
                with panel("Who proposes, and what it costs"):
                    arms = Arms()
        seen = -1

        async def update() -> None:
            nonlocal seen
            if context.follower.version == seen:
                return
            seen, now = await snapshots.newest()
            head.show(now)
            if now is None:
                return
            best = now.study.champion
            reference = best.metric if best else None
            trouble.set_text("\n".join(f"{n}: {why}" for n, why in now.study.troubles.items()))
            facts.show(_figures(now))
            progress.show(now)
            slots.show(now)
            told.show(now)
            queue.show(now.queue, None)
            leaders.show(now.leaders, reference)
            recent.show(now.recent, reference)
            lineage.show(now.points.kept, best.experiment if best else None)
            arms.show(now.study.arms)

        await update()
        keep_up(update)


def _figures(now: Snapshot) -> dict[str, str]:
    study, none = now.study, words.NONE
    champion, lost = study.champion, study.lost_between_trials
    best = f"{champion.metric:.6f} (#{champion.experiment})" if champion else none
    share = 100 * study.train_seconds / study.trial_seconds if study.trial_seconds else None
    tokens = f"{study.tokens:,} tokens, {words.dollars(study.dollars)}"
    return {
        "champion": best,
        "baseline": words.metric(study.baseline),
        "experiments": ", ".join(f"{n:,} {state}" for state, n in study.counts.items()) or none,
        "slots": f"{study.slots:,}, budget {now.budget}",
        "open for": words.duration(words.elapsed(study, now.at)),
        "training": none if share is None else f"{share:.1f} % of the slots' busy time",
        "between trials": none if lost is None else f"{lost:.2f} s lost (median)",
        "models": f"{words.count(study.calls, 'call')}, {tokens}" if study.calls else none,
    }

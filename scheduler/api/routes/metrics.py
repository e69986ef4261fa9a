"""GET /metrics: the study's figures for Prometheus, and for whatever else reads its format."""

from collections.abc import Iterator

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scheduler.api.context import Context
from scheduler.rules.states import ExperimentState, StudyState
from scheduler.study.records import Live, Study


class ExpositionResponse(PlainTextResponse):
    """Prometheus' text format."""

    media_type = "text/plain; version=0.0.4"


class _Figures(Collector):
    """One answer's figures."""

    def __init__(self, study: Study, live: Live | None, metric: str, newest: int) -> None:
        self._study, self._live = study, live
        self._metric, self._newest = metric, newest

    def collect(self) -> Iterator[Metric]:
        """All of them. What is not known is left out, never 0."""
        study = self._study
        slots = self._live.slots if self._live else ()
        busy = sum(slot.trial is not None for slot in slots)
        queued = study.counts.get(ExperimentState.QUEUED, 0)
        yield _gauge("running", "Whether the study runs now", self._live is not None)
        yield _gauge("slots", "Trials that fit at a time, now", len(slots))
        yield _gauge("slots_busy", "Slots that hold a trial", busy)
        yield _gauge("occupancy_ratio", "Share of the slots that hold a trial", _share(busy, slots))
        yield _gauge("queue_length", "Experiments that wait for a slot", queued)
        yield _gauge("instructions_open", "Instructions not served yet", study.open_instructions)
        yield _gauge(
            "lost_between_trials_seconds",
            "Median between two trials on one slot, of the newest of this session",
            study.lost_between_trials,
        )
        champion = study.champion
        best = _labelled("best_metric", "The champion's metric", "metric")
        if champion is not None:
            best.add_metric([self._metric], champion.metric)
        yield best
        base = _labelled("baseline_metric", "The first champion's metric", "metric")
        if study.baseline is not None:
            base.add_metric([self._metric], study.baseline)
        yield base
        states = _labelled("study_state", "1 for the state that the study is in", "state")
        for state in StudyState:
            states.add_metric([state.value], float(state is study.state))
        yield states
        experiments = _labelled("experiments", "Experiments in each state", "state")
        for each in ExperimentState:
            experiments.add_metric([each.value], study.counts.get(each, 0))
        yield experiments
        yield _counter("champions", "Champions so far", champion.number if champion else 0)
        yield _counter("events", "Events in the journal", self._newest)
        yield _counter("llm_calls", "Calls to language models", study.calls)
        yield _counter("llm_tokens", "Tokens of these calls, in and out", study.tokens)
        yield _counter(
            "llm_dollars", "Cost of these calls, where all prices are known", study.dollars
        )
        yield _counter("trial_seconds", "For which trials have held slots", study.trial_seconds)
        yield _counter("train_seconds", "Of these, spent on training", study.train_seconds)
        yield _counter(
            "open_seconds",
            "Open time until this session or its last pause",
            study.seconds,
        )


def routes(context: Context) -> APIRouter:
    """The path of figures."""
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics", response_class=ExpositionResponse)
    async def metrics() -> ExpositionResponse:
        """Slots, queue, outcomes, calls and their cost, the best metric, seconds lost."""
        newest, study = await context.read_often(
            "study", lambda reader: (reader.newest_event(), reader.study())
        )
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Figures(study, context.follower.live, context.metric, newest))
        return ExpositionResponse(generate_latest(registry))

    return router


def _share(busy: int, slots: tuple[object, ...]) -> float | None:
    return busy / len(slots) if slots else None


def _gauge(name: str, text: str, value: float | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"autoresearch_{name}", text)
    if value is not None:
        family.add_metric([], float(value))
    return family


def _counter(name: str, text: str, value: float | None) -> CounterMetricFamily:
    family = CounterMetricFamily(f"autoresearch_{name}", text)
    if value is not None:
        family.add_metric([], float(value))
    return family


def _labelled(name: str, text: str, label: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"autoresearch_{name}", text, labels=[label])

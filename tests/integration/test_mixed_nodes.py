"""A study on a real Ray cluster whose nodes have accelerators of two types."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from scheduler.rules.states import ExperimentState, StopReason
from tests.fixtures.books import check_books
from tests.fixtures.cluster import Nodes, cluster_environment
from tests.fixtures.lab import Lab

pytestmark = [pytest.mark.whole_machine, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with cluster_environment(tmp_path_factory.mktemp("cluster")):
        nodes = Nodes()
        ray.init(address=nodes.address, log_to_driver=False)
        nodes.join(2, "H200")
        nodes.join(1, "A100")
        yield nodes
        ray.shutdown()


def script(h200: float, a100: float) -> str:
    """A candidate whose metric depends on what it runs on."""
    return (
        "import os, time\ntime.sleep(0.2)\n"
        f"honest({{'H200': {h200}, 'A100': {a100}}}[os.environ['LC_ACCELERATOR']])"
    )


@pytest.mark.parametrize("seeds", [0, 2])
def test_any_node_tries_and_only_the_reference_keeps(
    nodes: Nodes, tmp_path: Path, seeds: int
) -> None:
    lab = Lab(tmp_path)
    worse = [script(1.0 + n / 100, 1.5 + n / 100) for n in range(1, 9)]
    lures = [script(1.2 + n / 100, 1.1 + n / 100) for n in range(8)]  # worse, but on an A100
    better = script(0.5, 0.9)
    study = lab.run(
        [*worse, *lures, better],
        *("agent.proposals_per_call=3", f"keep.most_seeds={seeds}", "keep.baseline_repeats=2"),
        baseline=script(1.0, 1.5),
    )
    check_books(lab.folder)
    assert study.reason is StopReason.MAX_EXPERIMENTS
    assert (study.reference, dict(study.kinds)) == ("H200", {"A100": 1, "H200": 2})
    assert study.hardware == ("A100, float32", "H200, float32")
    with lab.reader() as reader:
        trials, experiments = reader.trials(), list(reader.experiments())
        leaders = reader.leaders(100)
    assert {t.accelerator for t in trials} == {"A100", "H200"}
    ended = [(t, t.outcome) for t in trials if t.outcome is not None]
    assert all(outcome.device == trial.accelerator for trial, outcome in ended)
    assert all(t.accelerator == "H200" for t in trials if t.wants == "reference")
    kept = {e.title for e in experiments if e.state is ExperimentState.KEEP}
    assert kept == {"baseline", "script 17"}
    best = study.champion
    assert best is not None
    assert best.metric == 0.5
    assert {each.hardware for each in leaders} == {"H200, float32"}
    assert [e.metric for e in leaders] == sorted(e.metric for e in leaders if e.metric)
    # Whoever was lured to the reference was measured there, and lost.
    assert all(
        e.hardware != "A100, float32" or (e.metric or 0) > 1.5
        for e in experiments
        if e.metric is not None
    )

"""The progress plot: it is drawn for any study, and shows the range that matters."""

from pathlib import Path

import pytest

from scheduler.rules.states import ExperimentState
from scheduler.study.plot import write_plot
from scheduler.study.points import Points, visible_range
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment
from scheduler.study.store import Store
from tests.synthetic import make_study


def kept(number: int, metric: float, title: str = "") -> Experiment:
    state = ExperimentState.KEEP
    return Experiment(number, 0, title, "", "tuner", state, metric, "", 0, "", "", {}, 0.0, 1.0)


def size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, as a PNG's header says."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


@pytest.mark.parametrize("experiments", [0, 40])
def test_a_study_is_drawn(tmp_path: Path, experiments: int) -> None:
    folder = make_study(tmp_path / "s", experiments=experiments, seed=3)
    with Reader(folder / "study.db") as reader:
        write_plot(reader, folder / "progress.png")
    width, height = size(folder / "progress.png")
    assert width > 1000
    assert height > 500


def test_a_study_in_which_nothing_is_decided_is_drawn(tmp_path: Path) -> None:
    Store(tmp_path / "study.db").close()
    with Reader(tmp_path / "study.db") as reader:
        write_plot(reader, tmp_path / "progress.png")
    assert size(tmp_path / "progress.png")


def test_titles_are_text_and_never_formulas(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "s", experiments=5, seed=1)
    store = Store(folder / "study.db")
    store._db.execute("UPDATE experiment SET title = 'costs $\\frac{$ \x1b[31m'")
    store.close()
    with Reader(folder / "study.db") as reader:
        write_plot(reader, folder / "progress.png")
    assert size(folder / "progress.png")


def test_one_diverged_run_does_not_flatten_the_rest() -> None:
    points = Points([kept(0, 1.10), kept(9, 1.05)], [(n, 1.11) for n in range(1, 8)])
    points.discarded.append((8, 250.0))
    low, high = visible_range(points, minimize=True)
    assert low < 1.05
    assert 1.11 < high < 1.3


def test_a_diverged_run_is_left_out_before_there_is_any_progress() -> None:
    points = Points([kept(0, 1.10)], [(n, 1.10 + n / 1000) for n in range(1, 9)])
    points.discarded.append((9, 250.0))
    assert visible_range(points, minimize=True)[1] < 1.2


def test_three_quarters_of_the_points_are_shown_however_small_the_progress() -> None:
    spread = [(n, 1.1 + n / 100) for n in range(1, 21)]
    points = Points([kept(0, 1.1), kept(21, 1.0999)], spread)
    _, high = visible_range(points, minimize=True)
    assert sum(y <= high for _, y in spread) >= 15


def test_where_higher_is_better_the_best_is_on_top() -> None:
    points = Points([kept(0, 0.5), kept(9, 0.9)], [(n, 0.48) for n in range(1, 8)])
    points.discarded.append((8, -40.0))
    low, high = visible_range(points, minimize=False)
    assert high > 0.9
    assert 0.0 < low < 0.48

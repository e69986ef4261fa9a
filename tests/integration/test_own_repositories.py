"""Whole studies of repositories of one's own, on real Ray: three of different shape.

A script whose metric a regular expression reads, a package of several files with a JSON metric
that a language model edits, an accuracy that is to be raised. And tasks that are wrong: each is
told of at the baseline at the latest, and nothing runs in vain.
"""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import ray

from scheduler import session
from scheduler.cli.opening import open_study
from scheduler.cli.show import _details
from scheduler.errors import ConfigError, UsageError
from scheduler.exporting import export
from scheduler.nodes import nodes
from scheduler.researcher import take_keys
from scheduler.rules.states import ExperimentState, StopReason, StudyState
from scheduler.study.config import Config
from scheduler.study.config_file import load_config
from scheduler.study.desk import Desk
from scheduler.study.folder import StudyFolder
from scheduler.study.letters import Submit
from scheduler.study.live import read_live
from scheduler.study.reader import Reader
from scheduler.study.recheck import recheck
from scheduler.study.records import Experiment, Live, TrialRecord
from scheduler.study.report.files import make_report
from scheduler.study.report.markdown import render_markdown
from scheduler.study.sections import KeepSection
from tests.fixtures.candidates import ROOT
from tests.fixtures.model_server import ModelServer, Request, Say
from tests.fixtures.verbs import call

REPOSITORIES = ROOT / "tests" / "fixtures" / "repositories"
COMMON = (
    *("workers.gpus_per_trial=0", "workers.slots=2"),
    *("budget.seconds=5", "budget.startup_seconds=60"),
)
PLAIN = ("keep.most_seeds=0", "keep.champion_seeds=1")
SCRIPT = {
    "task.command": "{python} train.py --seed {seed}",
    "task.metric.name": "val_loss",
    "task.metric.pattern": r"val_loss: ([-+.\w]+)",
}
MODEL = "openai/scripted"


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    cache = tmp_path_factory.mktemp("cache")
    os.environ["AUTORESEARCH_CACHE"] = str(cache)
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 * 1024 * 1024,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "AUTORESEARCH_CACHE": str(cache)}},
    )
    yield
    ray.shutdown()
    del os.environ["AUTORESEARCH_CACHE"]


def repository(tmp_path: Path, name: str) -> Path:
    """A copy, so that a test may change it."""
    folder = tmp_path / name
    shutil.copytree(REPOSITORIES / name, folder)
    return folder


def configured(
    folder: Path, keys: Mapping[str, str], *more: str, keep: Sequence[str] = PLAIN
) -> Config:
    """`keep`: what decides; by default a plain comparison, which needs no repeats."""
    wanted = [f"{key}={value}" for key, value in {"task.source": str(folder), **keys}.items()]
    (empty := folder.parent / "my.yaml").write_text("")
    return load_config(empty, [*COMMON, *keep, *wanted, *more], {})


def study(tmp_path: Path, config: Config, letter: Submit | None = None) -> tuple[Live, Path]:
    """Run a study as the command does, in this process; its last state and its folder.

    `letter`: an edit that a person submits as soon as there is a champion.
    """
    letters = [] if letter is None else [letter]

    def look(live: Live) -> None:
        if live.champion is not None and letters:
            Desk(folder).post(letters.pop())

    def abandon(why: str) -> NoReturn:
        raise AssertionError(why)

    keys = take_keys(config, dict(os.environ, OPENAI_API_KEY="sk-test"))
    materials = session.gather_materials(config)
    found = nodes()
    capacity = session.measure_capacity(config, found)
    session.prepare_task(config, materials, capacity, found)
    folder = StudyFolder(tmp_path / "study")
    folder.create(config, "# Find what is better")
    last = asyncio.run(
        session.run_session(
            folder,
            config,
            materials,
            capacity=capacity,
            keys=keys,
            show=look,
            interrupted=lambda _: None,
            abandon=abandon,
            say=print,
        )
    )
    return last, folder.path


def experiments(path: Path) -> Sequence[Experiment]:
    with Reader(path / "study.db") as reader:
        return list(reader.experiments())


def test_a_script_is_tuned_by_its_constants_and_everything_calls_its_loss_self_reported(
    tmp_path: Path,
) -> None:
    folder = repository(tmp_path, "script")
    last, path = study(tmp_path, configured(folder, SCRIPT, "stop.max_experiments=4"))
    assert last.study.reason is StopReason.MAX_EXPERIMENTS
    found = experiments(path)
    assert len(found) == 5
    assert all(e.metric is not None for e in found)
    assert last.champion is not None
    assert last.champion.metric == min(e.metric for e in found if e.metric is not None)
    assert (folder / "train.py").read_text() == (path / "experiments/0/train.py").read_text()
    assert last.metric == "val_loss (self-reported)"
    with pytest.raises(ConfigError, match=r"task\.command: .* would not compare"):
        open_study(str(path), None, None, ["task.command=python train.py"])
    with Reader(path / "study.db") as reader:
        trials = reader.trials(0)
        opened = StudyFolder(path)
        made = make_report(reader, opened, opened.load_config(), at=time.time())
    report = render_markdown(made, "report").replace("\\", "")
    assert "its metric is self-reported" in _details(trials[0])
    assert "val_loss is self-reported: it is what the edited code says of itself" in report
    header = (path / "results.tsv").read_text().splitlines()[0]
    assert header.startswith("commit\tval_loss (self-reported)\t")


def test_a_win_is_confirmed_with_further_seeds_by_the_rule_that_holds_by_default(
    tmp_path: Path,
) -> None:
    folder = repository(tmp_path, "script")
    code = (folder / "train.py").read_text()
    longer = {"train.py": code.replace("STEPS = 200", "STEPS = 4000")}
    config = configured(folder, SCRIPT, "stop.max_experiments=2", keep=())
    assert config.keep == KeepSection()
    last, path = study(tmp_path, config, Submit("Longer", longer, parent=0))
    assert last.study.reason is StopReason.MAX_EXPERIMENTS
    won = last.champion  # the edit, or it carried over to what the tuner found meanwhile
    assert won is not None
    assert won.id > 0, [each.reason for each in experiments(path)]
    assert " p = " in won.reason
    with Reader(path / "study.db") as reader:
        ours, baseline = (_metrics(reader.trials(number)) for number in (won.id, 0))
        checked = list(recheck(reader, minimize=True))
    assert len(baseline) > 1
    assert len({*ours.values(), *baseline.values()}) == len(ours) + len(baseline), "seeds differ"
    further = [metric for number, metric in ours.items() if number > 1]
    assert won.metric == pytest.approx(sum(further) / len(further))
    assert won.trials == len(further)
    assert last.study.baseline == pytest.approx(sum(baseline.values()) / len(baseline))
    assert [each.experiment for each in checked if not each.agrees] == []


def _metrics(trials: Sequence[TrialRecord]) -> dict[int, float]:
    """What each seed gave, by the number of its trial."""
    outcomes = {each.number: each.outcome for each in trials}
    return {n: o.metric for n, o in outcomes.items() if o is not None and o.metric is not None}


def edit(path: str, search: str, replace: str) -> str:
    return f"{path}\n<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE"


def proposal(title: str, *edits: str) -> str:
    fields = f"title: {title}\nhypothesis: It should.\nexpected: loss lower\n"
    return "<proposal>\n" + fields + "\n" + "\n\n".join(edits) + "\n</proposal>"


MORE_WAVES = proposal(
    "More waves, in a file of their own",
    'curve/waves.py\n```python\n"""How many."""\n\nCOUNT = 7\n```',
    edit("curve/model.py", "WAVES = 3", "from curve.waves import COUNT as WAVES"),
    edit("curve/training.py", "MOST_STEPS = 400", "MOST_STEPS = 4000"),
)
CHEAT = proposal(
    "A kinder measurement",
    edit("curve/evaluate.py", '"loss": loss', '"loss": loss / 2'),
)
PACKAGE = {
    "task.editable": "[curve/*.py]",
    "task.protected": "[curve/evaluate.py, curve/data.py, run.py]",
    "task.command": "{python} run.py",
    "task.env.SEED": "{seed}",
    "task.env.BUDGET": "{seconds}",
    "task.metric.name": "loss",
    "task.metric.file": "results/metrics.json",
    "task.metric.key": "validation.loss",
    "task.metrics.size.file": "results/metrics.json",
    "task.metrics.size.key": "size",
    "task.metrics.size.max": "20",
    "task.artifacts": "[results/*.txt]",
}


def test_a_model_edits_several_files_and_adds_one_and_limits_are_kept_to(tmp_path: Path) -> None:
    folder = repository(tmp_path, "package")
    prompts: list[str] = []
    answers = [MORE_WAVES + "\n\n" + CHEAT]

    def answer(request: Request) -> Say:
        prompts.append(request.prompt)
        return Say(answers.pop(0) if answers else "I have no more ideas.")

    with ModelServer(answer) as server:
        options = [f"agent.models=[{MODEL}]", f"agent.api_base={server.url}", "agent.fill=false"]
        options += ["stop.max_experiments=3", "agent.max_repairs=0", "agent.proposals_per_call=3"]
        options += ["agent.calls_in_flight=1", "agent.floor=0.5"]
        model = (folder / "curve/model.py").read_text()
        biggest = {"curve/model.py": model.replace("WAVES = 3", "WAVES = 30")}
        letter = Submit("Many more waves", biggest, parent=0)
        last, path = study(tmp_path, configured(folder, PACKAGE, *options), letter)
    by_title = {e.title: e for e in experiments(path)}
    better = by_title["More waves, in a file of their own"]
    assert better.state is ExperimentState.KEEP, better.reason
    assert last.champion is not None
    assert last.champion.id == better.id
    assert (path / "best/curve/waves.py").read_text() == '"""How many."""\n\nCOUNT = 7\n'
    assert not (path / "best/curve/evaluate.py").exists()
    rejected = by_title["Many more waves"]
    assert rejected.state is ExperimentState.REJECTED
    assert "size is 30, above its limit of 20 (task.metrics.size.max)" in rejected.reason
    assert "A kinder measurement" not in by_title
    with Reader(path / "study.db") as reader:
        trial = reader.trials(better.id)[0]
    assert trial.outcome is not None
    assert trial.outcome.metrics == {"size": 7.0}
    kept = path / f"experiments/{better.id}/artifacts/trial-{trial.id}/results/weights.txt"
    assert len(kept.read_text().splitlines()) == 7
    assert "size must be at most 20, whatever the metric" in prompts[0]
    assert "The code reports it itself" in prompts[0]
    assert "Files that are there and can't be edited: curve/data.py, curve/evaluate.py, run.py" in (
        prompts[0].replace(".gitignore, ", "")
    )


WRITES = """
import json, time
LR = 0.1
time.sleep(1)
open("metrics.json", "w").write(json.dumps({"val_loss": (LR - 0.3) ** 2 + 0.01}))
"""


def test_a_result_that_is_committed_is_no_result_of_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "stale"
    folder.mkdir()
    (folder / "train.py").write_text(WRITES)
    # What a run of this code writes: the baseline changes no byte of it.
    (folder / "metrics.json").write_text(json.dumps({"val_loss": (0.1 - 0.3) ** 2 + 0.01}))
    keys = {
        "task.command": "{python} train.py {seed}",
        "task.metric.name": "val_loss",
        "task.metric.file": "metrics.json",
        "task.metric.key": "val_loss",
    }
    idle = Submit("It does nothing", {"train.py": "print('nothing trained')\n"}, parent=0)
    last, path = study(tmp_path, configured(folder, keys, "stop.max_experiments=5"), idle)
    by_title = {e.title: e for e in experiments(path)}
    assert by_title["It does nothing"].state is ExperimentState.CRASH
    assert "it left no file metrics.json" in by_title["It does nothing"].reason
    # And a run that writes it has changed no protected file.
    tuned = [e for e in by_title.values() if e.title not in ("baseline", "It does nothing")]
    assert tuned
    assert all(e.metric is not None for e in tuned), [e.reason for e in tuned]
    assert last.champion is not None


DIGITS = {
    "task.command": "{python} train.py {seed}",
    "task.metric.name": "accuracy",
    "task.metric.goal": "maximize",
    "task.metric.pattern": r"accuracy = (?P<value>[-+.\w]+) %",
    "task.metrics.memory_gb.max": "4",
}


def test_an_accuracy_is_raised(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    config = configured(repository(tmp_path, "digits"), DIGITS, "stop.max_experiments=3")
    last, path = study(tmp_path, config)
    found = experiments(path)
    measured = [e.metric for e in found if e.metric is not None]
    assert len(measured) == 4, [e.reason for e in found]
    assert last.champion is not None
    assert last.champion.metric == max(measured) > measured[0]
    kept = [e for e in found if e.state is ExperimentState.KEEP]
    assert [e.metric for e in kept] == sorted(e.metric or 0.0 for e in kept)
    with Reader(path / "study.db") as reader:
        leaders = reader.leaders(5, minimize=False)
    assert [e.metric for e in leaders] == sorted(measured, reverse=True)
    export(path, config.task)
    assert "accuracy (self-reported)" in (path / "results.tsv").read_text()
    assert (path / "progress.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"task.command": "nosuchprogram train.py"}, "can't be started (task.command)"),
        ({"task.command": "sh -c 'echo >> README.md; echo val_loss: 1'"}, "changed README.md"),
    ],
)
def test_a_task_that_is_wrong_ends_at_the_baseline_with_the_line_that_proves_it(
    tmp_path: Path, keys: Mapping[str, str], words: str
) -> None:
    folder = repository(tmp_path, "script")
    last, path = study(tmp_path, configured(folder, {**SCRIPT, **keys}))
    assert last.study.state is StudyState.PAUSED
    assert last.study.reason is StopReason.BASELINE_FAILED
    assert words in last.study.text
    assert len(experiments(path)) == 1  # the baseline alone
    assert read_live(StudyFolder(path).live) is None
    # The same study goes on once its task is put right.
    command = f"task.command={SCRIPT['task.command']}"
    assert open_study(str(path), None, None, [command]).changed


def test_a_set_up_that_fails_on_a_node_is_told_before_anything_runs(tmp_path: Path) -> None:
    setup = {"task.setup": "{python} -c 'raise SystemExit(\"no wheel for this machine\")'"}
    config = configured(repository(tmp_path, "script"), {**SCRIPT, **setup})
    with pytest.raises(UsageError, match="no wheel for this machine") as refused:
        study(tmp_path, config)
    assert "task.setup failed on " in str(refused.value)
    assert "exit code 1" in str(refused.value)
    assert not (tmp_path / "study").exists()


def test_what_set_up_made_is_there_for_every_trial(tmp_path: Path) -> None:
    folder = repository(tmp_path, "script")
    code = (folder / "train.py").read_text()
    (folder / "train.py").write_text(code.replace("import math", "import math\nimport wheel"))
    (folder / "install.py").write_text("import os; os.mkdir('.deps'); open('.deps/wheel.py', 'w')")
    keys: dict[str, Any] = {
        **SCRIPT,
        "task.setup": "{python} install.py",
        "task.env.PYTHONPATH": ".deps",
    }
    last, _ = study(tmp_path, configured(folder, keys, "stop.max_experiments=1"))
    assert last.champion is not None


@pytest.mark.parametrize("name", ["script", "package", "digits"])
def test_init_alone_makes_a_study_of_each_that_runs(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    assert call("init", name, "--yes", "--seconds", "5") == 0, capsys.readouterr()
    said = capsys.readouterr().out
    assert "saw     " in said
    assert "is self-reported" in said
    settings = ["keep.most_seeds=0", "keep.champion_seeds=1", "stop.max_experiments=2"]
    made = tmp_path / f"{name}-research" / f"{name}.yaml"
    last, path = study(tmp_path, load_config(made, settings, {}))
    assert last.study.reason is StopReason.MAX_EXPERIMENTS
    found = experiments(path)
    assert len(found) == 3
    assert all(each.metric is not None for each in found), [each.reason for each in found]

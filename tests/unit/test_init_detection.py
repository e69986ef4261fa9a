"""`autoresearch init` finds the script, its command, its metric and its limits by reading alone."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from scheduler.errors import UsageError
from scheduler.init.draft import Draft, Place, Wishes, find
from scheduler.init.drafting import make_draft
from scheduler.init.known import known_preset
from scheduler.init.metrics import Metric, find_metrics
from scheduler.init.snapshot import Snapshot
from scheduler.init.sources import Sources, read_sources
from scheduler.init.vocabulary import name_of
from scheduler.study.config import Config
from workers.command import Reading
from workers.readings import Scanner

HERE = Place("/repo", has=lambda name: name in ("torch", "numpy"))
TRAIN = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
for step in range(10):
    loss.backward()
print(f"val_loss: {loss:.4f}")
"""


def sources(files: Mapping[str, str], ignored: tuple[str, ...] = ()) -> Sources:
    return read_sources(Snapshot(tuple(files), files, ignored))


def metrics(code: str) -> list[Metric]:
    return find_metrics(sources({"train.py": code}), "train.py")


def drafted(files: Mapping[str, str], place: Place = HERE, **wishes: Any) -> Draft:
    return make_draft(find(sources(files)), Wishes(**wishes), place)


@pytest.mark.parametrize(
    ("code", "line", "name", "value"),
    [
        ('print(f"val_loss: {loss:.4f}")', "val_loss: 0.5000", "val_loss", "0.5000"),
        ('print("val loss", loss)', "val loss 0.5", "val_loss", "0.5"),
        ('print("Test accuracy: %.2f%%" % acc)', "Test accuracy: 91.20%", "test_accuracy", "91.20"),
        ('print("epoch {} | val_f1 = {:.3f}".format(e, f))', "epoch 3 | val_f1 = 0.812",
         "val_f1", "0.812"),
        ('logger.info("val_bpb %.4f", bpb)', "12:00 INFO val_bpb 1.0312", "val_bpb", "1.0312"),
        ('print("perplexity: " + str(round(p, 3)))', "perplexity: 12.5", "perplexity", "12.5"),
        ('print(f"{val_loss:.4f}")', "0.1234", "val_loss", "0.1234"),
        ('print("val_loss", x, sep="=")', "val_loss=1e-05", "val_loss", "1e-05"),
        ('print(f"{val_loss=}")', "val_loss=nan", "val_loss", "nan"),
        ('print(f"val loss {loss:.3f}s")', "val loss 0.125s", "val_loss", "0.125"),
        ('print(f"val loss {loss}s")', "val loss 9.8e-05s", "val_loss", "9.8e-05"),
        ('print(f"val loss {loss}s")', "val loss nans", "val_loss", "nan"),
        ('print(f"val loss {loss}.")', "val loss -inf.", "val_loss", "-inf"),
        ('print(f"val loss {loss}.")', "val loss 1.5E+03.", "val_loss", "1.5E+03"),
        ('print(f"perplexity {p:,.2f}, {n} steps")', "perplexity 1,234.50, 7 steps",
         "perplexity", "1,234.50"),
        ('print(f"val_loss {a:.2f},{n}")', "val_loss 9.00,100", "val_loss", "9.00"),
        ('print(f"test accuracy {a:.1%}")', "test accuracy 93.5%", "test_accuracy", "93.5"),
        ('print(json.dumps({"eval": {"auc": a}}))', '{"eval": {"auc": 0.7}}', "eval_auc", "0.7"),
    ],
)  # fmt: skip
def test_a_metric_is_found_in_whatever_prints_it_and_its_pattern_reads_the_line(
    code: str, line: str, name: str, value: str
) -> None:
    found = metrics(code)[0]
    assert found.name == name
    assert found.pattern is not None
    read = re.search(found.pattern, line)
    assert read is not None, found.pattern
    assert read[1] == value
    reading = Reading(name, pattern=found.pattern)
    scanner = Scanner([reading])
    scanner.write(line.encode() + b"\n")
    assert str(scanner.value(reading)) == str(float(value.replace(",", "")))


def test_validation_goes_before_training_and_the_pattern_tells_them_apart() -> None:
    found = metrics('while 1:\n    print(f"step {n}: train loss {a:.4f}, val loss {b:.4f}")')[0]
    assert (found.name, found.looped) == ("val_loss", True)
    assert found.pattern is not None
    assert re.findall(found.pattern, "step 3: train loss 0.1000, val loss 0.2000") == ["0.2000"]
    code = 'print(f"train accuracy: {a}")\nprint(f"accuracy: {b}")'
    bare = metrics(code)[0]
    assert bare.pattern is not None
    assert not re.search(bare.pattern, "train accuracy: 0.5")
    assert re.search(bare.pattern, "accuracy: 0.5")


@pytest.mark.parametrize(
    ("code", "file", "key"),
    [
        ('with open("out.json", "w") as f:\n    json.dump({"val": {"loss": x}}, f)', "out.json",
         "val.loss"),
        ('m = {"n": 1}\nm["accuracy"] = acc\njson.dump(m, open("m.json", "w"))', "m.json",
         "accuracy"),
        ('d = Path("results")\n(d / "m.json").write_text(json.dumps(dict(val_loss=x)))',
         "results/m.json", "val_loss"),
        ('def f():\n    return {"test_acc": 1}\njson.dump(f(), open(f"{o}/m.json", "w"))\no = "r"',
         "r/m.json", "test_acc"),
        ('p.add_argument("--out", default="o.json")\njson.dump({"rmse": r}, open(args.out, "w"))',
         "o.json", "rmse"),
    ],
)  # fmt: skip
def test_json_that_is_left_is_followed_to_its_file_and_key(code: str, file: str, key: str) -> None:
    found = metrics(code)[0]
    assert (found.file, found.key, found.pattern) == (file, key, None)


def test_lines_of_json_that_are_appended_are_read_by_a_pattern() -> None:
    found = metrics('with open("log.jsonl", "a") as f:\n    f.write(json.dumps({"val_loss": x}))')[
        0
    ]
    assert (found.file, found.key) == ("log.jsonl", None)
    assert found.pattern is not None
    assert re.search(found.pattern, '{"step": 1, "val_loss": 0.25}')


def test_what_goes_to_another_file_is_no_output() -> None:
    assert metrics('print(f"val_loss {x}", file=log)') == []
    assert metrics('f.write(f"val_loss {x}")') == []


@pytest.mark.parametrize(
    ("text", "goal"),
    [("val_loss", "minimize"), ("Test set accuracy", "maximize"), ("losses['val']", None),
     ("valLoss", "minimize"), ("learning rate", None), ("loss_weight", None), ("f1", "maximize")],
)  # fmt: skip
def test_the_words_of_a_name_say_which_way_is_better(text: str, goal: str | None) -> None:
    named = name_of(text)
    assert (named.goal if named else None) == goal


def test_the_command_is_the_one_of_the_readme_with_the_trials_own_seed() -> None:
    readme = "Quick start:\n\n```sh\n$ python train.py --lr 0.1 \\\n    --seed 7  # fast\n```\n"
    draft = drafted({"train.py": TRAIN, "README.md": readme})
    assert draft.value("task", "command") == "{python} train.py --lr 0.1 --seed {seed}"
    placeholder = drafted({"train.py": TRAIN, "README.md": "python train.py --data <path>"})
    assert placeholder.value("task", "command") == "{python} train.py --seed {seed}"


def test_a_package_is_started_as_a_module() -> None:
    files = {
        "pkg/__init__.py": "",
        "pkg/train.py": f"from .model import Net\n{TRAIN}",
        "pkg/model.py": "class Net: ...",
        "pkg/evaluate.py": "x = 1",
    }
    draft = drafted(files)
    assert draft.value("task", "command") == "{python} -m pkg.train --seed {seed}"
    assert draft.value("task", "editable") == ["pkg/train.py", "pkg/model.py"]


def test_an_entry_point_is_called_where_its_module_has_no_main_part() -> None:
    project = '[project.scripts]\nfit = "pkg.cli:run"'
    code = 'def run():\n    for n in x:\n        print(f"val_loss: {n}")\n'
    draft = drafted({"pyproject.toml": project, "src/pkg/cli.py": code})
    assert draft.value("task", "command") == "{python} -c 'from pkg.cli import run; run()'"
    assert draft.value("task", "env") == {"PYTHONPATH": "src"}


def test_a_script_in_a_folder_finds_what_lies_above_it() -> None:
    files = {"scripts/train.py": f"import net\n{TRAIN}", "net.py": "x = 1\n"}
    draft = drafted(files)
    assert draft.value("task", "command") == "{python} scripts/train.py --seed {seed}"
    assert draft.value("task", "env") == {"PYTHONPATH": "."}
    assert draft.value("task", "editable") == ["scripts/train.py", "net.py"]


def test_several_gpus_are_started_by_torchrun_where_the_script_is_made_for_it() -> None:
    code = f'import os\nrank = os.environ["LOCAL_RANK"]\ntorch.cuda.set_device(rank)\n{TRAIN}'
    draft = drafted({"train.py": code}, gpus=2)
    assert draft.value("task", "command") == (
        "{python} -m torch.distributed.run --standalone --nproc-per-node {gpus} train.py "
        "--seed {seed}"
    )


def test_data_measuring_and_tests_are_not_edited() -> None:
    files = {
        "train.py": f"import model, data, evaluate, metrics\n{TRAIN}",
        **dict.fromkeys(("model.py", "data.py", "evaluate.py"), "def f():\n    return 1\n"),
        "metrics.py": "",
        "tests/test_model.py": "import model",
    }
    assert drafted(files).value("task", "editable") == ["train.py", "model.py"]


def test_a_script_that_only_starts_and_writes_down_is_protected() -> None:
    files = {
        "main.py": "from engine import fit\nimport json\n"
        'json.dump({"val_loss": fit()}, open("m.json", "w"))',
        "engine.py": "def fit():\n    for _ in range(3):\n        loss.backward()\n    return 1",
    }
    assert drafted(files).value("task", "editable") == ["engine.py"]


def test_the_budget_is_told_taken_from_the_script_or_enforced() -> None:
    option = TRAIN.replace('"--seed", type=int', '"--max-seconds", type=float')
    told = drafted({"train.py": option})
    assert told.value("task", "command") == "{python} train.py --max-seconds {seconds}"
    timed = drafted({"train.py": f"from prepare import TIME_BUDGET\n{TRAIN}",
                     "prepare.py": "TIME_BUDGET = 2 * 60"})  # fmt: skip
    assert timed.value("budget", "seconds") == 120
    assert timed.value("task", "budget") is None
    looped = drafted({"train.py": 'while True:\n    print(f"val_loss {x:.3f}")'})
    assert looped.value("task", "budget") == "enforced"
    assert looped.notes == ()
    counted = drafted({"train.py": 'STEPS = 9\nfor n in range(STEPS):\n    print(f"val_loss {x}")'})
    assert counted.value("task", "budget") == "enforced"
    assert any("STEPS = 9 (train.py:1) says when it ends" in note for note in counted.notes)
    steps = drafted({"train.py": f"MAX_STEPS = 500\n{TRAIN}"})
    assert any("MAX_STEPS = 500 (train.py:1) says when it ends, and an edit may raise" in note
               for note in steps.notes)  # fmt: skip


def test_what_a_script_reads_from_its_environment_is_given() -> None:
    code = f'import os\nseed = os.getenv("SEED")\nkey = os.environ["DATASET"]\n{TRAIN}'
    draft = drafted({"train.py": code})
    assert draft.value("task", "env") == {"SEED": "{seed}"}
    assert any("the variable DATASET" in note for note in draft.notes)
    written = drafted({"train.py": f'import os\nos.environ["DATASET"] = "x"\n{TRAIN}'})
    assert not any("DATASET" in note for note in written.notes)


@pytest.mark.parametrize(
    ("files", "setup"),
    [
        ({}, None),
        ({"requirements.txt": "einops\n"},
         "{python} -m pip install --quiet --target .deps -r requirements.txt"),
        ({"pyproject.toml": '[project]\ndependencies = ["einops>=0.8"]'},
         "{python} -m pip install --quiet --target .deps 'einops>=0.8'"),
        ({"environment.yml": "dependencies: [einops]"}, None),
    ],
)  # fmt: skip
def test_what_this_python_lacks_is_installed_by_set_up(
    files: Mapping[str, str], setup: str | None
) -> None:
    draft = drafted({"train.py": f"import torch, einops\n{TRAIN}", **files})
    assert draft.value("task", "setup") == setup
    if setup is None:
        assert any("lacks einops" in note for note in draft.notes)
    else:
        assert draft.value("task", "env") == {"PYTHONPATH": ".deps"}
    here = drafted({"train.py": f"import torch\n{TRAIN}", **files})
    assert here.value("task", "setup") is None


def test_a_locked_environment_and_the_readmes_preparation_of_data_are_set_up() -> None:
    files = {
        "train.py": f"import einops\n{TRAIN}",
        "prepare.py": "print(1)",
        "pyproject.toml": "[project]\nname = 'x'",
        "uv.lock": "",
        "README.md": "uv run prepare.py\nuv run train.py",
    }
    draft = drafted(files)
    assert draft.value("task", "setup").endswith(
        "uv sync --frozen --no-install-project && .venv/bin/python prepare.py"
    )
    assert draft.value("task", "command") == ".venv/bin/python train.py --seed {seed}"


def test_packages_that_are_imported_only_where_needed_are_not_missed() -> None:
    code = f"try:\n    import wandb\nexcept ImportError: ...\ndef f():\n    import jax\n{TRAIN}"
    assert drafted({"train.py": code}).notes == drafted({"train.py": TRAIN}).notes


def test_ignored_data_that_the_script_reads_is_mounted() -> None:
    found = find(sources({"train.py": f'open("data/x.bin")\n{TRAIN}'}, ("data", "runs")))
    draft = make_draft(found, Wishes(), HERE)
    assert draft.value("task", "mounts") == ["/repo/data:~/data"]


def test_a_gpu_is_claimed_where_there_is_one_or_where_nothing_else_will_do() -> None:
    either = {"train.py": f'd = "cuda" if torch.cuda.is_available() else "cpu"\n{TRAIN}'}
    must = {"train.py": f"model.cuda()\n{TRAIN}"}
    with_gpu = Place("/repo", gpus=1)
    key = ("workers", "gpus_per_trial")
    assert drafted(either).value(*key) == 0
    assert drafted(either, with_gpu).value(*key) == 1
    assert drafted(must).value(*key) == 1
    assert drafted({"train.py": TRAIN}, with_gpu).value(*key) == 0


def test_what_a_person_says_wins() -> None:
    wishes: dict[str, Any] = {
        "command": "make train", "editable": ("src/*.cpp",), "metric": "speed",
        "pattern": "speed (.*)", "goal": "maximize", "seconds": 30.0, "setup": "make",
        "network": True, "gpus": 2.0,
    }  # fmt: skip
    draft = drafted({"Makefile": "train:\n\t./run"}, **wishes)
    config = Config.model_validate(_tuples(draft.values()))
    assert config.task.command == "make train"
    assert config.task.editable == ("src/*.cpp",)
    assert config.task.metric.goal == "maximize"
    assert config.task.network.trials
    assert (config.budget.seconds, config.workers.gpus_per_trial) == (30, 2)


@pytest.mark.parametrize(
    ("files", "wishes", "words"),
    [
        ({"a.c": "int main;"}, {}, "--command"),
        ({"train.py": "for x in y: z.step()"}, {}, "train.py reports nothing"),
        ({"train.py": TRAIN}, {"metric": "bleu"}, "found: val_loss"),
        ({"train.py": TRAIN}, {"script": "tran.py"}, "is no file of the repository"),
        ({"train.py": "def (:"}, {}, "train.py can't be parsed"),
        ({"x.sh": ""}, {"command": "sh x.sh", "metric": "l", "pattern": "l"}, "--editable"),
    ],
)
def test_what_only_a_person_can_know_is_asked_for_by_its_flag(
    files: Mapping[str, str], wishes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        drafted(files, **wishes)


def test_known_repositories_are_told_by_what_their_files_hold() -> None:
    ours = {
        "prepare.py": "TIME_BUDGET = 300\ndef evaluate_bpb(): ...",
        "train.py": 'print(f"val_bpb: {x}")',
    }
    assert known_preset(Snapshot(tuple(ours), ours)) == "autoresearch"
    assert known_preset(Snapshot(("train.py",), {"train.py": ours["train.py"]})) is None


def _tuples(value: object) -> object:
    """Lists as a configuration file gives them."""
    if isinstance(value, dict):
        return {name: _tuples(each) for name, each in value.items()}
    return tuple(value) if isinstance(value, list) else value


@pytest.mark.parametrize(
    ("validation", "name"),
    [
        ('print(f"val acc {acc:.3f}")', "val_acc"),
        ('print(f"eval precision: {p}")', "eval_precision"),
        ('print(f"acc {val_acc:.3f}")', "val_acc"),
        ('print(f"epoch {epoch}, score", val_recall)', "val_recall"),
        ('print(f"{dev_mae}")', "dev_mae"),
        ('json.dump({"holdout": {"auc": auc}}, open("out.json", "w"))', "holdout_auc"),
    ],
)
@pytest.mark.parametrize(
    "tested",
    [
        'print(f"Test accuracy: {acc:.4f}")',
        'print(f"final test evaluation accuracy {acc:.4f}")',
        'json.dump({"best": {"test_bpb": bpb}}, open("test.json", "w"))',
    ],
)
def test_any_validation_metric_goes_before_any_test_metric(
    validation: str, name: str, tested: str
) -> None:
    found = metrics(f"for epoch in range(9):\n    {validation}\n{tested}")
    assert found[0].name == name
    assert len(found) == 2


def test_a_test_metric_goes_before_what_may_be_of_the_training_set() -> None:
    code = 'print(f"loss {l:.3f}")\nprint(f"test loss {l:.3f}")\nprint(f"train eval loss {l:.3f}")'
    assert [m.name for m in metrics(code)] == ["test_loss", "loss", "train_eval_loss"]


def timed(option: str, readme: str = "python train.py\n") -> Draft:
    """Of a script with this option, which prints its metric as it goes."""
    code = (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        f"parser.add_argument({option})\nargs = parser.parse_args()\n"
        'while True:\n    loss.backward()\n    print(f"val_loss: {loss:.4f}")\n'
    )
    return drafted({"train.py": code, "README.md": readme})


@pytest.mark.parametrize(
    ("option", "seconds"),
    [
        ('"--time-limit", type=int, default=2, help="in minutes"', 120),
        ('"--max_time", default=1.5, type=float, help="training time (hours)"', 5400),
        ('"--max-minutes", default=5', 300),
        ('"--train_hours", default=1', 3600),
        ('"--max-ms", default=60_000', 60),
        ('"--time-budget", default=2 * 60, help=f"how many minutes of {1}" " it takes"', 7200),
    ],
)
def test_a_time_in_another_unit_is_taken_as_it_is_and_not_told_seconds(
    option: str, seconds: float
) -> None:
    draft = timed(option)
    assert draft.value("task", "command") == "{python} train.py"
    assert draft.value("budget", "seconds") == seconds
    assert draft.value("task", "budget") is None  # it keeps to it by itself
    assert not any("counts no seconds" in note for note in draft.notes)


@pytest.mark.parametrize(
    ("option", "seconds"),
    [
        ('"--max-seconds", type=float, default=5', 5),
        ('"--time-limit", default=90, help="seconds (such as 600: 10 minutes)"', 90),
        ('"--max-time", default=30, help="the run\'s longest time"', 30),
        ('"--max-time", default=0', 300),
        ('"--max-time", default=1e12', 300),
        ('"--max-time"', 300),
    ],
)
def test_what_a_script_is_told_is_its_own_default(option: str, seconds: float) -> None:
    draft = timed(option)
    name = option.split('"')[1]
    assert draft.value("task", "command") == f"{{python}} train.py {name} {{seconds}}"
    assert draft.value("budget", "seconds") == seconds


def test_the_readme_s_command_says_more_than_a_default() -> None:
    told = timed('"--max-seconds", default=5', "python train.py --max-seconds 20\n")
    assert told.value("budget", "seconds") == 20
    assert told.value("task", "command") == "{python} train.py --max-seconds {seconds}"
    kept = timed('"--max-minutes", default=5', "python train.py --max-minutes=2\n")
    assert kept.value("budget", "seconds") == 120
    assert kept.value("task", "command") == "{python} train.py --max-minutes=2"


def test_a_budget_that_a_script_can_t_be_told_comes_with_what_to_do() -> None:
    option = 'parser.add_argument("--time-limit", default=2, help="minutes")\n'
    files = {"train.py": TRAIN.replace("args =", f"{option}args =")}
    draft = drafted(files, seconds=60.0)
    assert draft.value("budget", "seconds") == 60
    assert any("--time-limit (train.py) counts no seconds" in note for note in draft.notes)
    assert not any("counts no seconds" in note for note in drafted(files).notes)


def test_the_answer_that_is_offered_is_the_script_s_own_default() -> None:
    files = {"train.py": TRAIN.replace('"--seed", type=int, default=0', '"--seconds", default=7')}
    assert find(sources(files)).seconds("train.py") == 7

"""Claims about the configuration: what is read, which layer wins, and what a mistake is called."""

from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import ConfigError
from scheduler.rules.states import TrialKind
from scheduler.study.bundled import bundled_task, default_preset, presets
from scheduler.study.config import Config
from scheduler.study.config_change import changed_keys, check_resumable
from scheduler.study.config_file import dump_config, find_source, load_config, read_config
from scheduler.study.config_words import leaves


@pytest.fixture(autouse=True)
def _current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages show paths as a person would type them in the current folder."""
    monkeypatch.chdir(tmp_path)


def load(text: str, *overrides: str, **environ: str) -> Config:
    Path("my.yaml").write_text(text)
    return load_config("my.yaml", overrides, environ)


def complaint(text: str, *overrides: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, *overrides, **environ)
    return str(caught.value)


def test_an_empty_file_gives_the_defaults() -> None:
    assert load("") == Config()
    assert load("# only a comment\nbudget:\n  # seconds: 3\n") == Config()


@pytest.mark.parametrize("name", ["local", "gpu", "cluster"])
def test_every_preset_loads(name: str) -> None:
    assert load_config(name, [], {}).task.constants


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file() -> None:
    text = "seed: 1\nkeep: {baseline_repeats: 1}\nstop: {plateau: 1}\n"
    config = load(
        text,
        "stop.plateau=3",
        AUTORESEARCH_STOP__PLATEAU="2",
        AUTORESEARCH_KEEP__BASELINE_REPEATS="2",
    )
    assert (config.seed, config.keep.baseline_repeats, config.stop.plateau) == (1, 2, 3)


def test_numbers_are_read_as_a_person_means_them() -> None:
    config = load("task: {constants: {A: 3e-4, B: 1_000, C: -2}}\n", "task.constants.D=1e3")
    assert config.task.constants == {"A": 3e-4, "B": 1000, "C": -2, "D": 1000.0}
    assert 'must be a number above 0 or null, not "1:30"' in complaint("budget: {seconds: 1:30}")


def test_constants_keep_their_capitals_in_a_variable() -> None:
    config = load("", AUTORESEARCH_TASK__CONSTANTS__DEPTH="4")
    assert config.task.constants == {"DEPTH": 4}


def test_text_is_taken_as_it_was_typed() -> None:
    config = load("", "study.notes=try: 2024 [muon", AUTORESEARCH_WORKERS__ACCELERATOR="null")
    assert config.study.notes == "try: 2024 [muon"
    assert config.workers.accelerator is None


def test_the_token_the_cache_and_empty_variables_are_no_keys() -> None:
    config = load(
        "", AUTORESEARCH_TOKEN="x", AUTORESEARCH_CACHE="/c", AUTORESEARCH_SEED="", OTHER="1"
    )
    assert config == Config()


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        (
            "budget:\n  secnds: 3",
            "",
            ("my.yaml:2: budget.secnds: unknown key; did you mean budget.seconds?"),
        ),
        ("steps: 3", "", "my.yaml:1: steps: unknown key; did you mean budget.steps?"),
        (
            "keep: {model: x}",
            "",
            (
                "my.yaml:1: keep.model: unknown key; keep has baseline_repeats, most_seeds, "
                "champion_seeds, false_keep_rate, smallest_effect, gate, simplicity_margin, audit, "
                "long_budget, long_leaders, ablate, reference"
            ),
        ),
        ("seed: 1\nseed: 2", "", "my.yaml:2: seed: given twice, first on line 1"),
        ("seed: [1\nstudy: 2", "", "my.yaml:2: not YAML: expected ',' or ']', but got ':'"),
        ("- seed", "", "my.yaml:1: must be a section with keys, such as budget:"),
        (
            "task:\n  editable:\n  - a.py\n  - 3",
            "",
            ("my.yaml:4: task.editable: must be text, not 3"),
        ),
        (
            "task: {editable: [../a.py]}",
            "",
            ("my.yaml:1: task.editable: '../a.py' is not a file name inside the task's folder"),
        ),
        (
            "task: {constants: {A: true}}",
            "",
            ("my.yaml:1: task.constants.A: must be a number, not true"),
        ),
        (
            "data:\n  source: path",
            "",
            (
                "my.yaml:2: data.paths: needed where data.source is path: "
                "add --set 'data.paths=[\"texts/**/*.txt\"]'"
            ),
        ),
        (
            "data:\n  sequence_length: 128",
            "data.source=hf",
            (
                "--set data.source=hf: data.dataset: needed where data.source is hf: add --set "
                "data.dataset=owner/name --set 'data.files=[\"train.parquet\"]' "
                "--set data.validation_file=test.parquet (or take --config gpu)"
            ),
        ),
        (
            "data:\n  source: path\n  paths: [a.txt]",
            "data.source=stdlib",
            (
                "--set data.source=stdlib: data.paths: not used where data.source is stdlib: "
                "add --set 'data.paths=[]'"
            ),
        ),
        (
            "data:\n  sequence_length: 64\n  eval_batch_tokens: 64",
            "data.sequence_length=128",
            (
                "--set data.sequence_length=128: data.eval_batch_tokens: must be at least "
                "data.sequence_length, which is 128"
            ),
        ),
        (
            "data:\n  sequence_length: 64\n  eval_batch_tokens: 64",
            "data.validation_tokens=64",
            (
                "--set data.validation_tokens=64: data.validation_tokens: must be above "
                "data.sequence_length, which is 64: a window has a target too"
            ),
        ),
        (
            "workers: {slots: none}",
            "",
            ('my.yaml:1: workers.slots: must be a whole number of at least 1 or auto, not "none"'),
        ),
        (
            "workers: {gpus_per_trial: 0, cpus_per_trial: 0}",
            "",
            (
                "my.yaml:1: "
                "workers.cpus_per_trial: must be above 0 where workers.gpus_per_trial is 0 too"
            ),
        ),
        (
            "",
            "budget.seconds=abc",
            (
                "--set budget.seconds=abc: budget.seconds: must be a number "
                'above 0 or null, not "abc"'
            ),
        ),
        (
            "",
            "budget=5",
            (
                "--set budget=5: budget: must be a section with the keys seconds, steps, "
                "startup_seconds, eval_seconds, not 5"
            ),
        ),
        (
            "",
            "budget.x.y=5",
            (
                "--set budget.x.y=5: budget.x: unknown key; budget has seconds, "
                "steps, startup_seconds, eval_seconds"
            ),
        ),
        ("", "seed", "--set seed: must look like key=value, such as budget.seconds=60"),
    ],
)
def test_a_mistake_is_named_with_its_key_and_its_place(
    text: str, override: str, message: str
) -> None:
    assert complaint(text, *filter(None, [override])) == message


def test_a_wrong_variable_is_named() -> None:
    assert complaint("", AUTORESEARCH_BUDGET__SECNDS="3") == (
        "AUTORESEARCH_BUDGET__SECNDS: budget.secnds: unknown key; did you mean budget.seconds?"
    )


def test_all_problems_come_at_once() -> None:
    text = "seed: -1\nbudget: {seconds: x}\nserve: {port: 70000}\nseed: 2"
    lines = complaint(text, "foo=1", AUTORESEARCH_KEEP__REPEATS="2").splitlines()
    assert len(lines) == 6


def test_a_missing_file_says_which_presets_there_are() -> None:
    with pytest.raises(
        ConfigError, match="the presets are autoresearch, cluster, gpu, local, nanogpt"
    ):
        load_config("nope.yaml", [], {})


def test_steps_replace_the_seconds_of_a_lower_layer_and_the_other_way_round() -> None:
    by_steps = load("budget: {seconds: 15}", "budget.steps=100")
    assert (by_steps.budget.seconds, by_steps.budget.steps) == (None, 100)
    assert load("budget: {steps: 5}").budget.seconds is None
    again = load_config(None, ["budget.seconds=9"], {}, base=by_steps)
    assert (again.budget.seconds, again.budget.steps) == (9.0, None)


@pytest.mark.parametrize("overrides", [("budget.steps=1", "budget.seconds=1")])
def test_seconds_and_steps_in_one_layer_are_refused(overrides: tuple[str, ...]) -> None:
    assert "both set: leave one of them out" in complaint("", *overrides)
    assert "both set: leave one of them out" in complaint("budget: {steps: 1, seconds: 1}")


@pytest.mark.parametrize("notes", ["3e-4", "yes", "null", "1:30", "a: b\n c\n", "ü '\""])
def test_a_dumped_config_loads_again_equal(notes: str, tmp_path: Path) -> None:
    config = load_config("local", ["budget.steps=7"], {})
    config = config.model_copy(update={"study": config.study.model_copy(update={"notes": notes})})
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert read_config(tmp_path / "config.yaml") == config


def test_relative_paths_of_data_start_in_the_current_folder(tmp_path: Path) -> None:
    config = load("data: {source: path, paths: [text/*.txt]}")
    assert config.data.paths == (str(tmp_path / "text/*.txt"),)


def test_a_resumed_study_keeps_what_is_not_given_again() -> None:
    base = load("seed: 5\nstop: {plateau: 3}")
    config = load_config(None, ["stop.plateau=4"], {"AUTORESEARCH_CONFIG": "nope"}, base=base)
    assert changed_keys(base, config) == ("stop.plateau",)
    check_resumable(base, config)


@pytest.mark.parametrize(
    "override",
    [
        "seed=9",
        "budget.seconds=1",
        "data.sequence_length=64",
        "task.constants.A=1",
        "keep.baseline_repeats=2",
    ],
)
def test_a_key_that_figures_depend_on_can_not_change(override: str) -> None:
    base = Config()
    with pytest.raises(ConfigError, match="start another study") as caught:
        check_resumable(base, load_config(None, [override], {}, base=base))
    assert str(caught.value).startswith(override.split("=", maxsplit=1)[0].removesuffix(".A"))


def test_a_longer_budget_may_be_turned_on_and_off_but_not_be_changed() -> None:
    off = Config()
    on, other = (load(f"keep: {{long_budget: {factor}}}") for factor in (3, 5))
    for before, after in ((off, on), (on, off), (on, on)):
        check_resumable(before, after)
    with pytest.raises(ConfigError, match=r"keep\.long_budget"):
        check_resumable(on, other)
    for wrong in (1, 0.5):
        assert "must be above 1, or 0 for none" in complaint(f"keep: {{long_budget: {wrong}}}")


@pytest.mark.parametrize("budget", ["seconds: 20", "steps: 20"])
def test_a_longer_budget_is_one_of_training_alone(budget: str) -> None:
    config = load(f"keep: {{long_budget: 2.5}}\nbudget: {{{budget}}}")
    usual, long = config.trial_budget(), config.trial_budget(TrialKind.LONG)
    assert (usual.seconds or usual.steps, long.seconds or long.steps) == (20, 50)
    assert (long.startup_seconds, long.eval_seconds) == (120, 120)
    assert config.policy().long_leaders == 4
    assert Config().policy().long_leaders == 0


def test_the_parts_for_the_rules_and_the_workers_follow_the_config() -> None:
    config = load(
        "task: {metric: {goal: maximize}}\nstop: {max_hours: 2}\nbudget: {steps: 3}\n"
        "workers: {gpus_per_trial: 0.5, memory_gb: auto}"
    )
    assert not config.policy().minimize
    assert config.policy().max_seconds == 7200
    assert config.trial_budget().steps == 3
    assert config.trial_resources(100, 3).memory_bytes == 30
    assert config.budget_words() == "3 steps"


def test_every_key_says_what_it_is_for() -> None:
    def undescribed(schema: dict[str, Any]) -> list[str]:
        definitions = [schema, *schema.get("$defs", {}).values()]
        return [
            name
            for definition in definitions
            for name, field in definition["properties"].items()
            if "$ref" not in field and len(field.get("description", "")) < 20
        ]

    assert undescribed(Config.model_json_schema()) == []
    assert "budget.seconds" in leaves()


def test_a_named_preset_wins_over_the_variable_and_the_variable_over_the_machine() -> None:
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    assert find_source(None, hidden).path == presets()["local"]
    assert find_source(None, {"AUTORESEARCH_CONFIG": "cluster"}).name == "cluster"
    assert find_source("gpu", {"AUTORESEARCH_CONFIG": "cluster"}).name == "gpu"


def test_a_gpu_counts_unless_it_is_hidden(tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100'\n")
    driver.chmod(0o755)
    machine = {"PATH": str(tmp_path)}
    assert default_preset(machine) == "gpu"
    assert default_preset({**machine, "CUDA_VISIBLE_DEVICES": ""}) == "local"


def test_the_bundled_task_is_found() -> None:
    assert (bundled_task() / "wire.py").is_file()


def test_a_model_named_twice_is_one_and_a_name_that_is_no_models_is_refused() -> None:
    assert load("agent: {models: [a/b, c/d, a/b]}").agent.models == ("a/b", "c/d")
    assert load("agent: {models: [a/b]}", "agent.models=[]").agent.models == ()
    words = complaint("agent: {models: [tuner]}")
    assert "agent.models" in words
    assert "tuner is no language model's name" in words

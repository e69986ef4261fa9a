"""The task's keys: what they mean for the workers, and which combinations are refused."""

from pathlib import Path

import pytest

from scheduler.errors import ConfigError
from scheduler.rules.states import TrialKind
from scheduler.study.config import Config
from scheduler.study.config_file import dump_config, load_config, read_config
from scheduler.study.task_words import guide
from tests.fixtures.verbs import call
from workers.command import Limit, Mount, Values, command_line, fill, fill_line

OWN = (
    *("task.source=/repo", "task.command={python} train.py --seed {seed}"),
    *("task.metric.name=val_loss", r"task.metric.pattern=loss: ([-+.\w]+)"),
)


def configured(tmp_path: Path, *overrides: str, base: tuple[str, ...] = OWN) -> Config:
    (empty := tmp_path / "empty.yaml").write_text("")
    return load_config(empty, [*base, *overrides], {})


def refused(tmp_path: Path, *overrides: str, base: tuple[str, ...] = OWN) -> str:
    with pytest.raises(ConfigError) as error:
        configured(tmp_path, *overrides, base=base)
    return str(error.value)


def test_a_command_is_a_line_for_the_shell_or_a_list(tmp_path: Path) -> None:
    line = configured(tmp_path).trial_command()
    assert line is not None
    assert line.argv == ("/bin/sh", "-c", "{python} train.py --seed {seed}")
    words = configured(tmp_path, 'task.command=["{python}", train.py]').trial_command()
    assert words is not None
    assert words.argv == ("{python}", "train.py")
    assert configured(tmp_path, base=()).trial_command() is None


def test_a_configuration_of_ones_own_survives_its_file(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        *("task.env.TIME_BUDGET={seconds}", r"task.metrics.acc.pattern=acc ([-+.\w]+)"),
        *("task.metrics.acc.min=0.5", "task.metrics.memory_gb={max: 40}", "task.mounts=[/d:/e:rw]"),
        "task.editable=[src/**/*.py]",
    )
    (tmp_path / "written.yaml").write_text(dump_config(config))
    assert read_config(tmp_path / "written.yaml") == config
    assert config.task.env == {"TIME_BUDGET": "{seconds}"}
    assert config.task.limits() == (Limit("acc", least=0.5), Limit("memory_gb", most=40))
    assert [each.name for each in config.task.readings()] == ["acc"]
    assert config.task.mounted() == (Mount("/d", "/e", writable=True),)
    assert config.task.told


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("task.metric.pattern=(", "task.metric.pattern: '(' is no regular expression"),
        ("task.metric.key=a.b", "task.metric.key: is looked for in a JSON file: set file too"),
        ("task.metric.file=../a.json", "is not a file name inside the task's folder"),
        ("task.source=https://example.org/a.git", "task.revision: needed with the address"),
        ("task.revision=main", "task.revision: only for the address of a git repository"),
        ("task.command=SEED=1 python", None),
        ("task.command=[SEED=1, python]", "task.command: begins with 'SEED=1'"),
        ("task.mounts=[data]", "task.mounts: 'data' must look like /data"),
        ("task.metrics={lr: {max: 1}}", "task.metrics: lr: say where it stands"),
        ("task.metrics={seconds: {pattern: x, max: 1}}", "seconds: is measured, not read"),
        ("task.metrics={val_loss: {pattern: x}}", "val_loss is the metric that ranks"),
        ("keep.long_budget=3", "keep.long_budget: the script is not told its budget"),
        ("task.protected=[/etc/passwd]", "task.protected: '/etc/passwd' is not a file name"),
    ],
)
def test_what_has_no_meaning_is_refused_by_its_key(
    tmp_path: Path, override: str, words: str | None
) -> None:
    if words is None:
        configured(tmp_path, override)
    else:
        assert words in refused(tmp_path, override)


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("http://bob:hunter2@example.org/d.git", False),
        ("https://hunter2@example.org/d.git", False),
        ("https://bob:hun@ter2@example.org/d.git", False),
        ("ssh://git:hunter2@example.org/d.git", False),
        ("ssh://git@example.org/d.git", True),
        ("git@example.org:d.git", True),
        ("https://example.org:8443/a@b/d.git", True),
        ("file:///a:b@c/d.git", True),
    ],
)
def test_an_address_holds_no_password(
    tmp_path: Path, address: str, fine: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (own := tmp_path / "own.yaml").write_text(
        f"task: {{source: '{address}', revision: main, command: python train.py, "
        "metric: {name: loss, pattern: loss (.+)}}"
    )
    if fine:
        assert load_config(own, [], {}).task.source == address
        return
    with pytest.raises(ConfigError, match=r"task\.source: holds a name or a password") as error:
        load_config(own, [], {})
    with pytest.raises(ConfigError, match=r"--set task\.source=\w+://\.\.\.@example") as typed:
        load_config(None, [f"task.source={address}"], {})
    assert call("init", address, "--yes") == 2
    said = capsys.readouterr().err
    assert "the address holds a name or a password" in said
    assert "ter2" not in str(error.value) + str(typed.value) + said


def test_a_repository_says_what_its_metric_is_called(tmp_path: Path) -> None:
    unnamed = [each for each in OWN if "metric.name" not in each]
    said = refused(tmp_path, base=tuple(unnamed))
    assert "task.metric: name is needed" in said
    assert "--set task.metric.name=val_loss" in said
    # The bundled task's name is as good as any other, if it is said.
    assert configured(tmp_path, "task.metric.name=val_bpb").task.metric.name == "val_bpb"


def test_keys_of_a_command_are_refused_without_one(tmp_path: Path) -> None:
    for override in ("task.setup=make", "task.mounts=[/d]", "task.metric.pattern=x"):
        assert "task." in refused(tmp_path, override, base=())
    assert configured(tmp_path, "task.metrics={memory_gb: {max: 3}}", base=()).task.limits()


def test_the_deadline_follows_the_budget_unless_it_is_given(tmp_path: Path) -> None:
    keys = ("budget.seconds=100", "budget.startup_seconds=10", "budget.eval_seconds=20")
    assert configured(tmp_path, *keys).deadline_seconds() == 10 + 110 + 20
    told = configured(
        tmp_path, *keys, "task.env.B={seconds}", "keep.long_budget=3", "task.deadline=200"
    )
    assert told.deadline_seconds() == 200
    assert told.deadline_seconds(TrialKind.LONG) == 200 + 330 - 110


def test_placeholders_are_the_trials_and_all_else_stays() -> None:
    text = "{python} {seed} {gpus} {seconds} {steps} {other} ${seed} {{}}"
    filled = fill(text, Values(seed=3, gpus=2, seconds=1.5))
    assert filled.endswith(" 3 2 1.5  {other} ${seed} {{}}")


def test_agents_are_told_the_command_the_metric_and_the_limits(tmp_path: Path) -> None:
    config = configured(tmp_path, "task.metrics={memory_gb: {max: 40}}", 'task.editable=["*.py"]')
    said = guide(config, ["data.txt"])
    for words in (
        "    {python} train.py --seed {seed}",
        r"what the last line of its output that matches 'loss: ([-+.\\w]+)' says",
        "memory_gb must be at most 40, whatever the metric",
        "Files that fit *.py can be edited",
        "can't be edited: data.txt.",
    ):
        assert words in said


def test_a_run_that_is_told_its_seconds_may_take_as_long_as_the_baseline_and_grace(
    tmp_path: Path,
) -> None:
    told = configured(tmp_path, "task.env.S={seconds}", "budget.seconds=100", "keep.long_budget=3")
    assert told.task.told_seconds
    assert told.most_seconds(None) is None
    assert told.most_seconds(130.0) == 140.0
    assert told.most_seconds(130.0, TrialKind.LONG) == 130.0 + 200.0 + 30.0
    assert not configured(tmp_path, "task.budget=enforced").task.told_seconds
    assert not configured(tmp_path, "task.env.S={steps}").task.told_seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(1_234_567.0, "1234567"), (0.000025, "0.000025"), (1.5, "1.5"), (0, "0")]
)
def test_seconds_are_told_as_a_plain_decimal(seconds: float, text: str) -> None:
    assert fill("{seconds}", Values(seconds=seconds)) == text


def test_a_python_with_a_blank_in_its_path_stays_one_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/my tools/python")
    line = fill_line(command_line("{python} a.py && {python} b.py"), Values())
    assert line[-1] == "'/my tools/python' a.py && '/my tools/python' b.py"
    assert fill_line(["{python}", "a.py"], Values()) == ("/my tools/python", "a.py")


def test_a_deadline_before_the_end_of_an_enforced_budget_is_refused(tmp_path: Path) -> None:
    enforced = ("task.budget=enforced", "budget.seconds=100")
    said = refused(tmp_path, *enforced, "task.deadline=105")
    assert "task.deadline: 105 s are over before" in said
    assert "set 110 or more" in said
    configured(tmp_path, *enforced, "task.deadline=110")
    configured(tmp_path, "budget.seconds=100", "task.deadline=105")

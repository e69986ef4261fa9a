"""Claims about what a study takes from its task: packed data and the baseline's files.

The bundled task's own packing runs here, as a real process, on small real files; where its
failures are meant, a task of two lines stands in for it.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from agent.source import read_constants
from scheduler.errors import StudyError, UsageError
from scheduler.study.bundled import bundled_task
from scheduler.study.config import Config
from scheduler.study.data import (
    PackedData,
    _common_folder,
    baseline_files,
    prepare_data,
    task_folder,
    windows_asked,
    windows_at_most,
)
from train_template import probes
from train_template.job import Settings

ROW = "It was the best of times, it was the worst of times.\n"


def on_paths(*paths: str, tokens: int = 64) -> Config:
    sizes = {"sequence_length": 16, "validation_tokens": tokens, "eval_batch_tokens": 16}
    return Config.model_validate({"data": {"source": "path", "paths": paths, **sizes}})


def with_task(**task: object) -> Config:
    return Config.model_validate({"task": task})


def make_task(folder: Path, **files: str) -> Path:
    task = folder / "train_template"
    task.mkdir()
    for name in ("__init__", "prepare", *files):
        (task / f"{name}.py").write_text(files.get(name, ""))
    return task


def pack(folder: Path, *paths: str, tokens: int = 64) -> PackedData:
    return prepare_data(on_paths(*paths, tokens=tokens), folder / "cache", bundled_task())


def test_data_is_packed_by_the_task_and_found_again(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(ROW * 400)
    first = pack(tmp_path, str(tmp_path / "*.txt"))
    assert first.folder.name == first.hash
    assert first.tokens["train"] > first.tokens["validation"] > 64
    assert pack(tmp_path, str(tmp_path / "*.txt")) == first


def test_the_same_files_give_the_same_data_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = tmp_path / "texts" / "deep"
    texts.mkdir(parents=True)
    for number in range(30):  # enough that each file is assigned to a split by its name
        (texts / f"{number}.txt").write_text(f"{number}: {ROW}" * 20)
    from_afar = pack(tmp_path, str(texts / "*.txt"))
    monkeypatch.chdir(texts)
    assert pack(tmp_path, "*.txt").hash == from_afar.hash


@pytest.mark.parametrize("written", ["*.txt", "notes [1].txt", "~/notes*.txt"])
def test_a_folder_and_a_file_may_have_the_characters_of_a_glob(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    odd = tmp_path / "proj[1]*"
    odd.mkdir()
    (odd / "notes [1].txt").write_text(ROW * 400)
    monkeypatch.chdir(odd)
    monkeypatch.setenv("HOME", str(odd))
    found = pack(tmp_path, written)
    anchored = on_paths(written).anchored(Path.cwd())  # as load_config does
    assert anchored.anchored(Path.cwd()) == anchored
    assert prepare_data(anchored, tmp_path / "cache", bundled_task()) == found
    plain = tmp_path / "plain"
    odd.rename(plain)
    monkeypatch.chdir(tmp_path)
    assert pack(tmp_path, str(plain / "*.txt")).hash == found.hash


def test_what_is_not_there_is_named_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "proj[1]"
    (odd / "texts").mkdir(parents=True)
    (odd / "texts" / "a.txt").write_text(ROW * 400)
    monkeypatch.chdir(odd)
    with pytest.raises(UsageError, match=re.escape("proj[1]/no.txt matches no file")):
        pack(tmp_path, "no.txt")
    with pytest.raises(UsageError, match="for a folder write") as refused:
        pack(tmp_path, "texts")
    advised = str(refused.value).rpartition(" write ")[2]
    assert pack(tmp_path, advised).hash


@pytest.mark.parametrize(
    ("patterns", "folder"),
    [
        (["/a/b/c.txt"], "/a/b"),
        (["/a/b/*.txt", "/a/b/c/*.txt"], "/a/b"),
        (["/a/b/**/c.txt"], "/a/b"),
        (["/a/[[]1]/b/*.txt"], "/a/[1]/b"),
        (["/a/[[]1]/b[12]/c.txt"], "/a/[1]"),
        (["/a/[[]1]/b/*.txt", "/a/[[]1]/c[?].txt"], "/a/[1]"),
    ],
)
def test_names_start_from_the_deepest_folder_above_all(patterns: list[str], folder: str) -> None:
    assert _common_folder(patterns) == folder


def test_data_that_can_not_be_used_is_refused_in_the_task_s_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data.paths: .*no.txt matches no file"):
        pack(tmp_path, str(tmp_path / "no.txt"))


def test_what_only_the_packing_may_know_and_what_it_says_are_passed_on(tmp_path: Path) -> None:
    told: list[str] = []
    prepare = (
        "import os, sys\n"
        "print('data: 1 of 2 files', file=sys.stderr)\n"
        "print('nobody hears this', file=sys.stderr)\n"
        "sys.exit('the token is ' + os.environ['HF_TOKEN'])"
    )
    task = make_task(tmp_path, prepare=prepare)
    with pytest.raises(StudyError, match="exit code 1: the token is for the hub"):
        prepare_data(Config(), tmp_path, task, told.append, {"HF_TOKEN": "for the hub"})
    assert told == ["data: 1 of 2 files"]


def test_the_presets_for_gpus_can_be_told_to_do_without_network(tmp_path: Path) -> None:
    from scheduler.study.config_file import load_config

    for preset in ("gpu", "cluster"):
        config = load_config(preset, [], {})
        kinds = (config.data.source, config.data.tokenizer_kind, config.data.packing_kind)
        assert kinds == ("hf", "bpe", "best_fit")
        ways = ["data.source=stdlib", "data.validation_tokens=131072"]  # as the message names them
        config = load_config(preset, ways, {})
        assert config.data.tokenizer_kind == "bytes"
        packed = prepare_data(config, tmp_path / "cache", bundled_task())
        assert packed.tokens["validation"] > 131_072


def test_packed_rows_are_made_of_the_keys_of_the_config(tmp_path: Path) -> None:
    rows = [f'{{"body": "{number} {ROW[:-1]}"}}' for number in range(3000)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    sizes = {"sequence_length": 16, "validation_tokens": 64, "eval_batch_tokens": 16}
    how = {"tokenizer": "bpe", "vocab_size": 300, "packing": "best_fit", "text_column": "body"}
    spec = {"source": "path", "paths": (str(tmp_path / "a.jsonl"),), **sizes, **how}
    config = Config.model_validate({"data": spec})
    packed = prepare_data(config, tmp_path / "cache", bundled_task())
    assert {count % 17 for count in packed.tokens.values()} == {0}
    assert (packed.folder / "tokenizer.json").is_file()


def test_keys_of_the_hub_are_needed_with_it() -> None:
    with pytest.raises(ValueError, match=r"files|needed where data\.source is hf"):
        Config.model_validate({"data": {"source": "hf", "dataset": "some/text"}})


def test_more_validation_tokens_than_there_are_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(ROW * 400)
    with pytest.raises(UsageError, match=r"set data.validation_tokens to at most \d+ or"):
        pack(tmp_path, str(tmp_path / "a.txt"), tokens=10**6)


def test_as_many_windows_are_scored_as_are_reckoned_with() -> None:
    for length in (1, 5, 16, 64):
        for tokens in (*range(0, 60 * (length + 1), 7), 2 * length + 1, 2 * length + 2):
            most = probes.windows_at_most(tokens, length)
            assert windows_at_most(tokens, length) == most
            for asked in (length + 1, 500, 20 * (length + 1) - 1, tokens):
                wanted = windows_asked(asked, length)
                assert wanted == probes.windows_asked(asked, length)
    text = np.arange(40 * 17 + 5, dtype=np.uint16)
    plan = probes.make_plan(text, Settings(16, 10**6, 64), 4, secret=1)
    assert plan.scored.sum() == windows_at_most(len(text), 16) == 37


def test_what_the_message_says_is_enough_and_one_window_more_is_too_much(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(ROW * 400)
    with pytest.raises(UsageError) as refused:
        pack(tmp_path, str(tmp_path / "a.txt"), tokens=1050)
    most = int(re.search(r"at most (\d+)", str(refused.value))[1])  # type: ignore[index]
    packed = pack(tmp_path, str(tmp_path / "a.txt"), tokens=most)
    with packed.folder.joinpath("validation.bin").open("rb") as file:
        tokens = np.fromfile(file, dtype="<u2")
    plan = probes.make_plan(tokens, Settings(16, most, 64), 4, secret=1)
    assert plan.scored.sum() == most // 17
    with pytest.raises(UsageError, match=f"at most {most}"):
        pack(tmp_path, str(tmp_path / "a.txt"), tokens=most + 17)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        ("raise SystemExit('no space left')", "exit code 1: no space left"),
        ("print('done')", "without saying where it lies: 'done'"),
    ],
)
def test_a_packing_that_fails_says_how(tmp_path: Path, prepare: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        prepare_data(Config(), tmp_path, make_task(tmp_path, prepare=prepare))


def test_the_current_folder_can_not_shadow_the_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_task(tmp_path, prepare="raise SystemExit('the wrong one')")
    (tmp_path / "a.txt").write_text(ROW * 400)
    monkeypatch.chdir(tmp_path)
    assert pack(tmp_path, "a.txt").tokens["train"] > 0


def test_the_baseline_has_the_constants_of_the_config() -> None:
    files = baseline_files(with_task(constants={"DEPTH": 3}), bundled_task())
    assert read_constants(files["train.py"])["DEPTH"] == 3
    original = (bundled_task() / "train.py").read_text()
    assert [a == b for a, b in zip(
        files["train.py"].splitlines(), original.splitlines(), strict=True
    )].count(False) == 1  # fmt: skip


@pytest.mark.parametrize("preset", ["local", "gpu", "cluster"])
def test_every_preset_fits_the_bundled_task(preset: str) -> None:
    from scheduler.study.config_file import load_config

    config = load_config(preset, [], {})
    assert set(baseline_files(config, task_folder(config))) == {"train.py"}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            {"constants": {"DETPH": 3}},
            (
                "task.constants.DETPH: no such constant at the top of "
                r"train.py; did you mean DEPTH\?"
            ),
        ),
        ({"constants": {"DEPTH": 2.5}}, "DEPTH"),
        ({"editable": ("model.py",)}, "task.editable: model.py can't be read"),
    ],
)
def test_a_baseline_that_lacks_something_is_refused(
    tmp_path: Path, task: dict[str, object], message: str
) -> None:
    folder = make_task(tmp_path, train="DEPTH = 8\n")
    with pytest.raises(UsageError, match=message):
        baseline_files(with_task(**task), folder)


def test_a_task_of_one_s_own_is_a_folder_with_prepare(tmp_path: Path) -> None:
    own = make_task(tmp_path)
    assert task_folder(with_task(source=str(own))) == own
    with pytest.raises(UsageError, match=r"holds no prepare\.py"):
        task_folder(with_task(source=str(tmp_path)))

"""What `doctor` makes of what it sees; the machine that the tests run on has its own test."""

import importlib.util
import os
import socket
import stat
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from scheduler.doctor import Finding, Grade
from scheduler.doctor.devices import Devices, Driver, Gpu, devices, read_driver
from scheduler.doctor.needs import needs
from scheduler.doctor.services import keys, port, ray, trackers
from scheduler.study.config import Config
from scheduler.study.config_file import load_config
from tests.fixtures.candidates import ROOT
from tests.fixtures.hub import Hub

H100 = Gpu("NVIDIA H100 80GB HBM3", 80 * 2**30, bf16=True, architecture="sm_90")
CUDA = Devices("2.13.0+cu128", cuda="12.8", gpus=(H100,), architectures=("sm_80", "sm_90"))
CPU = Devices("2.13.0+cpu")
TABLE = "| NVIDIA-SMI 570.86   Driver Version: 570.86   CUDA Version: 12.8  |"


def config(*settings: str, preset: str = "local") -> Config:
    return load_config(preset, settings, {})


def of(findings: Iterator[Finding], what: str) -> list[Finding]:
    return [each for each in findings if each.what == what]


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with an empty home, where no key and no token is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    return {"HOME": str(tmp_path)}


# ---- devices --------------------------------------------------------------------------------


def test_a_gpu_that_fits_is_named_with_its_memory_and_driver() -> None:
    driver = read_driver("NVIDIA H100 80GB HBM3, 81559, 4, 570.86\n", TABLE)
    found = list(devices(CUDA, driver))
    assert all(each.grade is Grade.OK for each in found)
    assert "H100 80GB HBM3, 80 GiB" in of(iter(found), "devices")[0].seen
    assert of(iter(found), "driver")[0].seen == "570.86 for CUDA up to 12.8"


def test_a_driver_that_is_older_than_torch_wants_is_told_of() -> None:
    driver = Driver("550.10", (("H100", 81559, 4),), "12.4")
    (found,) = of(devices(CUDA, driver), "driver")
    assert found.grade is Grade.NOTE
    assert "CUDA up to 12.4, and this torch is for CUDA 12.8" in found.seen


@pytest.mark.parametrize(
    ("seen", "words"),
    [(CPU, "install a CUDA build"), (Devices("2.13.0", cuda="13.0"), "update the driver")],
)
def test_a_gpu_that_torch_does_not_see_is_told_of(seen: Devices, words: str) -> None:
    (found,) = of(devices(seen, Driver("570.86", (("H100", 81559, 4),))), "devices")
    assert found.grade is Grade.NOTE
    assert words in found.advice


def test_a_gpu_that_this_torch_holds_no_code_for_is_told_of() -> None:
    old = Devices("2.13.0", cuda="12.8", gpus=(H100,), architectures=("sm_75", "sm_86"))
    (found,) = of(devices(old), "devices")
    assert found.grade is Grade.NOTE
    assert "install one for sm_90" in found.advice


def test_a_gpu_in_use_by_another_program_is_told_of() -> None:
    notes = of(devices(CUDA, Driver("570.86", (("H100", 81559, 40000),))), "driver")
    assert "39 of 80 GiB of H100 0 in use" in notes[-1].seen


def test_torch_that_can_not_be_imported_is_missing() -> None:
    (found,) = devices(Devices(trouble="ImportError: libcudart.so.12"))
    assert found.grade is Grade.MISSING
    assert "libcudart" in found.seen


# ---- services -------------------------------------------------------------------------------


def test_keys_are_named_and_never_shown(at_home: Mapping[str, str]) -> None:
    secret = "sk-0123456789abcdef"
    models = 'agent.models=["anthropic/claude-x","openai/gpt-5"]'
    environ = {**at_home, "ANTHROPIC_API_KEY": secret}
    for settings in ([], [models]):
        found = list(keys(environ, config(*settings)))
        assert "ANTHROPIC_API_KEY is set" in found[0].seen
        assert secret not in repr(found)
    assert found[1].grade is Grade.NOTE
    assert "OPENAI_API_KEY" in found[1].advice


def test_keys_that_others_may_read_are_not_taken(
    at_home: Mapping[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "keys.env"
    file.write_text("OPENAI_API_KEY=sk-1\n")
    file.chmod(0o644)
    settings = 'agent.models=["openai/gpt-5"]', f"agent.key_file={file}"
    (found,) = keys(at_home, config(*settings))
    assert found.grade is Grade.MISSING
    assert "chmod 600" in found.seen
    file.chmod(0o600)
    (found,) = keys(at_home, config(*settings))
    assert found.grade is Grade.OK


def test_a_cluster_without_a_token_here_is_told_of(
    at_home: Mapping[str, str], tmp_path: Path
) -> None:
    environ = {**at_home, "RAY_ADDRESS": "10.0.0.1:6379"}
    assert ray(environ).grade is Grade.NOTE
    (tmp_path / ".ray").mkdir()
    token = tmp_path / ".ray" / "auth_token"
    token.write_text("t0ken")
    token.chmod(0o644)
    assert "chmod 600" in ray(environ).advice
    token.chmod(stat.S_IRUSR)
    assert ray(environ).grade is Grade.OK
    assert "t0ken" not in repr(ray(environ))


def test_a_port_that_is_taken_is_told_of() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        found = port(config(f"serve.port={taken}"))
    assert found.grade is Grade.MISSING
    assert str(taken) in found.seen
    assert port(config("serve.port=null")).grade is Grade.OK


def test_a_tracker_that_is_asked_for_and_not_there_is_missing(
    at_home: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = config('track.to=["mlflow","wandb"]')
    there, keyless = trackers(at_home, wanted)
    assert there.grade is Grade.OK
    assert (keyless.grade, "WANDB_API_KEY" in keyless.advice) == (Grade.MISSING, True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    lacking, _ = trackers(at_home, wanted)
    assert lacking.advice == "run: pip install 'autoresearch-ray[mlflow]'"


# ---- what a study needs ---------------------------------------------------------------------


def test_a_study_that_fits_misses_nothing() -> None:
    found = list(needs(config(), {}, CPU))
    assert [each for each in found if each.grade is Grade.MISSING] == []


@pytest.mark.parametrize(
    ("setting", "what", "words"),
    [
        ("workers.gpus_per_trial=1", "slots", "claims 1 GPU"),
        ("workers.cpus_per_trial=4096", "slots", "4096 CPU"),
        ("task.source=/nowhere", "task", "/nowhere"),
        ("task.constants.NOPE=1", "task", "NOPE"),
    ],
)
def test_what_a_study_asks_for_and_is_not_there_is_missing(
    setting: str, what: str, words: str
) -> None:
    (found,) = of(needs(config(setting), {}, CPU), what)
    assert found.grade is Grade.MISSING
    assert words in found.seen
    assert found.advice


def test_a_study_for_a_cluster_is_not_measured_by_this_machine() -> None:
    wanted = config("workers.gpus_per_trial=8", "workers.cpus_per_trial=64")
    (found,) = of(needs(wanted, {"RAY_ADDRESS": "10.0.0.1:6379"}, CPU), "slots")
    assert found.grade is Grade.NOTE


def test_data_of_ones_own_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x" * 2_000_000)
    paths = [f"{tmp_path}/*.txt", f"{ROOT}/README.md"]
    (found,) = of(needs(with_data(*paths), {}, CPU), "data")
    assert found.grade is Grade.OK
    assert found.seen.startswith("2.0")
    (found,) = of(needs(with_data(*paths, "nothing/*.txt"), {}, CPU), "data")
    assert found.grade is Grade.MISSING
    assert os.fspath(Path("nothing/*.txt")) in found.seen


def test_data_in_a_folder_with_the_characters_of_a_glob_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proj[1]").mkdir()
    (tmp_path / "proj[1]" / "a [2].txt").write_text("x" * 2_000_000)
    monkeypatch.chdir(tmp_path / "proj[1]")
    (found,) = of(needs(with_data("a [2].txt"), {}, CPU), "data")
    assert (found.grade, found.seen[:4]) == (Grade.OK, "2 MB")
    (found,) = of(needs(with_data("b.txt"), {}, CPU), "data")
    assert found.seen.endswith("proj[1]/b.txt")


def with_data(*paths: str) -> Config:
    words = ",".join(f'"{path}"' for path in paths)
    return config("data.source=path", f"data.paths=[{words}]")


def test_a_hub_is_asked_for_the_file_that_is_withheld() -> None:
    wanted = config(
        *("data.source=hf", "data.dataset=some/text", "data.validation_file=b.jsonl"),
        'data.files=["a.jsonl"]',
    )
    hub = Hub({"b.jsonl": b"{}"})
    hub.wanted_token = "hf_4711"
    environ = {"HF_ENDPOINT": hub.address}
    try:
        (refused,) = of(needs(wanted, environ, CPU), "data")
        (found,) = of(needs(wanted, {**environ, "HF_TOKEN": "hf_4711"}, CPU), "data")
    finally:
        hub.close()
    (silent,) = of(needs(wanted, environ, CPU), "data")
    assert (refused.grade, found.grade, silent.grade) == (Grade.NOTE, Grade.OK, Grade.NOTE)
    assert "401" in refused.seen
    assert "does not answer" in silent.seen
    assert "data.source=stdlib" in silent.advice
    assert "hf_4711" not in refused.seen + found.seen + silent.seen


def test_a_repository_is_read_as_a_study_would(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("task: {command: python train.py, metric: {name: loss, pattern: loss (.+)}}")

    def task(source: str, *more: str) -> Finding:
        wanted = config(f"task.source={source}", *more, preset=str(own))
        (found,) = of(needs(wanted, {}, CPU), "task")
        return found

    whole = task(f"{ROOT}/tests/fixtures/repositories/script")
    assert whole.grade is Grade.OK
    assert "edits train.py" in whole.seen
    assert task(str(tmp_path)).grade is Grade.MISSING
    made = tmp_path / "made"
    made.mkdir()
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["init", "-qb", "main"], [*who, "commit", "-qm", "x", "--allow-empty"]):
        subprocess.run(["git", "-C", str(made), *words], check=True)
    asked = ["git", "-C", str(made), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    for revision, grade, said in (
        (commit, Grade.OK, f"has {commit}"),
        ("main", Grade.OK, "has main"),
        (commit[:8], Grade.OK, "says not whether it has"),
        ("0" * 40, Grade.MISSING, "has no commit 0000"),
        ("master", Grade.MISSING, "has no tag or branch master"),
    ):
        found = task(made.as_uri(), f"task.revision={revision}")
        assert (found.grade, said in found.seen) == (grade, True), found
    gone = task(f"file://{tmp_path}/gone.git", "task.revision=v1")
    assert gone.grade is Grade.MISSING
    assert "git says: " in gone.seen
    assert "CalledProcessError" not in gone.seen
    assert "Command '[" not in gone.seen
    assert task(f"file://{tmp_path}/gone.git", f"task.revision={commit}").grade is Grade.MISSING


def test_what_a_command_needs_beside_its_repository_is_looked_for(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("task: {command: python train.py, metric: {name: loss, pattern: loss (.+)}}")
    (tmp_path / "train.py").touch()
    (tmp_path / "go.sh").touch(mode=0o644)

    def seen(what: str, *more: str, **environ: str) -> list[Finding]:
        wanted = config(f"task.source={tmp_path}", *more, preset=str(own))
        return of(needs(wanted, environ, CPU), what)

    [mount] = seen("mounts", "task.mounts=[/nowhere/at/all]")
    assert (mount.grade, "/nowhere/at/all" in mount.seen) == (Grade.MISSING, True)
    [there] = seen("mounts", f"task.mounts=[{tmp_path}]")
    assert there.grade is Grade.OK
    [absent] = seen("command", "task.command=no-such-program train.py")
    assert (absent.grade, "no-such-program" in absent.seen) == (Grade.MISSING, True)
    [script] = seen("command", "task.command=./go.sh")
    assert "can't be executed" in script.seen
    [shell] = seen("command", "task.command=sh go.sh")
    assert shell.grade is Grade.OK
    # A set-up may install it, a cluster's nodes may have it, and a shell knows words of its own.
    assert seen("command", "task.command=no-such-program", "task.setup=make") == []
    [far] = seen("command", "task.command=no-such-program", RAY_ADDRESS="auto")
    assert far.grade is Grade.NOTE
    assert seen("command", "task.command=cd src && python train.py") == []

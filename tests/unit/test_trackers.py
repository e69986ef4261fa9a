"""Trackers: what stands in W&B, MLflow and TensorBoard, read back with their own means."""

import importlib.util
import sqlite3
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from scheduler.errors import ConfigError, UsageError
from scheduler.study.config_file import load_config
from scheduler.study.folder import StudyFolder
from scheduler.study.patch import unified_diff
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, TrialRecord
from scheduler.study.trackers import opening
from scheduler.study.trackers.collecting import Collector
from scheduler.study.trackers.ledger import Ledger
from scheduler.study.trackers.opening import MODULES, check_trackers, open_tracker
from scheduler.study.trackers.run import Run, TrackerSettings
from scheduler.study.trackers.sending import Sender, opened
from tests.fixtures.verbs import call, document
from tests.synthetic import make_study

OFFLINE = TrackerSettings(offline=True)
EXPERIMENTS = 12
LEVELDB_BLOCK, WANDB_HEADER = 32768, 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    made = make_study(tmp_path_factory.mktemp("trackers") / "night1", EXPERIMENTS, seed=5)
    return StudyFolder(made)


@pytest.fixture(scope="module")
def runs(folder: StudyFolder) -> list[Run]:
    """All of the study, as trackers are to get it."""
    return list(collected(folder))


def collected(folder: StudyFolder) -> Iterator[Run]:
    with Reader(folder.database) as reader:
        collector = Collector(folder, folder.load_config(), reader)
        for trial in reader.trials():
            experiment = reader.experiment(trial.experiment)
            if trial.outcome is not None and experiment is not None:
                yield collector.run(trial, experiment)


def pick(runs: list[Run], *, failed: bool) -> Run:
    """A run with a parent that failed, or did not."""
    return next(r for r in runs if r.failed is failed and "parent" in r.tags)


@contextmanager
def sender(name: str, folder: StudyFolder, place: Path) -> Iterator[Sender]:
    with opened(name, folder, folder.load_config(), place, OFFLINE) as made:
        yield made


def self_reported(run: Run) -> Run:
    return replace(run, tags={**run.tags, "judge": "self-reported, JSON file"})


# ---- what a run says ------------------------------------------------------------------------


def test_a_run_says_where_its_experiment_stands(folder: StudyFolder, runs: list[Run]) -> None:
    run = pick(runs, failed=False)
    with Reader(folder.database) as reader:
        experiment = reader.experiment(run.experiment)
        assert experiment is not None
        assert experiment.parent is not None
        before, after = reader.files(experiment.parent), reader.files(run.experiment)
    assert run.tags["lineage"].startswith("0")
    assert run.tags["lineage"].endswith(f"{experiment.parent} > {run.experiment}")
    assert run.tags["parent"] == str(experiment.parent)
    assert run.tags["state"] == experiment.state.value
    assert run.tags["origin"] == experiment.origin
    assert run.constants == dict(experiment.constants)
    assert run.files["code/train.py"] == after["train.py"]
    assert run.files["diff.patch"] == unified_diff(before, after)
    assert run.metrics["tokens_per_second"] == pytest.approx(6.3e8 / 300)


def test_a_run_says_whether_its_process_was_there_before_it(
    folder: StudyFolder, runs: list[Run]
) -> None:
    with Reader(folder.database) as reader:
        warm = {t.id: t.outcome.warm for t in reader.trials() if t.outcome is not None}
    assert set(warm.values()) == {False, True}
    assert {run.trial: run.settings["warm"] == "true" for run in runs} == warm
    assert {run.settings["warm"] for run in runs} == {"true", "false"}


def test_champions_bear_their_number(folder: StudyFolder, runs: list[Run]) -> None:
    with Reader(folder.database) as reader:
        numbers = {each.experiment: each.number for each in reader.champions()}
    assert len(numbers) > 1
    assert {r.experiment: r.champion for r in runs if r.champion is not None} == numbers


def test_a_failure_has_no_metric_and_says_why(runs: list[Run]) -> None:
    run = pick(runs, failed=True)
    assert "val_bpb" not in run.metrics
    assert run.tags["said"]


def test_the_log_is_the_whole_one_where_the_folder_has_it(folder: StudyFolder) -> None:
    with Reader(folder.database) as reader:
        trial = reader.trials(0)[0]
    log = folder.experiment(0).trial_log(trial.id)
    log.parent.mkdir(parents=True)
    log.write_text(f"--- trial {trial.id}\nall of it\n")
    assert next(collected(folder)).files["run.log"] == "all of it\n"
    log.rename(folder.experiment(0).log)  # as in a study of an older version
    assert next(collected(folder)).files["run.log"] == "all of it\n"
    folder.experiment(0).log.write_text(f"--- trial {trial.id + 1}\nanother's\n")
    assert next(collected(folder)).files["run.log"].startswith("step 0")
    folder.experiment(0).log.unlink()


# ---- each tracker, read back ----------------------------------------------------------------


def test_wandb_has_each_trial_as_a_run(
    folder: StudyFolder, runs: list[Run], tmp_path: Path
) -> None:
    told = [pick(runs, failed=False), pick(runs, failed=True)]
    tracker = open_tracker("wandb", facts(folder), tmp_path, OFFLINE)
    tracker.add(told[0])
    tracker.add(self_reported(told[1]))
    tracker.close()
    stored = dict(map(wandb_run, tmp_path.glob("wandb/offline-run-*/run-*.wandb")))
    assert len(stored) == 2
    good = stored[f"{facts(folder).id}-{told[0].trial}"]
    assert (good["group"], good["name"]) == ("night1", told[0].name)
    assert {k: float(v) for k, v in good["summary"].items() if k in told[0].metrics} == {
        k: pytest.approx(v) for k, v in told[0].metrics.items()
    }
    assert good["config"]["lineage"] == f'"{told[0].tags["lineage"]}"'
    assert good["config"]["warm"] == f'"{told[0].settings["warm"]}"'
    assert {"code/train.py", "diff.patch", "run.log"} == good["files"].keys()
    assert good["files"]["code/train.py"] == told[0].files["code/train.py"]
    assert good["exit"] == 0
    bad = stored[f"{facts(folder).id}-{told[1].trial}"]
    assert "val_bpb" not in bad["summary"]
    assert bad["exit"] == 1
    assert "self-reported" in bad["tags"]
    assert bad["notes"].startswith("The metric is self-reported")


def test_mlflow_has_each_trial_as_a_run_and_completes_one_that_was_cut_short(
    folder: StudyFolder, runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    good, bad = pick(runs, failed=False), self_reported(pick(runs, failed=True))
    tracker: Any = open_tracker("mlflow", facts(folder), tmp_path, OFFLINE)
    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, "log_text", cut)
        with pytest.raises(OSError, match="power cut"):
            tracker.add(good)
    for run in (good, bad, good):
        tracker.add(run)
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("night1")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    assert len(found) == 2
    stored = {int(each.data.tags["trial"]): each for each in found}
    assert stored.keys() == {good.trial, bad.trial}
    run = stored[good.trial]
    assert run.data.metrics == {k: pytest.approx(v) for k, v in good.metrics.items()}
    assert len(client.get_metric_history(run.info.run_id, "val_bpb")) == 1
    assert run.data.params["DEPTH"] == str(good.constants["DEPTH"])
    assert run.data.params["warm"] == good.settings["warm"]
    assert run.data.tags["lineage"] == good.tags["lineage"]
    assert run.data.tags["state"] == good.tags["state"]
    assert run.info.status == "FINISHED"
    path = client.download_artifacts(run.info.run_id, "code/train.py", str(tmp_path))
    assert Path(path).read_text() == good.files["code/train.py"]
    failure = stored[bad.trial]
    assert failure.info.status == "FAILED"
    assert "val_bpb" not in failure.data.metrics
    assert failure.data.tags["judge"].startswith("self-reported")
    assert failure.data.tags["mlflow.note.content"].startswith("The metric is self-reported")


def test_tensorboard_has_each_trial_as_a_run(
    folder: StudyFolder, runs: list[Run], tmp_path: Path
) -> None:
    with sender("tensorboard", folder, tmp_path) as made:
        assert sorted(made.send()) == [run.trial for run in runs]
    home = tmp_path / "tensorboard" / f"night1-{facts(folder).id}"
    for run in runs:
        events = accumulated(home / f"trial-{run.trial:06d}")
        stored = {tag: events.Scalars(tag)[0] for tag in events.Tags()["scalars"]}
        assert {k: v.value for k, v in stored.items()} == {
            k: pytest.approx(v, rel=1e-6) for k, v in run.metrics.items()
        }
        assert all(each.step == run.experiment for each in stored.values())
        assert text(events, "code/train.py").split() == run.files["code/train.py"].split()
        assert f"- lineage: {run.tags['lineage']}" in text(events, "about")
        assert f"- warm: {run.settings['warm']}" in text(events, "about")
        start = hparams(events, "_hparams_/session_start_info")
        assert start.hparams["warm"].string_value == run.settings["warm"]
        values = {k: v.number_value for k, v in start.hparams.items() if k in run.constants}
        assert values == {k: pytest.approx(v) for k, v in run.constants.items()}
        end = hparams(events, "_hparams_/session_end_info")
        assert end.status == (2 if run.failed else 1)  # FAILURE, SUCCESS


def test_tensorboard_says_that_a_metric_is_self_reported(
    folder: StudyFolder, runs: list[Run], tmp_path: Path
) -> None:
    run = self_reported(runs[0])
    open_tracker("tensorboard", facts(folder), tmp_path, OFFLINE).add(run)
    (home,) = tmp_path.glob("night1-*")
    about = text(accumulated(home / f"trial-{run.trial:06d}"), "about")
    assert "The metric is self-reported" in about


def test_two_studies_of_one_name_stand_side_by_side_in_tensorboard(
    folder: StudyFolder, runs: list[Run], tmp_path: Path
) -> None:
    other = StudyFolder(make_study(tmp_path / "elsewhere" / folder.path.name, 3, seed=1))
    with sqlite3.connect(other.database) as db:  # all synthetic studies begin at the same moment
        db.execute("UPDATE session SET opened_at = opened_at + 1")
    with sender("tensorboard", folder, tmp_path) as made:
        first = len(list(made.send()))
    with sender("tensorboard", other, tmp_path) as made:
        second = len(list(made.send()))
    assert first == len(runs) > second > 0
    kept = [path.parent.parent.name for path in tmp_path.glob("tensorboard/*/trial-*/events*")]
    named = {each: kept.count(f"night1-{facts(each).id}") for each in (folder, other)}
    assert named == {folder: first, other: second}


# ---- once, and only what is decided ---------------------------------------------------------


def test_what_was_sent_is_not_sent_again(
    folder: StudyFolder, runs: list[Run], tmp_path: Path
) -> None:
    with sender("tensorboard", folder, tmp_path) as first:
        some = list(islice(first.send(), 4))
    with sender("tensorboard", folder, tmp_path) as second:
        rest = list(second.send())
        assert list(second.send()) == []
    assert Counter(some + rest) == Counter(run.trial for run in runs)


def test_a_trial_waits_until_its_experiment_is_decided(
    folder: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = 3
    undecided = True
    experiment_of = Reader.experiment

    def experiment(self: Reader, number: int) -> Experiment | None:
        found = experiment_of(self, number)
        if found is None or number != held or not undecided:
            return found
        return replace(found, decided_at=None)

    monkeypatch.setattr(Reader, "experiment", experiment)
    with sender("tensorboard", folder, tmp_path) as made:
        before = set(made.send())
        undecided = False
        after = set(made.send())
    with Reader(folder.database) as reader:
        late = {t.id for t in reader.trials(held) if t.outcome is not None}
        every = {t.id for t in reader.trials() if t.outcome is not None}
    assert after == late
    assert before == every - late


def test_only_what_may_be_new_is_looked_at_again(
    folder: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    trials_after = Reader.trials_after

    def counted(self: Reader, number: int, limit: int) -> list[TrialRecord]:
        asked.append(number)
        return trials_after(self, number, limit)

    monkeypatch.setattr(Reader, "trials_after", counted)
    with sender("tensorboard", folder, tmp_path) as made:
        told = list(made.send())
        list(made.send())
        asked.clear()
        list(made.send())
    assert asked == [max(told)]


def test_a_line_that_a_crash_cut_short_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "sent.txt"
    path.write_text("1\n2\n1")  # of 12
    with Ledger(path) as ledger:
        assert ledger.told == {1, 2}
        ledger.add(12)
    assert path.read_text() == "1\n2\n12\n"


def test_two_processes_do_not_send_the_same(folder: StudyFolder, tmp_path: Path) -> None:
    with (
        sender("tensorboard", folder, tmp_path),
        pytest.raises(UsageError, match="another process sends these"),
        sender("tensorboard", folder, tmp_path),
    ):
        pass


def test_export_sends_what_is_missing_and_says_so(
    folder: StudyFolder, runs: list[Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("export", "-s", folder.path, "--format", "tsv,tensorboard", "-o", tmp_path / "out")
    assert call(*command) == 0
    words = f"tensorboard: {len(runs)} sent, {len(runs)} in all; {tmp_path}/out/tensorboard"
    assert words in capsys.readouterr().out
    assert (tmp_path / "out" / "results.tsv").is_file()
    assert call(*command, "--json") == 0
    place = str(tmp_path / "out" / "tensorboard")
    expected = {"tensorboard": {"runs": 0, "in_all": len(runs), "place": place}}
    assert document(capsys)["sent"] == expected


# ---- what is wrong is said before anything starts --------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_a_missing_extra_names_the_command_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=rf"pip install 'autoresearch-ray\[{name}\]'"):
        check_trackers([name], {}, offline=True)


def test_wandb_needs_a_key_or_stays_on_this_machine(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    with pytest.raises(UsageError, match="WANDB_MODE=offline"):
        check_trackers(["wandb"], home, offline=False)
    check_trackers(["wandb"], home, offline=True)
    check_trackers(["wandb"], {**home, "WANDB_MODE": "offline"}, offline=False)
    check_trackers(["wandb"], {**home, "WANDB_API_KEY": "k"}, offline=False)
    (tmp_path / ".netrc").write_text("machine api.wandb.ai\n  login user\n  password k\n")
    check_trackers(["wandb"], home, offline=False)


def test_a_study_whose_tracker_can_not_be_used_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    study = tmp_path / "night1"
    assert call("run", study, "--config", "local", "--set", 'track.to=["wandb"]') == 2
    assert "WANDB_API_KEY" in capsys.readouterr().err
    assert not study.exists()


def test_a_password_in_the_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD"):
        load_config(None, ["track.uri=https://me:secret@mlflow.lab"], {})


def test_trackers_get_their_secrets_and_ray_does_not() -> None:
    own = {
        "WANDB_API_KEY": "w",
        "MLFLOW_TRACKING_PASSWORD": "m",
        "MLFLOW_TRACKING_URI": "http://me:pw@lab",
    }
    shared = {"PATH": "/bin", "WANDB_PROJECT": "p", "AWS_SECRET_ACCESS_KEY": "a"}
    environ = {**own, **shared, "OPENAI_API_KEY": "o"}
    assert opening.take_environment(["wandb"], environ) == {**own, **shared}
    assert environ == {**shared, "OPENAI_API_KEY": "o"}


# ---- reading back ---------------------------------------------------------------------------


def facts(folder: StudyFolder) -> Any:
    with Reader(folder.database) as reader:
        return Collector(folder, folder.load_config(), reader).facts


def cut(*_: object) -> None:
    raise OSError("power cut")


def accumulated(path: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path))
    events.Reload()
    return events


def text(events: Any, tag: str) -> str:
    return str(events.Tensors(tag)[0].tensor_proto.string_val[0].decode())


def hparams(events: Any, tag: str) -> Any:
    from tensorboard.plugins.hparams import metadata

    content = events.SummaryMetadata(tag).plugin_data.content
    return metadata._parse_plugin_data_as(content, tag.rpartition("/")[2])


def wandb_run(path: Path) -> tuple[str, dict[str, Any]]:
    """An offline run as `wandb sync` would send it: a log in LevelDB's format, of W&B's records."""
    from wandb.proto import wandb_internal_pb2

    found: dict[str, Any] = {"summary": {}, "config": {}, "files": {}}
    number = ""
    for data in leveldb_records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        match record.WhichOneof("record_type"):
            case "run":
                run = record.run
                number = run.run_id
                found |= {"group": run.run_group, "name": run.display_name, "notes": run.notes}
                found["tags"] = set(run.tags)
                found["config"] |= {each.key: each.value_json for each in run.config.update}
            case "summary":
                for each in record.summary.update:
                    key = each.key or "/".join(each.nested_key)
                    found["summary"][key] = each.value_json
            case "artifact":
                for entry in record.artifact.manifest.contents:
                    assert Path(entry.local_path).is_relative_to(path.parents[2])
                    found["files"][entry.path] = Path(entry.local_path).read_text()
            case "exit":
                found["exit"] = record.exit.exit_code
    return number, found


def leveldb_records(data: bytes) -> Iterator[bytes]:
    """The records of a log: blocks of 32 KiB, each record whole or in fragments."""
    at, started = WANDB_HEADER, b""
    while at + WANDB_HEADER <= len(data):
        left = LEVELDB_BLOCK - at % LEVELDB_BLOCK
        if left < WANDB_HEADER:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + WANDB_HEADER])
        body = data[at + WANDB_HEADER : at + WANDB_HEADER + length]
        at += WANDB_HEADER + length
        started = body if kind in (1, 2) else started + body
        if kind in (1, 4):  # whole, last
            yield started

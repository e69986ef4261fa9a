"""What a coding agent is offered of a study, and the bounds of what it is told."""

import importlib.util
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import Tool
from pydantic import BaseModel

from scheduler.cli.local import open_folder
from scheduler.cli.remote import open_url
from scheduler.cli.source import Source
from scheduler.mcp import quoting
from scheduler.mcp.access import Access
from scheduler.mcp.answers import Slot
from scheduler.mcp.questions import champion_answer, experiment_answer, file_answer, study_answer
from scheduler.mcp.server import make_server
from scheduler.study.folder import StudyFolder
from scheduler.study.records import SlotView
from scheduler.study.task_section import ExtraMetric, MetricSection, TaskSection
from tests.fixtures.served import TOKENS, served
from tests.fixtures.verbs import Output, call
from tests.synthetic import make_study

STEERING = {"pause_study", "unpause_study", "stop_study"}
WRITING = STEERING | {"submit_edit", "queue_instruction", "withdraw_instruction"}
WRITING |= {"cancel_experiment"}


def offered(*, writing: bool) -> dict[str, Tool]:
    async def ask() -> list[Tool]:
        async with Client(make_server(Access("nowhere"), writing=writing)) as client:
            return (await client.list_tools()).tools

    return {tool.name: tool for tool in anyio.run(ask)}


def test_tools_say_whether_they_change_or_end_something() -> None:
    tools = offered(writing=True)
    hints = {name: tool.annotations for name, tool in tools.items() if tool.annotations}
    assert hints.keys() == tools.keys()
    assert {name for name, hint in hints.items() if not hint.read_only_hint} == WRITING
    ending = {name for name, hint in hints.items() if hint.destructive_hint}
    assert ending == {"withdraw_instruction", "cancel_experiment", "stop_study"}


def test_every_answer_has_a_schema_and_every_tool_a_description() -> None:
    for tool in offered(writing=True).values():
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert tool.description


def test_read_only_leaves_out_every_tool_that_writes() -> None:
    assert offered(writing=True).keys() - offered(writing=False).keys() == WRITING


def test_foreign_text_is_cut_cleaned_and_can_not_close_its_fence() -> None:
    text = "first\n" + "x" * 100_000 + "\n`````\n\x1b[31mlast"
    log = quoting.quoted_log(text, 7)
    assert len(log) < quoting.LONGEST_LOG + 200
    assert "first" in log
    assert "characters left out" in log
    assert "\x1b" not in log
    assert log.endswith("\nlast\n``````")
    assert quoting.quoted_log("a\nb\nc", 7, 2).endswith("```\nb\nc\n```")


def test_what_is_no_number_in_json_is_null() -> None:
    slot = Slot.of(SlotView(0, trial=1, experiment=2, fraction=math.nan, loss=math.inf))
    assert isinstance(slot, BaseModel)
    assert slot.model_dump()["fraction"] is None
    assert slot.model_dump()["loss"] is None
    assert Slot.of(SlotView(0)) is None


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study of a repository of one's own, with figures and limits beside its metric."""
    folder = StudyFolder(make_study(tmp_path_factory.mktemp("own") / "own", 4, seed=3))
    task = TaskSection(
        source="/repo",
        command="python train.py",
        metric=MetricSection(name="loss", pattern="loss (.*)"),
        metrics={
            "mem_gb": ExtraMetric(file="figures.json", key="mem.peak", max=3.0),
            "accuracy": ExtraMetric(pattern="acc (.*)"),
            "memory_gb": ExtraMetric(max=40.0, min=0.5),
        },
    )
    folder.save_config(folder.load_config().model_copy(update={"task": task}))
    with sqlite3.connect(folder.database) as db:
        db.execute("""UPDATE outcome SET metrics = '{"mem_gb": 2.5, "accuracy": 0.9}'""")
    return folder


@contextmanager
def asked(folder: StudyFolder, where: str) -> Iterator[Source]:
    """The study, in its folder or behind a URL."""
    if where == "here":
        with open_folder(folder) as source:
            yield source
        return
    with (
        served(folder.path, reading=True) as http,
        open_url(str(http.base_url), TOKENS.read) as source,
    ):
        yield source


@pytest.mark.parametrize("where", ["here", "there"])
def test_an_agent_sees_how_a_task_is_measured_its_limits_and_its_figures(
    limited: StudyFolder, where: str
) -> None:
    with asked(limited, where) as source:
        study, champion = study_answer(source), champion_answer(source)
        one = experiment_answer(source, champion.experiment.id, False, 0)
    assert study.measured == "what the last line of its output that matches 'loss (.*)' says"
    assert study.limits == champion.limits
    limits = {each.name: (each.least, each.most) for each in study.limits}
    assert limits == {"mem_gb": (None, 3.0), "accuracy": (None, None), "memory_gb": (0.5, 40.0)}
    words = {each.name: each.where for each in study.limits}
    assert words["mem_gb"] == "read from the key mem.peak of figures.json, which it leaves"
    assert "10^9 bytes" in words["memory_gb"]
    assert champion.figures == one.trials[0].figures
    assert champion.figures["mem_gb"] == 2.5
    assert champion.figures["accuracy"] == 0.9
    assert {"memory_gb", "seconds"} <= champion.figures.keys()


def test_of_the_bundled_task_an_agent_hears_of_its_referee(tmp_path: Path) -> None:
    study = Access(str(make_study(tmp_path / "night", experiments=1, seed=1)))
    answer = study.ask(study_answer)
    assert "referee" in answer.measured
    assert answer.limits == ()


def test_code_that_is_too_long_is_left_out_whole_and_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Access(str(make_study(tmp_path / "night", experiments=3, seed=1)))
    whole = study.ask(champion_answer)
    code = whole.files["train.py"]
    assert whole.left_out == ()
    monkeypatch.setattr("scheduler.mcp.questions.LONGEST_CODE", 60)
    cut = study.ask(champion_answer)
    assert cut.files == {}
    assert cut.left_out == ("train.py",)
    text, line = "", 1
    while True:
        ask = partial(file_answer, path="train.py", experiment=None, first_line=line, lines=99)
        part = study.ask(ask)
        assert len(part.text) <= 60
        text, line = text + part.text, line + part.text.count("\n")
        if line > part.lines:
            break
        assert not part.complete
    assert text == code


def test_without_the_extra_the_verb_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name == "mcp" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    assert call("mcp") == 2
    assert "pip install" in capsys.readouterr().err


def test_a_study_is_here_or_there(capsys: Output) -> None:
    assert call("mcp", "-s", "night", "--url", "http://127.0.0.1:1") == 2
    assert "choose one" in capsys.readouterr().err

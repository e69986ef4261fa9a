"""What several resources answer with, and what their paths take."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import HTTPException, Query, Response
from fastapi import Path as PathParameter
from pydantic import BeforeValidator, Field, TypeAdapter

from scheduler.api.problems import described
from scheduler.rules.states import ExperimentState
from scheduler.study import listing
from scheduler.study.reader import Reader
from scheduler.study.records import Experiment, InstructionRecord, TrialRecord

LONGEST_PAGE = 500
LARGEST_ID = 2**53 - 1  # the largest whole number that every reader of JSON takes for one

Id = Annotated[int, PathParameter(ge=0, le=LARGEST_ID)]
Limit = Annotated[int, Query(ge=1, le=LONGEST_PAGE, description="Records on a page.")]
WHOLE = BeforeValidator(lambda v: int(v) if isinstance(v, float) and v.is_integer() else v)
"""Goes after the bounds of a whole number in a body: to JSON, 3.0 is one too."""

Number = Annotated[int, Field(ge=0, le=LARGEST_ID), WHOLE]  # of an experiment or an instruction
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: described("There is no such thing")}


@dataclass(frozen=True)
class Waiting:
    """A letter that the study has not taken up yet: GET /letters/{key} says what became of it."""

    key: str
    kind: str
    detail: str


@dataclass(frozen=True)
class ExperimentAnswer:
    """One experiment with its trials and its files."""

    experiment: Experiment
    trials: tuple[TrialRecord, ...]
    files: dict[str, str]


@dataclass(frozen=True)
class Result:
    """What an instruction led to, in short."""

    id: int
    title: str
    state: ExperimentState
    metric: float | None


@dataclass(frozen=True)
class InstructionAnswer:
    """What a person asked for, and every experiment that names it."""

    instruction: InstructionRecord
    results: tuple[Result, ...]


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}  # making one costs more than using it


def as_json(value: Any) -> Response:
    """A record as an answer: FastAPI would check first that it is what it says it is."""
    kind = type(value)
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return Response(_ADAPTERS[kind].dump_json(value), media_type="application/json")


def found_experiment(reader: Reader, number: int) -> Experiment:
    """The experiment, or a 404."""
    experiment = reader.experiment(number)
    if experiment is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no experiment {number}")
    return experiment


def answer_experiment(reader: Reader, number: int) -> ExperimentAnswer:
    """The experiment with what belongs to it, or a 404."""
    one = found_experiment(reader, number)
    return ExperimentAnswer(one, tuple(reader.trials(number)), reader.files(number))


def answer_instruction(reader: Reader, number: int) -> InstructionAnswer:
    """The instruction with what came of it, or a 404."""
    record = listing.instruction(reader, number)
    if record is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no instruction {number}")
    return with_results(reader, record)


def with_results(reader: Reader, record: InstructionRecord) -> InstructionAnswer:
    """An instruction with what came of it."""
    named = listing.by_numbers(reader, record.experiments)
    results = tuple(Result(e.id, e.title, e.state, e.metric) for e in named.values())
    return InstructionAnswer(record, results)

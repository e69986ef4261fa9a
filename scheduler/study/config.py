"""The configuration of a study: every key, what it is for, and why its default is what it is.

In: plain values, already merged. Out: one frozen Config, and the parts of it that the rules and
the workers take. Files, environment variables and flags are read in `config_file.py`. A key
stands here only if something uses it: a key that does nothing would be a silent lie.

The models of the agent get their keys (`agent.models`, limits of money and tokens) together with
the code that calls them, in AgentSection.
"""

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from scheduler.rules.state import Policy
from workers import Budget, Resources

MEMORY_SHARE = 0.9
"""Of a node's memory that its slots may use together; the rest is for Ray and the system."""

Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
PositiveNumber = Annotated[float, Field(gt=0)]


def key_error(key: str, message: str) -> PydanticCustomError:
    """A problem with one key of the section that is being checked, in plain English."""
    return PydanticCustomError("key", "{message}", {"key": key, "message": message})


class Section(BaseModel):
    """A group of keys. Unknown keys are refused, and so is text in place of a number."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False
    )


class StudySection(Section):
    """Where the study lies."""

    path: str | None = Field(
        default=None,
        description="Folder of the study; a plain word lies under studies/. Null: the folder "
        "studies/<name of the preset>, so that the first run needs no decision.",
    )
    notes: str = Field(
        default="", description="A person's words about this study. Nothing reads them but people."
    )


class BudgetSection(Section):
    """How long each phase of a trial may last. Either `seconds` or `steps` is set, never both."""

    seconds: PositiveNumber | None = Field(
        default=300.0,
        description="Seconds of training, from the first real batch. Five minutes give twelve "
        "experiments an hour and rank most edits as a longer training would.",
    )
    steps: Count | None = Field(
        default=None,
        description="Optimizer steps instead of seconds: for tests and exact repeats. Null, "
        "because a budget of steps makes a slow model look as good as a fast one.",
    )
    startup_seconds: PositiveNumber = Field(
        default=120.0,
        description="Limit for imports, warm-up and compilation. Compiling a changed model takes "
        "tens of seconds; two minutes leave room for a slow disk.",
    )
    eval_seconds: PositiveNumber = Field(
        default=120.0,
        description="Limit for scoring on the validation split. It takes seconds; the rest is "
        "room for a larger model.",
    )

    @model_validator(mode="before")
    @classmethod
    def steps_replace_the_default_seconds(cls, values: Any) -> Any:
        """Where only `steps` is given, the default of `seconds` does not count."""
        if isinstance(values, Mapping) and values.get("steps") is not None:
            return {"seconds": None, **values}
        return values

    @model_validator(mode="after")
    def has_one_measure(self) -> Self:
        """Refuse a budget that is ambiguous or endless."""
        if self.seconds is not None and self.steps is not None:
            raise key_error(
                "steps", "budget.seconds and budget.steps are both set: leave one of them out"
            )
        if self.seconds is None and self.steps is None:
            raise key_error("seconds", "neither budget.seconds nor budget.steps is set")
        return self


class MetricSection(Section):
    """What is measured at the end of a trial."""

    name: Annotated[str, Field(min_length=1)] = Field(
        default="val_bpb",
        description="Name of the metric in tables and plots. The bundled task measures bits per "
        "byte on the validation split, which compares across tokenizers.",
    )
    goal: Literal["minimize", "maximize"] = Field(
        default="minimize", description="Whether a lower or a higher value is better."
    )


class TaskSection(Section):
    """Which code is edited, and how it is measured."""

    source: Annotated[str, Field(min_length=1)] = Field(
        default="bundled",
        description="Folder of the task, or 'bundled' for the one that ships with the package.",
    )
    editable: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=("train.py",),
        description="Files that the agent may edit, relative to the task's folder. One file keeps "
        "every difference readable.",
    )
    constants: Mapping[str, int | float] = Field(
        default_factory=dict,
        description="Values put in place of the constants at the top of the editable files, for "
        "the baseline. Empty: the files as they are.",
    )
    metric: MetricSection = MetricSection()

    @model_validator(mode="after")
    def editable_files_lie_in_the_folder(self) -> Self:
        """Refuse names that leave the task's folder or come twice."""
        for name in self.editable:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or str(path) != name or name == ".":
                raise key_error("editable", f"{name!r} is not a file name inside the task's folder")
        if len(set(self.editable)) < len(self.editable):
            raise key_error("editable", "a file is named twice")
        return self


class DataSection(Section):
    """The text that models train on and are measured on."""

    source: Literal["stdlib", "path"] = Field(
        default="stdlib",
        description="stdlib: the source of Python's standard library, real text that every "
        "machine has, so that the first run needs no download. path: files of one's own.",
    )
    paths: tuple[str, ...] = Field(
        default=(),
        description="Files and globs, where data.source is path; relative ones start in the "
        "current folder.",
    )
    tokenizer: Literal["bytes"] = Field(
        default="bytes",
        description="How text becomes tokens. Bytes need no training and hide no cost.",
    )
    sequence_length: Count = Field(
        default=2048, description="Tokens in one training sequence. 2048 fills a large GPU."
    )
    validation_tokens: Count = Field(
        default=131_072,
        description="Tokens of the validation split that are scored: more take longer and measure "
        "more finely. The standard library's split holds about this many.",
    )
    eval_batch_tokens: Count = Field(
        default=65_536,
        description="Tokens scored at a time: a limit on memory, without effect on the metric.",
    )

    @model_validator(mode="after")
    def keys_fit_together(self) -> Self:
        """Refuse a source without its files, and windows longer than what they are cut from."""
        if self.source == "path" and not self.paths:
            raise key_error("paths", "needed where data.source is path: name files or globs")
        if self.source != "path" and self.paths:
            raise key_error("paths", f"not used where data.source is {self.source}")
        for key in ("validation_tokens", "eval_batch_tokens"):
            if getattr(self, key) < self.sequence_length:
                raise key_error(
                    key, f"must be at least data.sequence_length, which is {self.sequence_length}"
                )
        return self


class AgentSection(Section):
    """How proposals are asked for."""

    proposals_per_call: Count = Field(
        default=4,
        description="Proposals wanted from one call. A few share the cost of one briefing; many "
        "would be stale before they run.",
    )


class WorkersSection(Section):
    """What a slot is made of."""

    slots: Count | Literal["auto"] = Field(
        default="auto",
        description="Trials at a time. auto: as many as the machine or the cluster has room for.",
    )
    gpus_per_trial: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="GPUs of one trial. One: nothing else disturbs its clock."
    )
    cpus_per_trial: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="CPU cores that one trial claims, and threads that it may use."
    )
    accelerator: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="A Ray accelerator type such as H100, where a cluster has several: trials on "
        "different devices don't compare. Null: any.",
    )
    memory_gb: PositiveNumber | Literal["auto"] | None = Field(
        default="auto",
        description="Limit of main memory for one trial, in GB (10^9 bytes). auto: 90 % of the "
        "node's memory shared by its slots, so that one trial can't end the others. Null: none.",
    )
    sandbox: Literal["auto", "strict", "basic"] = Field(
        default="auto",
        description="How well a trial is closed in. strict: bubblewrap, or the study refuses to "
        "start. basic: its processes are ended whole, and little is hidden from them. auto: the "
        "best that each node allows; every trial records which.",
    )

    @model_validator(mode="after")
    def ray_can_grant_it(self) -> Self:
        """Refuse what Ray never grants, and slots that claim nothing and so can't be counted."""
        for key in ("gpus_per_trial", "cpus_per_trial"):
            value = getattr(self, key)
            if value > 1 and not math.isclose(value, round(value)):
                raise key_error(key, f"must be a whole number where it is above 1, not {value:g}")
        if not self.gpus_per_trial and not self.cpus_per_trial:
            raise key_error(
                "cpus_per_trial", "must be above 0 where workers.gpus_per_trial is 0 too"
            )
        return self


class KeepSection(Section):
    """What it takes to become champion."""

    baseline_repeats: Count = Field(
        default=1,
        description="Trials of the baseline, each with its own seed; the baseline's metric is "
        "their mean. One, because nothing else waits so long for so little.",
    )


class StopSection(Section):
    """When the study stops or pauses by itself. All of these can be changed on resuming."""

    max_experiments: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="Experiments beside the baseline. Null: until something else."
    )
    max_hours: PositiveNumber | None = Field(
        default=None, description="Hours of open time, all sessions together. Null: no limit."
    )
    plateau: Count | None = Field(
        default=None,
        description="Experiments in a row without a new champion. Null: no limit, because wins "
        "become rare long before they end.",
    )
    failures_in_row: Count = Field(
        default=8,
        description="Failed experiments in a row after which the study pauses: a broken task "
        "should not burn a night.",
    )


class ServeSection(Section):
    """Read-only HTTP while the study runs."""

    port: Port | None = Field(
        default=None, description="Port to serve on; 0: any free one. Null: nothing is served."
    )
    host: Annotated[str, Field(min_length=1)] = Field(
        default="127.0.0.1",
        description="Address to serve on. Loopback: nothing is open to a network by default.",
    )


class Config(Section):
    """The configuration of one study, complete and checked."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=0,
        description="Decides every random choice of the study; the seeds of its trials follow "
        "from it.",
    )
    study: StudySection = StudySection()
    budget: BudgetSection = BudgetSection()
    task: TaskSection = TaskSection()
    data: DataSection = DataSection()
    agent: AgentSection = AgentSection()
    workers: WorkersSection = WorkersSection()
    keep: KeepSection = KeepSection()
    stop: StopSection = StopSection()
    serve: ServeSection = ServeSection()

    def policy(self) -> Policy:
        """The part that decides, for the rules."""
        hours = self.stop.max_hours
        return Policy(
            minimize=self.task.metric.goal == "minimize",
            seed=self.seed,
            baseline_repeats=self.keep.baseline_repeats,
            max_experiments=self.stop.max_experiments,
            max_seconds=None if hours is None else hours * 3600.0,
            plateau=self.stop.plateau,
            failures_in_row=self.stop.failures_in_row,
            proposals_per_call=self.agent.proposals_per_call,
        )

    def trial_budget(self) -> Budget:
        """The limits of each phase of a trial, for the workers."""
        return Budget(
            seconds=self.budget.seconds,
            steps=self.budget.steps,
            startup_seconds=self.budget.startup_seconds,
            eval_seconds=self.budget.eval_seconds,
        )

    def trial_resources(self, node_memory_bytes: int, node_slots: int) -> Resources:
        """What a slot claims, on a node with so much main memory and so many slots."""
        memory = self.workers.memory_gb
        limit: int | None = None
        if memory == "auto":
            limit = int(node_memory_bytes * MEMORY_SHARE / max(1, node_slots))
        elif memory is not None:
            limit = int(memory * 1e9)
        return Resources(
            gpus=self.workers.gpus_per_trial,
            cpus=self.workers.cpus_per_trial,
            accelerator=self.workers.accelerator,
            memory_bytes=limit,
        )

    def trial_settings(self) -> dict[str, int]:
        """What the harness of the task is told, beside the budget and the seed."""
        patience = max(2, round(0.02 * (self.budget.seconds or 0.0)))
        return {
            "sequence_length": self.data.sequence_length,
            "validation_tokens": self.data.validation_tokens,
            "eval_batch_tokens": self.data.eval_batch_tokens,
            "patience_seconds": patience,
            # Where steps are the budget, seconds buy nothing.
            "first_answer_seconds": 2 * patience if self.budget.seconds else 3600,
        }

    def budget_words(self) -> str:
        """The budget for a person and for the agent, such as `300 s` or `50 steps`."""
        if self.budget.seconds is not None:
            return f"{self.budget.seconds:g} s"
        return f"{self.budget.steps} steps"

    def anchored(self, folder: Path) -> "Config":
        """The same with absolute paths of data and task; relative ones start in `folder`.

        A study resumed from another folder then still finds the same files.
        """
        paths = tuple(str(folder / Path(p).expanduser()) for p in self.data.paths)
        source = self.task.source
        if source != "bundled":
            source = str(folder / Path(source).expanduser())
        return self.model_copy(
            update={
                "data": self.data.model_copy(update={"paths": paths}),
                "task": self.task.model_copy(update={"source": source}),
            }
        )

"""The keys of a study's configuration: what each is for, and why its default is what it is.

A key stands here only if something uses it: a key that does nothing would be a silent lie. The
sections are put together in `config.py`; that of the task is in `task_section.py`.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from scheduler.rules.evidence import Criteria

Port = Annotated[int, Field(ge=0, le=65535)]
Count = Annotated[int, Field(ge=1)]
PositiveNumber = Annotated[float, Field(gt=0)]


def key_error(key: str, message: str, because: str = "") -> PydanticCustomError:
    """A problem with one key of the section that is being checked, in plain English.

    `because` is the key of the same section whose value makes it one, where there is such a key.
    """
    context = {"key": key, "message": message, "because": because}
    return PydanticCustomError("key", "{message}", context)


class Section(BaseModel):
    """A group of keys. Unknown keys are refused, and so is text in place of a number."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True
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


class WorkersSection(Section):
    """What a slot is made of."""

    slots: Count | Literal["auto"] = Field(
        default="auto",
        description="Trials at a time. auto: as many as the machine or the cluster has room for.",
    )
    priority: int = Field(
        default=0,
        description="Which of several studies on one cluster goes first; higher does. Those of "
        "equal priority share it evenly. A trial that runs is never cut short for another study.",
    )
    gpus_per_trial: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="GPUs of one trial. One: nothing else disturbs its clock."
    )
    cpus_per_trial: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        default=1.0,
        description="CPU cores that one trial claims, and threads that it may use: to compile, "
        "and to be scored. auto: where the study starts, a GPU's share of its node's cores, the "
        "least of all nodes; of more than 4 one is left to all else, and more than 16 are not "
        "taken. A number where nodes with fewer cores may join.",
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
    compile_cache: bool = Field(
        default=True,
        description="Whether what the champion's code compiled with torch.compile is given, as a "
        "private copy, to the first trial of each later experiment that runs on a node that has "
        "it. Taken before training begins, and only of a trial that began without one. Repeats, "
        "which decide, begin without, so only where keep.most_seeds is above 0. It is code of the "
        "champion's that runs in the sandbox of its challengers. At the strict level only.",
    )
    prestart: bool = Field(
        default=True,
        description="Whether a slot starts the process of its next trial while the last one is "
        "being scored, in a sandbox of its own: its imports then cost no time. It holds some 250 "
        "MB beside the trial until it is used. At the strict level only.",
    )

    @model_validator(mode="after")
    def ray_can_grant_it(self) -> Self:
        """Refuse what Ray never grants, and slots that claim nothing and so can't be counted."""
        for key in ("gpus_per_trial", "cpus_per_trial"):
            value = getattr(self, key)
            if value != "auto" and value > 1 and not math.isclose(value, round(value)):
                raise key_error(key, f"must be a whole number where it is above 1, not {value:g}")
        if not self.gpus_per_trial and not self.cpus_per_trial:
            raise key_error(
                "cpus_per_trial", "must be above 0 where workers.gpus_per_trial is 0 too"
            )
        return self


CRITERIA = Criteria()
"""The defaults, as tuned by `benchmarks/keep.py`."""


class KeepSection(Section):
    """What it takes to become champion."""

    baseline_repeats: Count = Field(
        default=1,
        description="Trials of the baseline, each with its own seed, before anything is compared "
        "with it. One, because nothing else waits so long for so little; further seeds run beside "
        "the first experiments.",
    )
    most_seeds: Annotated[int, Field(ge=0, le=100)] = Field(
        default=CRITERIA.most_seeds,
        description="Trials with further seeds, at most, that confirm an experiment whose first "
        "trial beat the champion. 0: that one decides, by a plain comparison, which luck can win.",
    )
    champion_seeds: Annotated[int, Field(ge=1, le=100)] = Field(
        default=CRITERIA.champion_seeds,
        description="Further seeds that a new champion is run with, the baseline too: every later "
        "comparison profits.",
    )
    false_keep_rate: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        default=CRITERIA.false_keep_rate,
        description="Chance at which an experiment that is no better than the champion may be kept "
        "all the same, if confirmed.",
    )
    smallest_effect: Annotated[float, Field(ge=0)] = Field(
        default=CRITERIA.smallest_effect,
        description="Smallest improvement of interest, as a part of the metric; what is smaller "
        "may be missed.",
    )
    gate: Annotated[float, Field(ge=0)] = Field(
        default=CRITERIA.gate,
        description="By how many standard deviations of the noise a first trial has to beat the "
        "champion to be confirmed.",
    )
    simplicity_margin: Annotated[float, Field(ge=0)] = Field(
        default=CRITERIA.simplicity_margin,
        description="Smaller code is kept if it is shown to be worse by less than so many standard "
        "deviations of the noise. 0: it has to be better, as all else.",
    )
    audit: bool = Field(
        default=True,
        description="Whether what may become champion is also scored on the audit split, text that "
        "ranks nothing: does the gain live only on the validation split? Costs the seconds of one "
        "more scoring, for first trials that beat the champion and for repeats; no training.",
    )
    long_budget: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="Longer budget for the leaders, as a factor of budget.seconds or budget.steps, "
        "such as 3, on slots that no proposal can fill and at the end: does their order hold? It "
        "costs that many trials for each. 0: none.",
    )
    long_leaders: Annotated[int, Field(ge=1, le=100)] = Field(
        default=4,
        description="How many of the newest champions are run with the longer budget, once each, "
        "beside the baseline.",
    )

    ablate: bool = Field(
        default=False,
        description="Whether each kept edit is taken out of the champion in turn, to show what it "
        "contributes: on slots that no proposal can fill and before the study stops for "
        "stop.max_experiments or want of ideas. Costs about champion_seeds trials for each edit.",
    )

    reference: Annotated[str, Field(min_length=1)] = Field(
        default="auto",
        description="On a cluster of several accelerator types, the one on which things are kept: "
        "any may try an experiment, and what wins there is measured again on this one. A Ray "
        "accelerator type, for which is waited where it is gone; or auto: the one with the most "
        "slots when the study begins, and another once that has been gone for half an hour.",
    )

    @model_validator(mode="after")
    def keys_fit(self) -> Self:
        """Refuse what has no meaning."""
        if 0 < self.long_budget <= 1:
            raise key_error("long_budget", "must be above 1, or 0 for none")
        if self.ablate and self.most_seeds == 0:
            raise key_error("ablate", "shows nothing by the plain comparison (most_seeds: 0)")
        return self


class StopSection(Section):
    """When the study stops or pauses by itself. All of these can be changed on resuming."""

    max_experiments: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="Experiments beside the baseline, not counted those that carry overtaken edits "
        "over or take kept ones out. Null: until something else. Lowered below what a study has: "
        "what has not begun waits, and nothing is merged.",
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
    when_paused: Literal["wait", "end"] = Field(
        default="wait",
        description="What a study does that paused by itself: wait for a person to unpause or stop "
        "it, or end with exit code 1, for scripts. A failed baseline always ends it.",
    )


class ServeSection(Section):
    """HTTP while the study runs: REST and the dashboard."""

    port: Port | Literal["auto"] | None = Field(
        default="auto",
        description="Port to serve on. auto: 8700, or one of the next where others have that; 0: "
        "any free one. Null: nothing is served, as with --no-serve.",
    )
    host: Annotated[str, Field(min_length=1)] = Field(
        default="127.0.0.1",
        description="Address to serve on. Loopback: reach it from elsewhere through ssh -L. Any "
        "other opens it to a network, to whoever has the token, and in the clear.",
    )
    allowed_hosts: tuple[Annotated[str, Field(pattern=r"^(\*\.)?[A-Za-z0-9.:-]+$")], ...] = Field(
        default=(),
        description="Names beside its own under which it may be asked for, as of a proxy in front "
        "of it: study.lab.example, or *.lab.example.",
    )


class NotifySection(Section):
    """Who hears of the study while nobody looks."""

    webhook: str | None = Field(
        default=None,
        repr=False,  # whoever knows it can write there: it is not to stand in a traceback
        description="URL that gets a JSON POST on a new champion, on a pause and at the end of a "
        "session; chat services show its field text. Null: nobody, as nothing leaves by default.",
    )

    @model_validator(mode="after")
    def can_be_posted_to(self) -> Self:
        """Refuse what is no address, and don't repeat it: it may hold a secret."""
        if self.webhook is None:
            return self
        try:
            parts = urlsplit(self.webhook)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port  # raises where it is no number
        except ValueError:
            is_address = False
        if not is_address or not self.webhook.isascii() or len(self.webhook.split()) != 1:
            raise key_error("webhook", "must be a URL such as https://chat.example.org/hooks/1")
        return self


class TrackSection(Section):
    """Trackers that get each trial while the study runs. All of these can be changed on resuming.

    None by default: nothing leaves this machine that nobody asked for.
    """

    to: tuple[Literal["wandb", "mlflow", "tensorboard"], ...] = Field(
        default=(),
        description="Which: wandb, mlflow, tensorboard. Each is an extra of its own, as in "
        "pip install 'autoresearch-ray[wandb]'. Each trial goes there "
        "with its code, difference and log.",
    )
    project: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="W&B project, or name of the MLflow experiment. Null: WANDB_PROJECT or "
        "'autoresearch'; MLFLOW_EXPERIMENT_NAME or the study's name.",
    )
    entity: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="W&B team or user. Null: WANDB_ENTITY, or the account's own."
    )
    uri: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="MLflow server or database. Null: MLFLOW_TRACKING_URI, else a database in the "
        "study's folder. A password belongs in MLFLOW_TRACKING_PASSWORD.",
    )

    @field_validator("to")
    @classmethod
    def each_tracker_once(cls, to: tuple[str, ...]) -> tuple[str, ...]:
        """A tracker that is named twice is one."""
        return tuple(dict.fromkeys(to))

    @model_validator(mode="after")
    def holds_no_password(self) -> Self:
        """Refuse a password: the configuration is kept, shown and exported."""
        if self.uri is not None and re.search(r"://[^/@]*:[^/@]*@", self.uri):
            raise key_error("uri", "must hold no password; set MLFLOW_TRACKING_PASSWORD instead")
        return self

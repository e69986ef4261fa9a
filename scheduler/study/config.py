"""The configuration of a study as a whole, and the parts of it that others take.

In: plain values, already merged. Out: one frozen Config, and the parts of it that the rules, the
workers and the agent take. The keys are described in `sections.py`; files, environment variables
and flags are read in `config_file.py`.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from agent.ledger import Limits
from scheduler.rules.evidence import Criteria
from scheduler.rules.policy import Policy
from scheduler.rules.states import TrialKind
from scheduler.study.agent_section import AgentSection
from scheduler.study.data_section import DataSection
from scheduler.study.patterns import absolute_pattern
from scheduler.study.sections import (
    BudgetSection,
    KeepSection,
    NotifySection,
    Section,
    ServeSection,
    StopSection,
    StudySection,
    TrackSection,
    WorkersSection,
    key_error,
)
from scheduler.study.task_section import BUNDLED, TaskSection
from workers import Budget, Command, Resources, Setup
from workers.command import command_line

MEMORY_SHARE = 0.9
"""Of a node's memory that its slots may use together; the rest is for Ray and the system."""
SHARED_CORES, MOST_CORES = 4, 16
"""Of more cores than the first, a slot leaves one to Ray, the spares and the system, and it takes
no more than the second: torch's compiler starts a process on each of them."""


class Config(Section):
    """The configuration of one study, complete and checked."""

    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(
        default=0,
        description="Decides every random choice of the study; the seeds of its trials follow "
        "from it.",
    )
    study: StudySection = Field(default_factory=StudySection)
    budget: BudgetSection = Field(default_factory=BudgetSection)
    task: TaskSection = Field(default_factory=TaskSection)
    data: DataSection = Field(default_factory=DataSection)
    agent: AgentSection = Field(default_factory=AgentSection)
    workers: WorkersSection = Field(default_factory=WorkersSection)
    keep: KeepSection = Field(default_factory=KeepSection)
    stop: StopSection = Field(default_factory=StopSection)
    serve: ServeSection = Field(default_factory=ServeSection)
    notify: NotifySection = Field(default_factory=NotifySection)
    track: TrackSection = Field(default_factory=TrackSection)

    @model_validator(mode="after")
    def sections_fit_together(self) -> Self:
        """Refuse what one section alone can't know to be wrong."""
        task = self.task
        if task.command is None:
            return self
        if self.keep.long_budget and not task.told and task.budget == "script":
            raise key_error(
                "keep.long_budget",
                "the script is not told its budget: put {seconds} into task.command or task.env",
            )
        if task.budget == "enforced" and self.budget.seconds is None:
            raise key_error("budget.steps", "task.budget: enforced needs budget.seconds instead")
        least = self.trial_budget().train_limit_seconds
        if task.budget == "enforced" and task.deadline is not None and task.deadline < least:
            raise key_error(
                "task.deadline",
                f"{task.deadline:g} s are over before the enforced budget of "
                f"{self.budget.seconds:g} s and its grace are: set {least:g} or more",
            )
        return self

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
            calls_in_flight=self.agent.calls_in_flight,
            fill=self.agent.fill and bool(self.agent.models),
            mends=self.agent.max_mends,
            stop_when_spent=self.agent.when_spent == "stop",
            criteria=self.criteria(),
            wait_when_paused=self.stop.when_paused == "wait",
            audit=self.keep.audit,
            ablate=self.keep.ablate,
            long_leaders=self.keep.long_leaders if self.keep.long_budget else 0,
            reference=None if self.keep.reference == "auto" else self.keep.reference,
            baseline_first=self.task.self_reported,
        )

    def criteria(self) -> Criteria | None:
        """What it takes to be kept; None: a plain comparison."""
        keep = self.keep
        if keep.most_seeds == 0:
            return None
        return Criteria(
            false_keep_rate=keep.false_keep_rate,
            smallest_effect=keep.smallest_effect,
            most_seeds=keep.most_seeds,
            champion_seeds=keep.champion_seeds,
            simplicity_margin=keep.simplicity_margin,
            gate=keep.gate,
        )

    def call_limits(self) -> Limits:
        """What the calls to models may use, for the ledger."""
        agent = self.agent
        return Limits(agent.max_dollars, agent.max_tokens, agent.max_calls)

    def trial_budget(self, kind: TrialKind = TrialKind.USUAL) -> Budget:
        """The limits of each phase of a trial, for the workers."""
        usual = Budget(
            seconds=self.budget.seconds,
            steps=self.budget.steps,
            startup_seconds=self.budget.startup_seconds,
            eval_seconds=self.budget.eval_seconds,
        )
        return usual if kind is TrialKind.USUAL else usual.times(self.keep.long_budget)

    def trial_resources(
        self, node_memory_bytes: int, node_slots: int, node_cores: float = 1.0
    ) -> Resources:
        """What a slot claims, on a node with so much main memory, so many slots and cores."""
        workers, slots = self.workers, max(1, node_slots)
        memory = None if workers.memory_gb is None else node_memory_bytes * MEMORY_SHARE / slots
        if isinstance(workers.memory_gb, float):
            memory = workers.memory_gb * 1e9
        cores = node_cores // slots if workers.gpus_per_trial else 1.0
        cores = max(1.0, min(cores - (cores > SHARED_CORES), MOST_CORES))
        if isinstance(workers.cpus_per_trial, float):
            cores = workers.cpus_per_trial
        return Resources(
            gpus=workers.gpus_per_trial,
            cpus=cores,
            accelerator=workers.accelerator,
            memory_bytes=None if memory is None else int(memory),
        )

    def trial_command(
        self, kind: TrialKind = TrialKind.USUAL, *, may_change: tuple[str, ...] = ()
    ) -> Command | None:
        """How a repository of one's own is run, for the workers; None for the bundled task.

        `may_change`: the fixed files that a run may alter, as the repository's listing says.
        """
        task = self.task
        if task.command is None:
            return None
        setup = None
        if task.setup is not None:
            setup = Setup(command_line(task.setup), task.network.setup, task.setup_seconds)
        return Command(
            argv=command_line(task.command),
            metric=task.metric.reading,
            environment=dict(task.env),
            metrics=task.readings(),
            may_change=may_change,
            mounts=task.mounted(),
            network=task.network.trials,
            enforced=task.budget == "enforced",
            deadline_seconds=self.deadline_seconds(kind),
            artifacts=task.artifacts,
            artifact_bytes=int(task.artifacts_mb * 1e6),
            setup=setup,
        )

    def deadline_seconds(self, kind: TrialKind = TrialKind.USUAL) -> float:
        """How long the command of a trial may take in all."""
        budget, usual = self.trial_budget(kind), self.trial_budget()
        if self.task.deadline is not None:
            return self.task.deadline + budget.train_limit_seconds - usual.train_limit_seconds
        return budget.startup_seconds + budget.train_limit_seconds + budget.eval_seconds

    def most_seconds(
        self, baseline: float | None, kind: TrialKind = TrialKind.USUAL
    ) -> float | None:
        """How long a run may take that is told its seconds: as long as the baseline, with grace.

        `baseline`: seconds of its run, which was told the usual budget; None: not known yet.
        """
        budget, usual = self.trial_budget(kind), self.trial_budget()
        if baseline is None or budget.seconds is None or usual.seconds is None:
            return None
        return max(baseline, usual.seconds) + budget.seconds - usual.seconds + budget.grace_seconds

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
        return f"{self.budget.steps} step{'s' * (self.budget.steps != 1)}"

    def anchored(self, folder: Path) -> "Config":
        """The same with absolute paths of data, task and keys; relative ones start in `folder`.

        A study resumed from another folder then still finds the same files.
        """
        paths = tuple(absolute_pattern(path, folder) for path in self.data.paths)
        source = self.task.source
        if source != BUNDLED and not self.task.is_url:
            source = str(folder / Path(source).expanduser())
        key_file = self.agent.key_file
        if key_file is not None:
            key_file = str(folder / Path(key_file).expanduser())
        return self.model_copy(
            update={
                "agent": self.agent.model_copy(update={"key_file": key_file}),
                "data": self.data.model_copy(update={"paths": paths}),
                "task": self.task.model_copy(update={"source": source}),
            }
        )

"""The keys of `agent:`: who proposes, and what that may cost.

Each key says what it is for, and why its default is what it is, as in `sections.py`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from agent.proposal import NOT_MODELS
from scheduler.study.sections import Count, PositiveNumber, Section, key_error


class AgentSection(Section):
    """Who proposes, and what that may cost. All of these can be changed on resuming."""

    models: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        description="Language models that propose, as litellm names them, such as "
        "anthropic/claude-sonnet-4-5; --model NAME adds one. They and the tuner share the requests "
        "by what each achieves. Empty: the tuner alone, which needs no key and no network.",
    )
    api_base: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Address of an OpenAI-compatible server of one's own, such as "
        "http://localhost:8000/v1, for models named openai/NAME, ollama/NAME or the like. "
        "Null: the provider's own. OPENAI_API_KEY, where it is set, is sent to that server.",
    )
    key_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="File with NAME=value lines that holds the models' keys. Null: the "
        "environment alone. No key is ever written to the study.",
    )
    max_dollars: PositiveNumber | None = Field(
        default=None, description="For all calls of the study together. Null: no limit."
    )
    max_tokens: Count | None = Field(
        default=None,
        description="In and out, for all calls of the study together. Null: no limit. The one to "
        "set where a model's price is not known.",
    )
    max_calls: Count | None = Field(
        default=None, description="Calls of the study, the failed ones too. Null: no limit."
    )
    when_spent: Literal["tuner", "stop"] = Field(
        default="tuner",
        description="What happens when a limit above leaves no room for another call: the tuner "
        "goes on alone, so that no slot stands idle, or the study stops.",
    )
    proposals_per_call: Count = Field(
        default=4,
        description="Proposals wanted from one call. A few share the cost of one briefing; many "
        "would be stale before they run.",
    )
    calls_in_flight: Count = Field(
        default=4, description="Calls at a time: a limit on how hard a provider is pressed."
    )
    max_repairs: Annotated[int, Field(ge=0)] = Field(
        default=2,
        description="Times that an answer whose edits can't be applied goes back to its model with "
        "the reasons. Two mend nearly all that can be mended.",
    )
    max_mends: Annotated[int, Field(ge=0)] = Field(
        default=1,
        description="Times that an experiment which crashed in its first seconds goes back to its "
        "model with the traceback. Cheaper than a new idea, and often a missing import.",
    )
    fill: bool = Field(
        default=True,
        description="Whether the tuner fills a slot that would stand idle until a model answers.",
    )
    floor: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.05,
        description="Least share of the requests for each model and the tuner, so that one that "
        "was unlucky is tried again.",
    )
    trial_dollars: PositiveNumber = Field(
        default=0.17,
        description="What a trial is worth when the models' shares are weighed: a model that costs "
        "more may earn it. Five minutes of a GPU at 2 $ an hour.",
    )
    prompt_tokens: Annotated[int, Field(ge=4000)] = Field(
        default=32_000,
        description="Most tokens of a prompt, however long the study. A small model's own limit "
        "counts where it is lower.",
    )
    output_tokens: Annotated[int, Field(ge=256)] = Field(
        default=8192, description="Most tokens of an answer; four edits take about two thousand."
    )
    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="Of the models. Null: each provider's own default."
    )
    timeout_seconds: PositiveNumber = Field(
        default=600.0, description="Limit for one call. Models that reason take minutes."
    )
    stall_seconds: PositiveNumber = Field(
        default=120.0, description="Longest silence within an answer before it counts as dropped."
    )
    attempts: Count = Field(
        default=4, description="Times that a call is tried before another model or the tuner is."
    )
    notebook_every: Count = Field(
        default=25,
        description="Decided experiments after which what was learned is condensed anew.",
    )

    @field_validator("models")
    @classmethod
    def each_once(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        """A model that is named twice is one."""
        return tuple(dict.fromkeys(models))

    @model_validator(mode="after")
    def models_are_models(self) -> Self:
        """Refuse the names of those who propose and are no models: they would be confused."""
        if taken := NOT_MODELS.intersection(self.models):
            raise key_error("models", f"{min(taken)} is no language model's name")
        return self

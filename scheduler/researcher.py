"""The agent's actor: a Researcher whose ledger is the study's database.

In: the results actor, the settings, the keys. Out: answers to briefings, several at a time. The
keys live in this process alone: they come with its making, and go into its environment.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayTaskError

from agent import Answer, Briefing, SpentError
from agent.errors import KeysError
from agent.ledger import Intent, Settlement
from agent.llm.arm import Bounds
from agent.llm.keys import Keys, gather_keys, missing_keys
from agent.llm.naming import FORM, OWN_SERVERS, unplaced
from agent.llm.settings import ModelSettings
from agent.proposer import Shares
from agent.settings import AgentSettings, make_researcher
from scheduler.errors import StudyFull, UsageError
from scheduler.study.room import FULL_SECONDS

if TYPE_CHECKING:
    from scheduler.study.config import Config


UNKNOWN = "litellm knows no provider of {}"


class AgentActor:
    """What runs as an actor on Ray: asynchronous, so that calls of several models overlap."""

    def __init__(self, results: str, settings: AgentSettings, keys: Keys) -> None:
        """`results` is the name of the results actor."""
        keys.install(os.environ)
        self._researcher = make_researcher(settings, StudyLedger(results), keys)

    async def propose(self, briefing: Briefing) -> Answer:
        """See Researcher."""
        return await self._researcher.propose(briefing)


class StudyLedger:
    """The ledger in the study's database, over the results actor."""

    def __init__(self, results: str) -> None:
        self._name = results
        self._actor: Any = None

    @property
    def _results(self) -> Any:
        if self._actor is None:
            self._actor = ray.get_actor(self._name)
        return self._actor

    async def reserve(self, intent: Intent) -> int:
        """See Ledger. Waits while there is no room for it on the study's disk."""
        number: int = await self._when_there_is_room(lambda: self._results.reserve.remote(intent))
        return number

    async def settle(self, call: int, settlement: Settlement) -> None:
        """See Ledger. Waits while there is no room for it on the study's disk."""
        await self._when_there_is_room(lambda: self._results.settle.remote(call, settlement))

    async def _when_there_is_room(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await ask()
            except RayTaskError as error:
                if isinstance(error.cause, SpentError):
                    raise error.cause from None
                if not isinstance(error.cause, StudyFull):
                    raise
            await asyncio.sleep(FULL_SECONDS)


def agent_settings(config: "Config") -> AgentSettings:
    """The part of a study's configuration that the agent is made from."""
    agent = config.agent
    return AgentSettings(
        models=tuple(
            ModelSettings(
                name=name,
                api_base=(agent.api_base or "") if _is_served_here(name) else "",
                temperature=agent.temperature,
                max_output_tokens=agent.output_tokens,
                timeout_seconds=agent.timeout_seconds,
                stall_seconds=agent.stall_seconds,
            )
            for name in dict.fromkeys(agent.models)
        ),
        bounds=Bounds(agent.prompt_tokens, agent.output_tokens, agent.max_repairs),
        shares=Shares(floor=agent.floor, trial_dollars=agent.trial_dollars),
        attempts=agent.attempts,
        stop_when_spent=agent.when_spent == "stop",
    )


def _is_served_here(name: str) -> bool:
    """Whether `agent.api_base` speaks of this model: a hosted one beside it keeps its provider."""
    return name.partition("/")[0] in OWN_SERVERS


def check_models(config: "Config") -> None:
    """Raise UsageError for a model whose provider nobody knows: each of its calls would fail."""
    if wrong := unplaced(config.agent.models):
        raise UsageError(f"agent.models: {UNKNOWN.format(', '.join(wrong))}; {FORM}")


def missing_for(config: "Config", keys: Keys) -> Mapping[str, tuple[str, ...]]:
    """Model -> the variables of which one has to be set, where none is."""
    return missing_keys(agent_settings(config).models, keys)


def take_keys(config: "Config", environ: MutableMapping[str, str]) -> Keys:
    """The models' keys, from the environment and the file that is configured. Raises UsageError.

    They leave this environment: Ray's processes inherit it, every worker among them.
    """
    file = config.agent.key_file if config.agent.models else None
    try:
        keys = gather_keys(environ, Path(file) if file else None)
    except KeysError as error:
        raise UsageError(f"agent.key_file: {error}") from error
    for name in keys.secrets():
        environ.pop(name, None)
    return keys if config.agent.models else Keys({})

"""What leaves the environment before Ray starts, which hands the rest on to every worker.

In: the configuration and the environment. Out: each secret, for the one process that needs it.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

from agent.llm.keys import Keys
from scheduler.api.tokens import Tokens, take_tokens
from scheduler.researcher import take_keys
from scheduler.study.config import Config
from scheduler.study.config_file import WEBHOOK
from scheduler.study.data import TOKENS
from scheduler.study.trackers.opening import take_environment


@dataclass(frozen=True)
class Secrets:
    """Whose they are."""

    tokens: Tokens = field(repr=False)  # of the HTTP process
    made: bool  # whether the token was made for this run, and so has to be shown
    trackers: Mapping[str, str] = field(repr=False)  # the environment of the trackers' processes
    hub: Mapping[str, str] = field(repr=False)  # of the packing of data
    keys: Keys = field(repr=False)  # of the models


def take_secrets(config: Config, environ: MutableMapping[str, str]) -> Secrets:
    """Take all of them out of the environment. Raises UsageError for what can't be used."""
    trackers = take_environment(config.track.to, environ)
    tokens, made = take_tokens(environ)
    environ.pop(WEBHOOK, None)  # as good as a password; the configuration has it
    hub = {name: environ[name] for name in TOKENS if name in environ}
    return Secrets(tokens, made, trackers, hub, take_keys(config, environ))

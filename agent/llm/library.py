"""The one door to litellm: imported late, once, in the process that asks, and made quiet.

Out: the module. Importing it takes 3 s and 200 MB, so only the process that calls models does it,
at its first call. Left to itself the library fetches a price list and tokenizers from the network,
reads any `.env` file in the folders above, and prints and logs what it sends and receives. None of
that happens here: the only connections are the calls themselves, and the only keys are those that
the process was given.
"""

import logging
import os
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import ModuleType

# Read when litellm is imported, or at each use; a person's own setting does not override them.
_ENVIRONMENT = {
    "LITELLM_OFFLINE_MODE": "true",  # bundled prices and tokenizers only
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # the same for versions before the offline mode
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "true",
    "LITELLM_MODE": "PRODUCTION",  # in any other it loads `.env` from the folders above it
    "LITELLM_LOG": "CRITICAL",
}

# The HTTP clients log URLs at INFO, and some providers take their key in the URL.
_SILENT = ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy")
_QUIET = ("httpx", "httpcore", "openai", "anthropic", "aiohttp", "boto3", "botocore", "urllib3")


_SETTINGS: Mapping[str, object] = {
    "suppress_debug_info": True,  # it prints advice on every error
    "set_verbose": False,
    "telemetry": False,
    "cache": None,
    "num_retries": None,
    "disable_streaming_logging": True,
    "turn_off_message_logging": True,
}
_CALLBACKS = ("callbacks", "input_callback", "success_callback", "failure_callback")


@cache
def litellm() -> ModuleType:
    """The library, ready for use."""
    os.environ.update(_ENVIRONMENT)
    module = import_module("litellm")
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    for name, value in _SETTINGS.items():
        setattr(module, name, value)
    for name in _CALLBACKS:
        setattr(module, name, [])
        setattr(module, f"_async_{name}", [])
    return module

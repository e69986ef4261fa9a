"""Which models litellm can place by their names, asked in a process of its own: no network, no key.

In: names. Out: those whose provider it does not know, so that every call would fail. The library
takes seconds and 200 MB to load, which the process that asks should not spend: `unplaced` starts
another one, and only for names of which neither the provider is known here nor the library's own
list of models, a file, knows anything.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from agent.llm.keys import known_variables

FORM = "write provider/model, such as anthropic/claude-sonnet-4-5, openai/gpt-5 or ollama/llama3"
SECONDS = 60.0
LIST = "model_prices_and_context_window_backup.json"  # of the library; a child is asked without it
OWN_SERVERS = frozenset({"openai", "ollama", "ollama_chat", "hosted_vllm", "lm_studio", "vllm"})
"""Providers whose models may be served at an address of one's own."""


def unplaced(names: Iterable[str]) -> list[str]:
    """The names that litellm can't place. None where it can't be asked: a call will tell."""
    known = known_variables().keys() | OWN_SERVERS
    doubtful = [n for n in names if "/" not in n or n.partition("/")[0] not in known]
    if doubtful:
        listed = _listed()
        doubtful = [n for n in doubtful if not {n, "".join(n.partition("/")[:2])} & listed]
    if not doubtful:
        return []
    command = [sys.executable, "-m", __name__, *doubtful]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
        found = json.loads(ended.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return []
    return [name for name in doubtful if name in found]


def _listed() -> set[str]:
    """Models that litellm's list names, and `provider/` of those that it names with one."""
    try:
        found = importlib.util.find_spec("litellm")
        places = (found.submodule_search_locations if found else None) or [""]
        models = json.loads(Path(places[0], LIST).read_text("utf-8"))
    except (OSError, ValueError):
        return set()
    return {*models, *(name.partition("/")[0] + "/" for name in models if "/" in name)}


def _main(names: list[str]) -> None:
    from agent.llm.failures import names_no_provider  # noqa: PLC0415
    from agent.llm.library import litellm  # noqa: PLC0415

    found = []
    for name in names:
        try:
            litellm().get_llm_provider(name)
        except Exception as error:  # noqa: BLE001
            if names_no_provider(error):
                found.append(name)
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    _main(sys.argv[1:])

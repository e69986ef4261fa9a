"""What a model costs and how much it reads, from the list that litellm brings along.

In: a model's name. Out: its entry, or None. Only the list is read; litellm's own look-up would ask
a local server for what the list lacks. A price that is not known is None, never 0.
"""

from collections.abc import Mapping
from typing import Any

from agent.llm.library import litellm


def entry(model: str) -> tuple[str, Mapping[str, Any]] | None:
    """The key and the entry of a model, such as "openai/gpt-5" or "claude-sonnet-4-5"."""
    known: Mapping[str, Mapping[str, Any]] = litellm().model_cost
    if model in known:
        return model, known[model]
    provider, _, name = model.partition("/")
    found = known.get(name)
    if found is not None and str(found.get("litellm_provider", "")).startswith(provider):
        return name, found
    return None


def list_price(model: str, input_tokens: int, output_tokens: int) -> float | None:
    """Dollars by the list; None where it does not know both prices."""
    found = entry(model)
    if found is None:
        return None
    key, facts = found
    both = (facts.get("input_cost_per_token"), facts.get("output_cost_per_token"))
    if not all(isinstance(price, int | float) for price in both):
        return None
    try:
        asked, said = litellm().cost_per_token(
            model=key,
            prompt_tokens=input_tokens,
            completion_tokens=output_tokens,
            custom_llm_provider=facts.get("litellm_provider"),
        )
    except Exception:  # noqa: BLE001 - it raises bare ones; an odd entry must not end a study
        return None
    return float(asked) + float(said)


def most(model: str, what: str) -> int | None:
    """How many tokens the list says the model takes: "max_input_tokens", "max_output_tokens"."""
    found = entry(model)
    value = None if found is None else found[1].get(what)
    return value if isinstance(value, int) and value > 0 else None

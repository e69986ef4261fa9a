"""What a person says about one language model. Plain data, cheap to import, no secret in it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSettings:
    """One model as litellm names it, and how it is to be asked."""

    name: str  # such as "anthropic/claude-sonnet-4-5", "ollama/qwen3", "openai/NAME" with api_base
    api_base: str = ""  # address of a server of one's own; "": the provider's
    key_variable: str = ""  # the variable that holds the key; "": the provider's usual one
    temperature: float | None = None  # None: the provider's default; some models take no other
    max_output_tokens: int = 8192  # the most that one answer may have, thinking included
    timeout_seconds: float = 600.0  # a whole attempt
    start_seconds: float = 300.0  # until the first word: models that think are silent for long
    stall_seconds: float = 90.0  # between two pieces of an answer that has begun
    context_tokens: int | None = None  # None: by litellm's list, else 32768
    input_price: float | None = None  # dollars per million tokens; None: by litellm's list
    output_price: float | None = None

"""What went wrong with a call, in one line, and what follows from it.

In: the exception that litellm raised. Out: a Failure: whose fault it is (the model as a whole,
this one call, or the moment), and how long the provider asks to be left alone. It hides nothing;
the client does.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

# 401 and 403: the key. 402: no credit. 404: an unknown model or address. 405, 410, 501: no such
# interface. No call to this model will do better until a person acts.
LASTING = frozenset({401, 402, 403, 404, 405, 410, 501})

# 400, 413, 422: this call is not taken as it stands; too long, refused content, a bad parameter.
# The next one, with another prompt, may be.
REFUSED = frozenset({400, 413, 422})

UNPLACED = "litellm knows no provider of this name: write provider/model, such as openai/gpt-5"
MOST_CHARACTERS = 300  # of an error

# What litellm puts before the provider's own words, once or several times.
_PREFIX = re.compile(r"^(?:litellm\.)?\w*(?:Error|Exception|Timeout)\s*(?::|-)\s*")
_SUFFIX = re.compile(r"\s*(?:Original exception:|LiteLLM Retried:|, LiteLLM Max Retries:).*$")


@dataclass(frozen=True)
class Failure:
    """Why an attempt came to nothing."""

    error: str  # one line; may hold secrets yet, and be long
    lasting: bool = False
    refused: bool = False
    retry_after: float | None = None  # seconds


def failure_of(error: BaseException, *, opened: bool = False, now: float | None = None) -> Failure:
    """Classify an exception of litellm or of what lies below it.

    `opened`: the server had begun to answer. `now`: seconds since 1970.
    """
    first = _unwrapped(error)
    status = getattr(first, "status_code", None)
    quota = _code(first) == "insufficient_quota"  # OpenAI's word for no credit, under 429
    answered = bool(getattr(getattr(first, "response", None), "headers", None))
    words = _words(first)
    if answered and isinstance(status, int):
        text = f"{status} {words}"
    else:
        # litellm gives a status of its own to what no server has said; that would mislead.
        text = f"{'the answer broke off' if opened else 'no answer'}: {words}"
    if unplaced := names_no_provider(first):
        text = UNPLACED
    lasting = status in LASTING or quota or unplaced
    return Failure(
        text,
        lasting=lasting,
        refused=not lasting and status in REFUSED,
        retry_after=_retry_after(first, time.time() if now is None else now),
    )


def _unwrapped(error: BaseException) -> BaseException:
    """The provider's error, from within litellm's own for a stream that broke."""
    inner = getattr(error, "original_exception", None)
    return _unwrapped(inner) if isinstance(inner, BaseException) else error


def names_no_provider(error: BaseException) -> bool:
    """Whether it is litellm's 400 for a name that it can't place; it never left this process."""
    return "LLM Provider NOT provided" in str(error)


def _code(error: BaseException) -> str:
    body = getattr(error, "body", None)
    return str(body.get("code") or body.get("type") or "") if isinstance(body, dict) else ""


def _words(error: BaseException) -> str:
    text = " ".join(str(getattr(error, "message", None) or error).split())
    while (shorter := _PREFIX.sub("", text, count=1)) != text:
        text = shorter
    return _SUFFIX.sub("", text) or type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(5):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _retry_after(error: BaseException, now: float) -> float | None:
    """Of the first exception in the chain whose headers say so."""
    for link in _chain(error):
        for headers in (
            getattr(getattr(link, "response", None), "headers", None),
            getattr(link, "headers", None),
            getattr(link, "litellm_response_headers", None),
        ):
            if not isinstance(headers, Mapping):
                continue
            lower = {str(name).lower(): str(value) for name, value in headers.items()}
            if (seconds := read_retry_after(lower.get("retry-after", ""), now)) is not None:
                return seconds
    return None


def read_retry_after(value: str, now: float) -> float | None:
    """Seconds from a Retry-After header's value: a number or a date (RFC 9110, 10.2.3)."""
    value = value.strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, date.timestamp() - now)

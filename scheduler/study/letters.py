"""Letters: what people ask of a study, as plain data that can lie in a file until it is taken up.

Each has a key, by which one that arrives twice counts once and by which its reply is found, and the
time at which it was written. What becomes of one is decided by the rules and kept as a `Reply`.
"""

import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

LONGEST_TEXT = 8000  # characters of an instruction: more belongs into program.md
LONGEST_TITLE = 200
MOST_CODE = 1_000_000  # characters of all files of an edit: far more than a training script has


def _not_too_much(files: Mapping[str, str]) -> Mapping[str, str]:
    size = sum(len(text) for text in files.values())
    if size > MOST_CODE:
        raise ValueError(f"{size:,} characters of code, and {MOST_CODE:,} are the most")
    return files


Files = Annotated[Mapping[str, str], Field(min_length=1), AfterValidator(_not_too_much)]
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TEXT)
]
Id = Annotated[int, Field(ge=0, lt=2**63)]  # SQLite has no larger integer


def new_key() -> str:
    """A key that no other letter has."""
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True, kw_only=True)
class _Written:
    key: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] = field(default_factory=new_key)
    at: float = field(default_factory=time.time)  # Unix seconds


@dataclass(frozen=True)
class Instruct(_Written):
    """Queue an instruction."""

    text: Text
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 0
    lifetime: Annotated[int, Field(ge=1, lt=2**31)] | None = None  # decisions until it expires
    kind: Literal["instruct"] = "instruct"

    @property
    def name(self) -> str:
        """What a person calls it as long as it has no number: `w3fa2`."""
        return f"w{self.key[-4:]}"


@dataclass(frozen=True)
class Withdraw(_Written):
    """Take an instruction back."""

    instruction: Id
    kind: Literal["withdraw"] = "withdraw"


@dataclass(frozen=True)
class Submit(_Written):
    """Queue a person's own edit as an experiment."""

    title: Annotated[str, Field(min_length=1, max_length=LONGEST_TITLE)]
    files: Files  # the changed ones whole, by path
    hypothesis: Annotated[str, Field(max_length=LONGEST_TEXT)] = ""
    parent: Id | None = None  # the experiment that was edited; None: the champion of the moment
    expected: Annotated[str, Field(max_length=LONGEST_TITLE)] = ""
    instruction: Id | None = None  # the open one that it serves
    kind: Literal["submit"] = "submit"


@dataclass(frozen=True)
class Cancel(_Written):
    """Give up an experiment that is not decided yet."""

    experiment: Id
    kind: Literal["cancel"] = "cancel"


@dataclass(frozen=True)
class Pause(_Written):
    """Start nothing more until told otherwise."""

    kind: Literal["pause"] = "pause"


@dataclass(frozen=True)
class Unpause(_Written):
    """Go on."""

    kind: Literal["unpause"] = "unpause"


@dataclass(frozen=True)
class Stop(_Written):
    """End the study once its running trials have ended; or now, and run those again later."""

    now: bool = False
    kind: Literal["stop"] = "stop"


AnyLetter = Instruct | Withdraw | Submit | Cancel | Pause | Unpause | Stop
Letter = Annotated[AnyLetter, Field(discriminator="kind")]
STEERING = (Pause, Unpause, Stop)
"""Letters that speak of the moment: to a study that did not run then they mean nothing."""

_LETTER: TypeAdapter[AnyLetter] = TypeAdapter(Letter)


def write_letter(letter: AnyLetter) -> bytes:
    """The letter as JSON."""
    return _LETTER.dump_json(letter)


def read_letter(text: bytes) -> AnyLetter:
    """The letter that was written so. Raises ValueError."""
    return _LETTER.validate_json(text)  # pydantic's ValidationError is a ValueError


def digest(letter: AnyLetter) -> str:
    """Equal for letters that ask for the same, whatever their keys and times."""
    asked = _LETTER.dump_json(letter, exclude={"key", "at"})
    return hashlib.sha256(asked).hexdigest()

"""Letters to a study: how a person's command reaches it, from whatever process.

In: a letter, posted as one file in the study's `inbox/`. Out: the letters that wait, oldest first.
The results actor takes them up with each tick and removes each once the database has it; so a
letter to a study that does not run waits until it does, and one that arrives twice, by its key,
counts once. Nothing here decides what becomes of it.
"""

import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from scheduler.errors import UsageError
from scheduler.study.atomic import replacing

LONGEST_TEXT = 8000  # characters of an instruction: more belongs into program.md
SUFFIX, UNREADABLE = ".json", ".unreadable"


def _new_key() -> str:
    """Sorts by time, so that letters are read in the order in which they were written."""
    return f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}"


@dataclass(frozen=True)
class Instruct:
    """Queue an instruction."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
    priority: int = 0
    lifetime: Annotated[int, Field(ge=1)] | None = None  # experiments after which it expires
    kind: Literal["instruct"] = "instruct"
    key: str = field(default_factory=_new_key)


@dataclass(frozen=True)
class Withdraw:
    """Take an instruction back."""

    instruction: int
    kind: Literal["withdraw"] = "withdraw"
    key: str = field(default_factory=_new_key)


Letter = Annotated[Instruct | Withdraw, Field(discriminator="kind")]
_LETTER: TypeAdapter[Instruct | Withdraw] = TypeAdapter(Letter)


class Mailbox:
    """The letters of one study."""

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox

    def post(self, letter: Instruct | Withdraw) -> None:
        """Leave a letter. Raises UsageError where the folder can't be written to."""
        try:
            self._inbox.mkdir(exist_ok=True)
            with replacing(self._file(letter.key)) as draft:
                draft.write_bytes(_LETTER.dump_json(letter))
        except OSError as error:
            raise UsageError(f"{self._inbox}: can't be written ({error.strerror})") from error

    def waiting(self) -> list[Instruct | Withdraw]:
        """The letters that lie there, oldest first. One that can't be read is set aside."""
        letters = []
        with suppress(FileNotFoundError):
            for path in sorted(self._inbox.iterdir()):
                if path.suffix != SUFFIX:
                    continue
                try:
                    letters.append(_LETTER.validate_json(path.read_bytes()))
                except (OSError, ValueError):  # pydantic's ValidationError is a ValueError
                    with suppress(OSError):
                        path.rename(path.with_suffix(UNREADABLE))
        return letters

    def remove(self, key: str) -> None:
        """Throw a letter away that was taken up."""
        self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._inbox / f"{key}{SUFFIX}"

"""Letters to a study: how a person's command reaches it, from whatever process.

In: a letter, posted as one file in the study's `inbox/`. Out: the letters that wait, oldest first.
The results actor takes them up several times a second and removes each once the database has it;
so a letter to a study that does not run waits until it does, and one that arrives twice, by its
key, counts once. Nothing here decides what becomes of it.
"""

from contextlib import suppress
from pathlib import Path

from scheduler.errors import UsageError
from scheduler.study.atomic import replacing
from scheduler.study.letters import AnyLetter, read_letter, write_letter

SUFFIX, UNREADABLE = ".json", ".unreadable"


class Mailbox:
    """The letters of one study."""

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox

    def post(self, letter: AnyLetter) -> None:
        """Leave a letter. Raises UsageError where the folder can't be written to."""
        try:
            self._inbox.mkdir(exist_ok=True)
            with replacing(self._file(letter.key)) as draft:
                draft.write_bytes(write_letter(letter))
        except OSError as error:
            raise UsageError(f"{self._inbox}: can't be written ({error.strerror})") from error

    def waiting(self) -> list[AnyLetter]:
        """The letters that lie there, oldest first. One that can't be read is set aside."""
        letters = []
        with suppress(FileNotFoundError):
            for path in sorted(self._inbox.iterdir()):
                if path.suffix != SUFFIX:
                    continue
                try:
                    letters.append(read_letter(path.read_bytes()))
                except FileNotFoundError:  # taken up just now
                    continue
                except (OSError, ValueError):
                    with suppress(OSError):
                        path.rename(path.with_suffix(UNREADABLE))
        return sorted(letters, key=lambda letter: (letter.at, letter.key))

    def remove(self, key: str) -> bool:
        """Throw a letter away that was taken up, or taken back; whether it lay there."""
        try:
            self._file(key).unlink()
        except FileNotFoundError:
            return False
        return True

    def _file(self, key: str) -> Path:
        return self._inbox / f"{key}{SUFFIX}"

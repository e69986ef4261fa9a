"""The standard library of the running Python as text: real, and there on every machine.

What is withheld is whole modules that nothing needs: a sandbox masks their files.
"""

import os
import platform
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from train_template.sources.source import Document, Split

# Withheld text must not be readable through `import`, and a sandbox will mask these files, so
# nothing that a candidate needs may import them: a test checks torch, its compiler, NumPy and
# the harness. Modules that newer Pythons dropped (aifc, nntplib, telnetlib) or that some
# distributions package apart (turtle) may be absent: the others are enough.
VALIDATION_MODULES = ("poplib", "wave", "wsgiref", "ftplib", "imaplib", "mailbox", "aifc")
AUDIT_MODULES = ("smtplib", "xmlrpc", "_pyio", "turtle", "nntplib", "telnetlib")

# Not part of the language's own text: tests, installed packages, and what the build wrote
# about the machine it ran on.
SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "lib-dynload", "__pycache__"}
)
SKIPPED_PREFIXES = ("config-", "_sysconfigdata")


class StdlibSource:
    """The source code of the running Python's standard library: text that every machine has."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(sysconfig.get_path("stdlib"))

    def documents(self) -> Iterator[Document]:
        """The withheld modules in the order of their lists, then the rest sorted by path."""
        splits: tuple[tuple[Split, tuple[str, ...]], ...] = (
            ("validation", VALIDATION_MODULES),
            ("audit", AUDIT_MODULES),
        )
        withheld = set()
        for split, modules in splits:
            for module in modules:
                for name in self._files_of(module):
                    withheld.add(name)
                    yield Document(name, (self._folder / name).read_bytes(), split)
        for name in self._files():
            if name not in withheld:
                yield Document(name, (self._folder / name).read_bytes(), "train")

    def fetch(self, cache: Path) -> None:
        """It is here."""

    def sample(self) -> Iterator[bytes]:
        """All of the training text: it is small."""
        return (each.text for each in self.documents() if each.split == "train")

    def describe(self) -> dict[str, object]:
        """The Python version whose library this is."""
        return {"kind": "stdlib", "python": platform.python_version()}

    def state(self) -> object:
        """The library of one installed version does not change."""
        return [platform.python_version(), str(self._folder)]

    def withheld(self) -> tuple[str, ...]:
        """The files of the validation and audit modules that this Python has."""
        modules = VALIDATION_MODULES + AUDIT_MODULES
        return tuple(sorted(name for module in modules for name in self._files_of(module)))

    def more_text(self, _: Split, /) -> str:
        """Another text: this library lacks its modules."""
        return (
            f"the standard library in {self._folder} is not whole; use text of your own with "
            "data.source=path"
        )

    def _files_of(self, module: str) -> list[str]:
        """A module's one file or a package's files, sorted; none where this Python lacks it."""
        if (self._folder / f"{module}.py").is_file():
            return [f"{module}.py"]
        return [name for name in self._files() if name.startswith(f"{module}/")]

    def _files(self) -> list[str]:
        names = []
        for folder, children, files in os.walk(self._folder):
            children[:] = [
                child
                for child in children
                if child not in SKIPPED_FOLDERS and not child.startswith(SKIPPED_PREFIXES)
            ]
            names += [
                (Path(folder) / name).relative_to(self._folder).as_posix()
                for name in files
                if name.endswith(".py") and not name.startswith(SKIPPED_PREFIXES)
            ]
        return sorted(names)

"""Where text comes from: each source yields documents, each with the split it belongs to.

In: the data specification, such as `{"source": "stdlib"}` or `{"source": "path", "root": DIR,
"paths": [files and globs]}`. Out: documents in an order that depends on their names alone. How
they become tokens and files is decided elsewhere.

A new source is one class with the face of `Source` and one line in `SOURCES`.
"""

import glob
import hashlib
import os
import platform
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from train_template.errors import DataError

Split = Literal["train", "validation", "audit"]
SPLITS: tuple[Split, ...] = ("train", "validation", "audit")

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

WITHHELD_SHARE = 0.05  # of the documents or the text of a path source, for each withheld split
FEW_DOCUMENTS = 20  # below this, the text is cut by position: 5 % of 19 documents is none


@dataclass(frozen=True)
class Document:
    """A text, or a piece of one, and the split it belongs to."""

    name: str
    text: bytes
    split: Split


class Source(Protocol):
    """Documents, and what identifies them."""

    def documents(self) -> Iterator[Document]:
        """Every document, the text of each split in its fixed order; raises DataError."""

    def describe(self) -> dict[str, object]:
        """What meta.json says of the source: the same on every machine with the same text."""

    def state(self) -> object:
        """Plain data that changes when the documents may have changed; cheap to compute."""

    def withheld(self) -> tuple[str, ...]:
        """Files that a candidate must not read, relative to the standard library's folder."""


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


class PathSource:
    """Files and globs; each file is one document, named by its path relative to `root`."""

    def __init__(self, paths: list[str], root: Path) -> None:
        """Raises DataError where a path or a glob leads to no file."""
        found: set[Path] = set()
        for path in paths:
            # Path.glob refuses the absolute patterns that the scheduler sends.
            matches = glob.glob(str(root / path), recursive=True)  # noqa: PTH207
            files = [Path(match) for match in matches if Path(match).is_file()]
            if not files:
                hint = f"; for a folder write {path.rstrip('/')}/**/*.txt" if matches else ""
                raise DataError(f"data.paths: {path} matches no file{hint}")
            found.update(files)
        self._files = {Path(os.path.relpath(file, root)).as_posix(): file for file in found}

    def documents(self) -> Iterator[Document]:
        """Whole documents assigned by a hash of their names, or pieces where they are few."""
        if len(self._files) < FEW_DOCUMENTS:
            yield from self._pieces()
            return
        # The documents with the lowest hashes are withheld: a choice that depends on names alone,
        # moves at most the document at the border when a file is added, and is never empty.
        ranked = sorted(self._files, key=lambda name: hashlib.sha256(name.encode()).digest())
        count = round(WITHHELD_SHARE * len(ranked))
        split_of: dict[str, Split] = dict.fromkeys(ranked, "train")
        split_of.update(dict.fromkeys(ranked[:count], "validation"))
        split_of.update(dict.fromkeys(ranked[count : 2 * count], "audit"))
        for name, file in sorted(self._files.items()):
            yield Document(name, file.read_bytes(), split_of[name])

    def describe(self) -> dict[str, object]:
        """How many documents there are; never where they lie."""
        return {"kind": "path", "documents": len(self._files)}

    def state(self) -> object:
        """Name, size and time of change of each file."""
        stats = [(name, file.stat()) for name, file in sorted(self._files.items())]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]

    def withheld(self) -> tuple[str, ...]:
        """None: these files do not lie in the standard library."""
        return ()

    def _pieces(self) -> Iterator[Document]:
        """The concatenated text cut by position: train first, then validation, then audit."""
        texts = {name: file.read_bytes() for name, file in sorted(self._files.items())}
        total = sum(map(len, texts.values()))
        share = round(WITHHELD_SHARE * total)
        borders = (0, total - 2 * share, total - share, total)
        position = 0
        for name, text in texts.items():
            for split, start, end in zip(SPLITS, borders, borders[1:], strict=False):
                piece = text[max(0, start - position) : max(0, end - position)]
                if piece:
                    yield Document(name, piece, split)
            position += len(text)


def make_source(spec: Mapping[str, object]) -> Source:
    """The source that a specification names; raises DataError where it says too little."""
    kind = spec.get("source")
    if kind not in SOURCES:
        raise DataError(f"data.source is {kind!r}: choose from {', '.join(SOURCES)}")
    return SOURCES[kind](spec)


def _stdlib(_: Mapping[str, object]) -> Source:
    return StdlibSource()


def _path(spec: Mapping[str, object]) -> Source:
    paths = spec.get("paths")
    if not isinstance(paths, list) or not paths or not all(isinstance(p, str) for p in paths):
        raise DataError("data.paths: name the files or globs to learn from")
    return PathSource(paths, Path(str(spec.get("root", "."))).absolute())


SOURCES = {"stdlib": _stdlib, "path": _path}

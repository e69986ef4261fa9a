"""Where text comes from: each source yields documents, each with the split it belongs to.

In: the data specification, such as `{"source": "stdlib"}`, `{"source": "path", "root": DIR,
"paths": [files and globs]}` or `{"source": "hf", "dataset": "owner/name", "files": [...],
"validation_file": NAME}`. Out: documents in an order that depends on their names alone. How they
become tokens and files is decided elsewhere.

A new source is one file with a class that has the face of `Source`, and one line in `SOURCES`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from train_template.errors import DataError
from train_template.sources.hugging_face import HuggingFaceSource
from train_template.sources.path import PathSource
from train_template.sources.source import SPLITS, Document, Source, Split
from train_template.sources.stdlib import AUDIT_MODULES, VALIDATION_MODULES, StdlibSource

__all__ = [
    "AUDIT_MODULES",
    "SOURCES",
    "SPLITS",
    "VALIDATION_MODULES",
    "Document",
    "HuggingFaceSource",
    "PathSource",
    "Source",
    "Split",
    "StdlibSource",
    "make_source",
]


def make_source(spec: Mapping[str, object]) -> Source:
    """The source that a specification names; raises DataError where it says too little."""
    kind = spec.get("source")
    if not isinstance(kind, str) or kind not in SOURCES:
        raise DataError(f"data.source is {kind!r}: choose from {', '.join(SOURCES)}")
    return SOURCES[kind](spec)


def _stdlib(_: Mapping[str, object]) -> Source:
    return StdlibSource()


def _path(spec: Mapping[str, object]) -> Source:
    paths = _names(spec, "paths", "name the files or globs to learn from")
    root = Path(str(spec.get("root", "."))).absolute()
    return PathSource(paths, root, column=_column(spec))


def _hugging_face(spec: Mapping[str, object]) -> Source:
    for key in ("dataset", "validation_file"):
        if not isinstance(spec.get(key), str) or not spec[key]:
            raise DataError(f"data.{key}: needed where data.source is hf")
    return HuggingFaceSource(
        str(spec["dataset"]),
        _names(spec, "files", "name the data set's files to train on"),
        str(spec["validation_file"]),
        revision=str(spec.get("revision", "main")),
        column=_column(spec),
    )


def _names(spec: Mapping[str, object], key: str, what: str) -> list[str]:
    names = spec.get(key)
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise DataError(f"data.{key}: {what}")
    return names


def _column(spec: Mapping[str, object]) -> str:
    return str(spec.get("text_column", "text"))


SOURCES: dict[str, Callable[[Mapping[str, object]], Source]] = {
    "stdlib": _stdlib,
    "path": _path,
    "hf": _hugging_face,
}

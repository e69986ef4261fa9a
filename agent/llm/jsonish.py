"""Answers in JSON, which some models give whatever they are asked for.

In: a text. Out: the drafts and the notebook in it, or None where it is no JSON. The fields are
those of the usual answer; an edit has "search" and "replace", or the whole "content" of a file.
"""

import json
from collections.abc import Collection, Mapping
from typing import Any

from agent.llm.draft import Draft, Edit, Parsed, Replace, Whole
from agent.llm.fields import LONGEST, read_number, undecorated
from agent.llm.paths import plain, resolve

LISTS = ("proposals", "experiments", "edits_list")
EDITS = ("edits", "changes", "blocks", "files", "edit")
PATHS = ("path", "file", "filename", "file_path")
SEARCHES = ("search", "old", "original", "find", "old_string")
REPLACES = ("replace", "new", "updated", "replacement", "new_string")
WHOLES = ("content", "text", "whole", "code", "contents")
MOST = 32  # proposals that are read


def read_json(text: str, paths: Collection[str]) -> Parsed | None:
    """What a JSON answer says; None where the text is no JSON object or list with proposals."""
    if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]"):
        return None
    try:
        data = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    notebook = ""
    if isinstance(data, Mapping):
        given = data.get("notebook")
        notebook = given if isinstance(given, str) else ""
        data = next((data[name] for name in LISTS if isinstance(data.get(name), list)), [data])
    if not any(isinstance(item, Mapping) and _edits_of(item) is not None for item in data):
        return None
    drafts: list[Draft] = []
    problems: list[str] = []
    for number, item in enumerate(data[:MOST], start=1):
        draft = _draft(item, paths) if isinstance(item, Mapping) else "it is no JSON object"
        if isinstance(draft, Draft):
            drafts.append(draft)
        else:
            problems.append(f"Proposal {number} of the JSON answer was not used: {draft}.")
    if len(data) > MOST:
        problems.append(f"Only the first {MOST} of {len(data)} proposals were read.")
    return Parsed(tuple(drafts), notebook.strip(), tuple(problems))


def _draft(item: Mapping[str, Any], paths: Collection[str]) -> Draft | str:
    """One proposal, or what is wrong with it."""
    numbers: dict[str, int | None] = {}
    for name in ("parent", "combines", "instruction"):
        given = item.get(name)
        numbers[name], problem = read_number(name, "" if given is None else str(given)[:300])
        if problem:
            return problem
    edits: list[Edit] = []
    for entry in _edits_of(item) or []:
        edit = _edit(entry, paths) if isinstance(entry, Mapping) else "an edit is no JSON object"
        if isinstance(edit, str):
            return edit
        edits.append(edit)
    if not edits:
        return "it has no edit"
    said = {name: item.get(name) for name in ("title", "hypothesis", "expected")}
    texts = {name: v[:LONGEST] if isinstance(v, str) else "" for name, v in said.items()}
    return Draft(
        undecorated(texts["title"]),
        " ".join(texts["hypothesis"].split()),
        " ".join(texts["expected"].split()),
        tuple(edits),
        **numbers,
    )


def _edits_of(item: Mapping[str, Any]) -> list[Any] | None:
    """The entries that are to be edits: a list of them, a map of files, or the item itself."""
    for name in EDITS:
        match item.get(name):
            case list() as entries:
                return entries
            case {**files} if files and all(isinstance(text, str) for text in files.values()):
                if any(key in files for key in (*SEARCHES, *WHOLES)):
                    return [files]
                return [{"path": path, "content": text} for path, text in files.items()]
    return [item] if any(isinstance(item.get(key), str) for key in SEARCHES) else None


def _edit(entry: Mapping[str, Any], paths: Collection[str]) -> Edit | str:
    """One edit, or what is wrong with it."""

    def text_of(names: tuple[str, ...]) -> str | None:
        return next((entry[name] for name in names if isinstance(entry.get(name), str)), None)

    name = text_of(PATHS) or (next(iter(paths)) if len(paths) == 1 else "")
    if not name:
        return "an edit names no file"
    path = resolve(name, paths) or plain(name)
    search, replace, whole = text_of(SEARCHES), text_of(REPLACES), text_of(WHOLES)
    if search is not None and replace is not None:
        return Replace(path, search, replace)
    if whole is not None and search is None and replace is None:
        return Whole(path, whole)
    return "an edit has neither 'search' and 'replace' nor 'content'"

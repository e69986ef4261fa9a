"""The passage of a file that comes nearest to one that is not there, and what differs.

In: the file's lines and the searched ones. Out: words for the author of an edit. The cost is
bounded: lines are compared by the words that they share, each word weighing the more the rarer it
is in the file, and only the passage that wins is compared line by line.
"""

import difflib
import re
from collections import defaultdict
from collections.abc import Sequence

WORDS_READ = 2000  # of the searched passage
COMMON = 300  # places of a word in the file; a word with more of them says nothing
SHOWN_LINES = 24
DIFFERENCES = 12
COMPARED = 120  # lines of both, one by one
CANDIDATES = 8  # places with the most votes, which are compared letter by letter
SAMPLE = 600  # letters that are compared
ALIKE = 0.3  # of 1; what is less alike is not shown
WIDTH = 120  # characters of a line that are shown
WORD = re.compile(r"[A-Za-z_]\w*|\d[\w.]*")


def nearest_passage(file: Sequence[str], search: Sequence[str]) -> str:
    """What lies nearest in the file, with line numbers, and how it differs from `search`."""
    start = _nearest_start(file, search)
    if start is None:
        return "No passage of the file resembles it."
    end = min(len(file), max(start, 0) + len(search) + 2)
    start = max(0, start)
    passage = file[start:end]
    start, end = _trimmed(passage, search, start)
    shown = range(start, min(end, start + SHOWN_LINES))
    numbered = "\n".join(f"{i + 1:5d} | {_clip(file[i])}" for i in shown)
    rest = f"\n      | ({end - shown.stop} more lines)" if end > shown.stop else ""
    differs = "\n".join(_differences(file[start:end], search))
    where = f"lines {start + 1} to {end}" if end > start + 1 else f"line {end}"
    return (
        f"The nearest passage is {where}:\n{numbered}{rest}\n"
        f"What differs (- the file, + your search):\n{differs}"
    )


def _nearest_start(file: Sequence[str], search: Sequence[str]) -> int | None:
    """The line at which the searched passage would begin, by a vote of the words they share."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for index, line in enumerate(file):
        for word in dict.fromkeys(WORD.findall(line[:1000])):
            places[word].append(index)
    votes: defaultdict[int, float] = defaultdict(float)
    read = 0
    for index, line in enumerate(search):
        words = dict.fromkeys(WORD.findall(line[:1000]))
        read += len(words)
        if read > WORDS_READ:
            break
        for word in words:
            found = places.get(word, ())
            if len(found) <= COMMON:
                for place in found:
                    votes[place - index] += 1 / len(found)
    if not votes:
        return None
    # Lines that were inserted or left out move what follows: neighbours vote along, by half.
    likely = sorted(votes, key=lambda s: (-votes[s] - (votes[s - 1] + votes[s + 1]) / 2, s))[
        :CANDIDATES
    ]
    wanted = _sample(search)
    best, most = None, 0.0
    for start in likely:
        there = _sample(file[max(0, start) : max(0, start) + len(search)])
        ratio = difflib.SequenceMatcher(None, wanted, there, autojunk=False).ratio()
        score = ratio + votes[start] / votes[likely[0]] if votes[likely[0]] else ratio
        if ratio >= ALIKE and score > most:
            best, most = start, score
    return best


def _sample(lines: Sequence[str]) -> str:
    """The beginning of a passage, without its indentation."""
    return "\n".join(line.strip()[:WIDTH] for line in lines[:SHOWN_LINES])[:SAMPLE]


def _trimmed(passage: Sequence[str], search: Sequence[str], start: int) -> tuple[int, int]:
    """The passage without lines at its end that have no counterpart in `search`."""
    size = min(len(passage), len(search))
    known = {line.strip() for line in search if line.strip()}
    while size < len(passage) and passage[size].strip() in known:
        size += 1
    return start, start + max(1, size)


def _differences(passage: Sequence[str], search: Sequence[str]) -> list[str]:
    """The lines that differ, as a diff without context."""
    old, new = list(passage[:COMPARED]), list(search[:COMPARED])
    matcher = difflib.SequenceMatcher(
        None, [line.strip() for line in old], [line.strip() for line in new], autojunk=False
    )
    lines: list[str] = []
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind != "equal":
            lines += [f"    - {_clip(line)}" for line in old[i1:i2]]
            lines += [f"    + {_clip(line)}" for line in new[j1:j2]]
    if not lines:
        lines = ["    (whitespace only)"]
        for there, here in zip(old, new, strict=False):
            if there.rstrip() != here.rstrip():
                lines += [f"    - {_clip(there)!r}", f"    + {_clip(here)!r}"]
    if len(lines) > DIFFERENCES:
        lines[DIFFERENCES:] = [f"    ({len(lines) - DIFFERENCES} more lines)"]
    return lines


def _clip(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}..."

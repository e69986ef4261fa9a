"""A person's research directions: what of the file is said, and what is still to be written.

In: the text of program.md. Out: the same without its HTML comments, which are notes to whoever
writes it and no directions; and how many places that `init` left for a person's words are still
there. Pure.
"""

import re

MARK = "WRITE HERE"  # in a comment that stands where a person's words belong
_COMMENT = re.compile(r"[ \t]*<!--(.*?)-->[ \t]*", re.DOTALL)
_FENCED = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)  # code: kept as it is


def said(program: str) -> str:
    """The directions without their comments."""
    if "<!--" not in program:
        return program
    parts = _FENCED.split(program)
    parts[::2] = [_COMMENT.sub("", part) for part in parts[::2]]
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).lstrip("\n")


def places(program: str) -> int:
    """How many places are still to be filled in."""
    texts = _FENCED.split(program)[::2]
    return sum(MARK in comment for text in texts for comment in _COMMENT.findall(text))

"""Finds lines that stand for code which was left out: "# ... rest unchanged ...".

In: new text, and the text that it takes the place of. Out: the first such line, or nothing. Taken
at its word, a file with such a line would lose the code that the line stands for. A line that the
old text has itself is no elision.
"""

import re
from collections.abc import Collection, Sequence

SUBJECT = (
    r"(?:(?:all|of|the|your|my|rest|remainder|remaining|existing|original|previous|other|old"
    r"|everything|else|code|file|class|script|module|model|functions?|methods?|implementation"
    r"|imports?|constants?|definitions?|parts?|body|logic|lines?|here|above|below|is|are|and|in)"
    r"\b[\s,(:]{0,3}){1,12}"
)
STATE = (
    r"(?:unchanged|untouched|unmodified|omitted|as before|as is\b|goes here"
    r"|(?:is|are|remains?|stays?|kept)\s(?:the\s)?(?:same|as\b|here))"
)
CODE = r"(?:code|file|class|function|script|module|method|implementation)\b"
SAID = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^{SUBJECT}{STATE}",
        rf"^(?:the\s)?(?:rest|remainder)\sof\s(?:the\s|your\s|this\s)?(?:existing\s|original\s)?{CODE}",
        (
            r"^(?:your\s|the\s)?(?:existing|previous|original|remaining)\s"
            r"(?:code|implementation|functions?|methods?|classes|imports)(?:\shere)?$"
        ),
        (
            r"^(?:keep|leave|retain|include|insert|copy|paste)\b.{0,30}"
            r"\b(?:rest|existing|original|remaining|previous)\s"
            r"(?:of\b|code|functions?\b|methods?\b|imports|classes|implementation)"
        ),
        (
            r"^(?:unchanged|same as (?:before|above|original)|no changes?(?: here)?|snip|as before"
            r"|omitted(?: for brevity)?)$"
        ),
    )
)
WORDS = re.compile(
    r"\b(?:rest|remain\w*|unchanged|existing|same|previous|other|omitted|before|as is|code|here"
    r"|keep|snip\w*|original|continue\w*|etc|truncated|abbreviated|identical|untouched)\b",
    re.IGNORECASE,
)
DOTTED = re.compile(r"^[\[({<]?\s{0,3}(?:\.{3,}|\u2026)")
ONLY_DOTS = re.compile(r"^[\[({<\s]{0,4}(?:\.{2,}|\u2026)[\])}>\s.]{0,4}$")
COMMENT = re.compile(r"^(?:#+|//+|/\*+|<!--|--|;+|%+)\s{0,8}(.*?)\s{0,8}(?:\*/|-->)?$")
EMPTY_BODY = re.compile(r"^(?:async\s)?(?:def|class)\s.{0,200}:\s{0,4}(?:\.\.\.|\u2026)")


def elision(new: Sequence[str], old: Collection[str]) -> tuple[int, str] | None:
    """The first line that stands for left-out code, with its number from 1.

    `old`: the lines of the old text, stripped.
    """
    for number, line in enumerate(new, start=1):
        text = line.strip()
        if len(text) < 240 and text and text not in old and _is_elision(text):
            return number, text
    return None


def _is_elision(text: str) -> bool:
    if ONLY_DOTS.match(text) or EMPTY_BODY.match(text):
        return True
    comment = COMMENT.match(text)
    said = comment.group(1).strip() if comment else text
    if (comment and ONLY_DOTS.match(said)) or (DOTTED.match(said) and WORDS.search(said)):
        return True
    return bool(comment) and any(pattern.match(said.strip("()[] .-\u2026")) for pattern in SAID)

"""Foreign text made safe to quote: on one line, in a fence that it can't close, of bounded size.

In: what models, people or untrusted code wrote: titles, hypotheses, reasons, logs. Out: the same
words, without control characters, so that they stand where they were put and nowhere else. What
the words ask for is not looked at: that they are data is said beside them.
"""

import re
import unicodedata

# What colours a terminal, and other sequences that begin with an escape.
_ESCAPES = re.compile(r"\x1b(?:\[[0-9:;<=>?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")
_SURROGATES = re.compile("[\ud800-\udfff]")
_TICKS = re.compile("`+")
CUT = "..."


def one_line(text: str, most: int = 200) -> str:
    """The text on one line of at most `most` characters, without anything that can't be seen."""
    text = text[: 8 * most]  # a title of a megabyte is cut before it is looked at
    if not text.isprintable():
        text = "".join(map(_visible, _ESCAPES.sub("", text)))
    text = " ".join(text.split())
    return text if len(text) <= most else text[: max(0, most - len(CUT))].rstrip() + CUT


def block(text: str) -> str:
    """The lines of the text without escapes and control characters; tabs stay."""
    lines = _ESCAPES.sub("", text).splitlines()
    return "\n".join(
        line if line.isprintable() else "".join(c if c == "\t" else _visible(c) for c in line)
        for line in lines
    )


def head_and_tail(text: str, most: int) -> str:
    """The text, or its first third and its last two thirds with a note of what lies between."""
    if len(text) <= most:
        return text
    note = f"\n[... {len(text) - most:,} characters left out here ...]\n"
    room = max(0, most - len(note))
    head = room // 3
    return text[:head] + note + text[len(text) - (room - head) :]


def fenced(text: str, language: str = "") -> str:
    """The text, as it is, in a Markdown fence that is longer than any within it."""
    longest = max((len(found) for found in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") or not text else "\n"
    return f"{fence}{language}\n{encodable(text)}{end}{fence}"


def encodable(text: str) -> str:
    """The text without halves of characters, which no UTF-8 can carry."""
    return _SURROGATES.sub("\ufffd", text)


def _visible(character: str) -> str:
    """The character; a space for what separates, nothing for what can't be seen."""
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    return "" if unicodedata.category(character)[0] == "C" else character

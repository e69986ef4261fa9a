"""The fields of a proposal, such as "title: ...", however a model decorates them.

In: a line, or the text of a field. Out: the field's name and what it says. What it says of other
experiments is a number or nothing; two numbers where one is meant are a problem, not a choice.
"""

import re

LONGEST = 4000  # characters of a field that are kept
NAMES = {
    "title": r"(?:proposal\s)?title",
    "hypothesis": r"hypothesis",
    "expected": r"expected(?:\s(?:effect|outcome|change|improvement|result|impact|metric|gain))?"
    r"|expectation",
    "parent": r"parent(?:\sexperiment)?",
    "combines": r"combines?(?:\swith)?",
    "instruction": r"instruction(?:\s(?:served|id|number))?|serves(?:\sinstruction)?",
}
_ANY = "|".join(f"(?P<{name}>{words})" for name, words in NAMES.items())
BULLET = r"(?:[-*+>]\s{1,3}|\d{1,2}[.)]\s{1,3}|#{1,6}\s{1,3})?"
FIELD = re.compile(
    rf"^{BULLET}[*_`]{{0,3}}(?:{_ANY})[*_`]{{0,3}}\s{{0,3}}(?:\(optional\))?\s{{0,3}}"
    r"[:\uff1a][*_`]{0,3}\s{0,3}",
    re.IGNORECASE,
)
HEADED = re.compile(rf"^(?:#{{1,6}}\s{{1,3}}[*_]{{0,3}}|\*\*)(?:{_ANY})[*_]{{0,3}}$", re.IGNORECASE)
TAGGED = re.compile(rf"^<(?:{_ANY})>\s{{0,3}}", re.IGNORECASE)
CLOSED = re.compile(r"\s{0,3}</\w{1,20}>\s{0,3}$")
NUMBERED = re.compile(
    r"^(?:(?:#{1,6}\s{1,3}|\*\*)[*_]{0,2}(?:proposal|experiment|idea|option)|proposal)"
    r"\s{0,2}#?(?:\d{1,3}|[A-H])\b[*_]{0,3}"
    r"\s{0,3}(?:[:.)(\-\u2013\u2014]\s{0,3}[*_]{0,3}\s?|$)(?P<title>.*)$",
    re.IGNORECASE,
)
NUMBER = re.compile(
    r"^\W{0,4}(?:the\s|champion,?\s|experiments?\b|exp\b|instructions?\b|id\b|no\b|number\b"
    r"|[\s.:#]){0,8}\d",
    re.IGNORECASE,
)
PAIRS = {'"': '"', "'": "'", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}


def read_field(line: str) -> tuple[str, str] | None:
    """The name of the field that a line begins, and what stands behind it on the line."""
    line = line.strip()
    head = line[:80]
    match = FIELD.match(head) or TAGGED.match(head) or HEADED.match(head)
    if match is None:
        return None
    name = next(name for name in NAMES if match.group(name))
    return name, CLOSED.sub("", line[match.end() : match.end() + LONGEST]).strip()


def read_heading(line: str) -> str | None:
    """The title in a heading such as "### Proposal 2: Deeper", "" if it has none."""
    line = line.strip()
    match = NUMBERED.match(line) if line[:1] in ("#", "*", "p", "P") and len(line) < 300 else None
    if match is None:
        return None
    title = undecorated(match.group("title"))
    return title if "(" in title else title.removesuffix(")")


def undecorated(text: str) -> str:
    """One line without the emphasis and the quotes that stand around the whole of it."""
    text = " ".join(text.split())
    if text.count("**") % 2:  # **Title: like this**
        text = text.replace("**", "")
    while len(text) > 1:
        inner = text[1:-1]
        if text.startswith("**") and text.endswith("**") and text.count("**") == 2:
            text = text[2:-2].strip()
        elif PAIRS.get(text[0]) == text[-1] and text[-1] not in inner and text[0] not in inner:
            text = inner.strip()
        else:
            break
    return text


def read_number(name: str, text: str) -> tuple[int | None, str]:
    """The experiment or instruction that a field names, or a problem; None where it names none."""
    words = re.sub(r"\([^()]{0,300}\)", " ", text[:300])
    words = re.split(r"\bval_bpb\b|[;\u2014]|\s-\s", words)[0]
    numbers = {int(digits) for digits in re.findall(r"(?<![\w.])(\d{1,9})(?![\w.]*\d)", words)}
    wrong = f"its field {name!r} must be one number, not {text[:80]!r}"
    if len(numbers) > 1:
        return None, wrong
    if not numbers:
        return None, ""
    if NUMBER.match(words):
        return numbers.pop(), ""
    return None, wrong if name == "parent" else ""

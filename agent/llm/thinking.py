"""Takes a model's thinking out of its answer: `<think>...</think>` and the like.

In: the text of an answer. Out: what it says aloud. Only tags at the edge of a line count, so that
a tag that is spoken of takes nothing away.
"""

import re

WORDS = "think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis"
TAG = re.compile(
    rf"^[ \t]{{0,8}}<(?P<open>{WORDS})>|</(?P<close>{WORDS})>", re.IGNORECASE | re.MULTILINE
)


def without_thinking(text: str) -> tuple[str, bool]:
    """The text without what was only thought; and whether it ends within a thought.

    An end without a beginning means that all before it was thought: the beginning of some models'
    thinking stands in their prompt.
    """
    kept: list[str] = []
    begun: str | None = None  # the tag's word
    end = 0  # of what has been dealt with
    for match in TAG.finditer(text):
        opens, closes = match.group("open"), match.group("close")
        if begun is None and opens:
            kept.append(text[end : match.start()])
            begun = opens.lower()
        elif closes and (begun == closes.lower() or (begun is None and _at_edge(text, match))):
            if begun is None:
                kept.clear()
            begun, end = None, match.end()
    if begun is not None:
        return "\n".join(kept), True
    kept.append(text[end:])
    return "\n".join(kept), False


def _at_edge(text: str, match: re.Match[str]) -> bool:
    """Whether a tag begins or ends its line."""
    before, after = (
        text[max(0, match.start() - 8) : match.start()],
        text[match.end() : match.end() + 8],
    )
    before = before.rpartition("\n")[2] if "\n" in before or len(before) < 8 else "x"
    return not before.strip() or not after.partition("\n")[0].strip()

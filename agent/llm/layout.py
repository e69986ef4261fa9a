"""Where the fixed points of an answer lie: tags, blocks, and which fence ends which.

In: the lines of an answer. Out: answers to "what comes next?" without reading on, so that an
answer is read in linear time however it is broken.
"""

from bisect import bisect_right
from collections.abc import Sequence

from agent.llm.marks import MARKS, Fence, fence_of, is_end_mark, is_tag, proposal_tag, search_mark


class Layout:
    """The fixed points of an answer's lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.close_of: dict[int, int] = {}  # the line that opens a fence -> the one that closes it
        self.closing: set[int] = set()
        self.tagged = False  # whether a proposal has its tag
        self._hard: list[int] = []  # tags and first marks of blocks
        self._notebook_ends: list[int] = []
        self._tags: list[int] = []
        opened: list[tuple[int, Fence]] = []
        in_block = False
        for index, line in enumerate(lines):
            if line.lstrip()[:1] not in MARKS:
                continue
            if proposal_tag(line) or is_tag(line, "notebook") or is_tag(line, "/notebook"):
                self.tagged |= proposal_tag(line) == "open"
                self._hard.append(index)
                self._tags.append(index)
                if is_tag(line, "/notebook"):
                    self._notebook_ends.append(index)
                opened.clear()
                in_block = False
            elif search_mark(line):
                self._hard.append(index)
                in_block = True
            elif is_end_mark(line):
                in_block = False
            elif not in_block and (fence := fence_of(line)):
                self._match(index, fence, opened)

    def _match(self, index: int, fence: Fence, opened: list[tuple[int, Fence]]) -> None:
        if opened and fence.closes(opened[-1][1]):
            self.close_of[opened.pop()[0]] = index
            self.closing.add(index)
        elif not opened or fence.mark.startswith(opened[-1][1].mark):
            opened.append((index, fence))

    def next_hard(self, index: int) -> int | None:
        """The next tag or block behind a line."""
        return _next(self._hard, index)

    def next_tag(self, index: int) -> int | None:
        """The next tag behind a line."""
        return _next(self._tags, index)

    def notebook_end(self, index: int) -> int | None:
        """The next line that ends a notebook."""
        return _next(self._notebook_ends, index)


def _next(places: Sequence[int], index: int) -> int | None:
    found = bisect_right(places, index)
    return places[found] if found < len(places) else None

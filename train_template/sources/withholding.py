"""Which of the documents that lie here are withheld, as rules on sizes and order alone.

In: documents with their sizes in bytes, in an order that says nothing about the text. Out: which
split each belongs to, whole, or which parts of it where they are too few for that. What a document
is, and where its order comes from (a hash of its name, or of its text), is the source's to say.
"""

from collections.abc import Iterator, Mapping

from train_template.sources.source import SPLITS, Split

WITHHELD_SHARE = 0.05  # of the text, for each withheld split
WHOLE_SHARE = 4 * WITHHELD_SHARE  # of the text that must be in small ones to withhold some whole
FEW_DOCUMENTS = 20  # below this, the text is cut by position: 5 % of 19 like ones is none

Part = tuple[Split, int, int]  # of a document: its split, first byte, and the one after the last


def whole(ranked: Mapping[str, int]) -> dict[str, Split]:
    """Which document goes where, whole; empty where too few are small enough for that.

    The first are withheld until they hold the share, so that the choice hangs on order and sizes
    alone and moves little when a document is added. One larger than the share is never withheld:
    so no split holds less than it or, of a text of which four times as much lies in smaller
    documents, more than twice as much.
    """
    total = sum(ranked.values())
    share = WITHHELD_SHARE * total
    small = [name for name, size in ranked.items() if size <= share]
    held = sum(ranked[name] for name in small)
    if len(ranked) < FEW_DOCUMENTS or not total or held < WHOLE_SHARE * total:
        return {}
    split_of: dict[str, Split] = dict.fromkeys(ranked, "train")
    left = iter(small)
    for split in SPLITS[1:]:
        withheld = 0
        while withheld < share:
            name = next(left)
            split_of[name] = split
            withheld += ranked[name]
    return split_of


def cut(sizes: Mapping[str, int]) -> Iterator[tuple[str, Part]]:
    """Parts of the text end to end, cut by position: train first, then validation, then audit."""
    total = sum(sizes.values())
    share = round(WITHHELD_SHARE * total)
    borders = (0, total - 2 * share, total - share, total)
    position = 0
    for name, size in sizes.items():
        for split, start, end in zip(SPLITS, borders, borders[1:], strict=False):
            first, last = max(0, start - position), min(size, end - position)
            if first < last:
                yield name, (split, first, last)
        position += size

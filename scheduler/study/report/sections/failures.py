"""What failed, and what looked good and was not."""

import re
from collections import Counter

from scheduler.rules.states import ExperimentState
from scheduler.study.judged import confirmed_in_vain
from scheduler.study.listing import by_numbers
from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Column, Section, Table, Words
from scheduler.study.report.material import Material
from workers.log import sentence

KINDS, IN_VAIN, CLOSE = 12, 20, 10
FAILURES = tuple(state for state in ExperimentState if state.is_failure)


def failures(material: Material) -> Section | None:
    """Summarised: all of them would be a book."""
    blocks = [*_failed(material), *_in_vain(material), *_discarded(material)]
    return Section("What failed, and what did not help", blocks) if blocks else None


def _failed(material: Material) -> list[Block]:
    """The reasons by kind, the most frequent first."""
    marks = ", ".join("?" * len(FAILURES))
    rows = material.reader.db.execute(
        f"SELECT state, reason, id FROM experiment WHERE state IN ({marks}) ORDER BY id",  # noqa: S608
        FAILURES,
    )
    kinds: Counter[tuple[str, str]] = Counter()
    latest: dict[tuple[str, str], tuple[int, str]] = {}
    for row in rows:
        reason = sentence(row["reason"], 160)
        kind = (row["state"], _alike(reason))
        kinds[kind] += 1
        latest[kind] = row["id"], reason
    if not kinds:
        return []
    shown = [
        (f"{number:,}", kind[0], latest[kind][1], f"#{latest[kind][0]}")
        for kind, number in kinds.most_common(KINDS)
    ]
    caption = f"{wording.count(kinds.total(), 'experiment')} failed"
    if len(kinds) > KINDS:
        caption += f": the {KINDS} most frequent kinds of {len(kinds):,}"
    columns = (
        *(Column("times", is_number=True), Column("state"), Column("reason of the latest")),
        Column("id", is_number=True),
    )
    return [Table(caption, columns, shown)]


def _alike(reason: str) -> str:
    """What reasons of one kind have in common: all but their numbers and places."""
    return re.sub(r"\d+", "0", reason.partition(" (train.py, line")[0])


def _in_vain(material: Material) -> list[Block]:
    found = confirmed_in_vain(material.reader, IN_VAIN)
    experiments = by_numbers(material.reader, [number for number, _ in found])
    rows = [
        (
            f"#{number}",
            wording.title(experiments[number]),
            wording.change(evidence.effect),
            wording.within(evidence.standard_error or None),
            str(evidence.seeds),
            wording.chance(evidence.p),
        )
        for number, evidence in found
    ]
    if not rows:
        return []
    columns = (
        *(Column("id", is_number=True), Column("change"), Column("effect", is_number=True)),
        *(Column("standard error", is_number=True), Column("seeds", is_number=True)),
        Column("p", is_number=True),
    )
    caption = "Better in the first trial, and not confirmed by further seeds"
    if len(rows) == IN_VAIN:
        caption += f": the {IN_VAIN} with the most seeds"
    return [Table(caption, columns, rows)]


def _discarded(material: Material) -> list[Block]:
    """How many, and those that came closest."""
    count = material.study.counts.get(ExperimentState.DISCARD, 0)
    if not count:
        return []
    order = "metric" if material.minimize else "metric DESC"
    query = (
        "SELECT id, title, metric, reason FROM experiment WHERE state = ? AND metric IS NOT NULL"  # noqa: S608
        f" ORDER BY {order}, id LIMIT ?"
    )
    rows = material.reader.db.execute(query, (ExperimentState.DISCARD, CLOSE))
    shown = [
        (
            f"#{row['id']}",
            sentence(row["title"], wording.LONGEST_TITLE),
            wording.metric(row["metric"]),
            sentence(row["reason"], 200),
        )
        for row in rows
    ]
    columns = (
        *(Column("id", is_number=True), Column("change")),
        *(Column(material.metric, is_number=True), Column("why it was discarded")),
    )
    words = (
        f"{wording.count(count, 'experiment')} ran and {'was' if count == 1 else 'were'} "
        "discarded, most of them because they were worse. All of them: autoresearch export."
    )
    return [Words(words), Table("The best of the discarded", columns, shown)]

"""Who proposed what, and what came of it: each model, the tuner, people."""

from scheduler import figures
from scheduler.rules.states import ExperimentState
from scheduler.study.report import wording
from scheduler.study.report.blocks import Column, Section, Table, Words
from scheduler.study.report.material import Material
from workers.log import sentence

MOST = 40


def researchers(material: Material) -> Section | None:
    """By the origin of the experiments; what calls cost is known of models alone."""
    arms = {each.name: each for each in material.study.arms}
    rows = material.reader.db.execute(
        "SELECT origin, count(*) AS number, sum(decided_at IS NOT NULL) AS decided,"
        " sum(state = ?) AS kept, sum(state IN (?, ?, ?, ?)) AS failed"
        " FROM experiment WHERE parent IS NOT NULL GROUP BY origin ORDER BY kept DESC, number DESC"
        " LIMIT ?",
        (
            ExperimentState.KEEP,
            *(state for state in ExperimentState if state.is_failure),
            MOST,
        ),
    ).fetchall()
    if not rows:
        return None
    shown = []
    for row in rows:
        arm = arms.get(row["origin"])
        share = f"{100 * row['kept'] / row['decided']:.0f} %" if row["decided"] else wording.NONE
        gain = figures.amount(arm.best_gain) if arm and arm.best_gain else wording.NONE
        refused = f"{arm.refused:,}" if arm else wording.NONE
        called = arm is not None and arm.calls > 0
        shown.append(
            (
                sentence(row["origin"], 80),
                f"{row['number']:,}",
                f"{row['kept']:,}",
                share,
                f"{row['failed']:,}",
                refused,
                gain,
                f"{arm.tokens:,}" if arm and called else wording.NONE,
                wording.dollars(arm.dollars) if arm and called else wording.NONE,
            )
        )
    columns = (
        *(Column("proposed by"), Column("experiments", is_number=True)),
        *(Column("kept", is_number=True), Column("of the decided", is_number=True)),
        *(Column("failed", is_number=True), Column("refused before", is_number=True)),
        *(Column("largest gain", is_number=True), Column("tokens", is_number=True)),
        Column("cost", is_number=True),
    )
    words = (
        "Shares of so few compare badly: who won early found the larger effects, and the study "
        "itself gave more work to who won."
    )
    table = Table("Proposals and what came of them", columns, shown)
    return Section("Who proposed", (table, Words(words)))

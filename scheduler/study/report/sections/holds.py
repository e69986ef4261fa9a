"""Whether the gains hold: on text that ranks nothing, and with a longer budget."""

from scheduler.rules.order import Comparison, check_order
from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Caution, Column, Section, Table, Words
from scheduler.study.report.material import Material


def holds(material: Material) -> Section | None:
    """The champions by each measure, and what is to be doubted."""
    order = check_order(material.reader.figures(), minimize=material.minimize)
    blocks: list[Block] = [Caution(warning) for warning in order.warnings]
    for name, comparison in (
        ("on the audit split, text that ranks nothing", order.audit),
        ("with the longer budget", order.long),
    ):
        if comparison.leaders:
            blocks += [
                Words(f"{name[0].upper()}{name[1:]}: {comparison.words}."),
                _table(name, comparison),
            ]
    return Section("Do the gains hold?", blocks) if blocks else None


def _table(name: str, comparison: Comparison) -> Table:
    columns = (
        *(Column("champion", is_number=True), Column("as usual", is_number=True)),
        *(Column(name.partition(",")[0], is_number=True), Column("gain as usual", is_number=True)),
        *(Column("gain there", is_number=True), Column("noise", is_number=True)),
    )
    gains = {gain.experiment: gain for gain in comparison.gains}
    rows = []
    for leader in comparison.leaders:
        gain = gains.get(leader.experiment)
        rows.append(
            (
                f"#{leader.experiment}",
                wording.metric(leader.usual),
                wording.metric(leader.other),
                wording.change(gain.usual if gain else None),
                wording.change(gain.other if gain else None),
                wording.within(gain.noise if gain else None),
            )
        )
    return Table(f"Champions {name}", columns, rows)

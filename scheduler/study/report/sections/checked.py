"""Whether every decision comes out again from what the trials measured."""

from scheduler.study.recheck import recheck
from scheduler.study.report import wording
from scheduler.study.report.blocks import Caution, Section, Words
from scheduler.study.report.material import Material

LONGEST = 3000  # experiments: a second or two
SHOWN = 20


def checked(material: Material) -> Section | None:
    """All decisions, taken again; of a long study that would take longer than one waits."""
    if material.study.experiments > LONGEST:
        return None
    found = list(recheck(material.reader, minimize=material.minimize))
    if not found:
        return None
    wrong = [each for each in found if not each.agrees]
    words = (
        f"{wording.count(len(found), 'decision')} to keep or to discard, taken again from the "
        "recorded outcomes by the rules of this version: "
    )
    if not wrong:
        return Section("Checked", [Words(f"{words}every one comes out as it was recorded.")])
    named = ", ".join(f"#{each.experiment}" for each in wrong[:SHOWN])
    more = f" and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
    caution = (
        f"{words}{wording.count(len(wrong), 'comes', 'come')} out otherwise ({named}{more}). "
        "Another version of the rules took them, or figures were changed afterwards."
    )
    return Section("Checked", [Caution(caution)])

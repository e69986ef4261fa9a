"""What it cost: time of the slots, and calls to models."""

from scheduler.study.report import wording
from scheduler.study.report.blocks import Facts, Section
from scheduler.study.report.material import Material


def cost(material: Material) -> Section:
    """Time and money."""
    study, claims = material.study, material.config.workers
    hours = study.trial_seconds / 3600
    what, each = (
        ("GPU-hours", claims.gpus_per_trial)
        if claims.gpus_per_trial
        else ("core-hours", material.config.trial_resources(0, 1).cpus)
    )
    busy = wording.NONE
    if study.trial_seconds:
        busy = f"{100 * study.train_seconds / study.trial_seconds:.1f} %"
    facts = [
        ("open for", wording.duration(material.open_seconds)),
        ("sessions", str(len(material.sessions))),
        (
            "time of the slots",
            f"{wording.duration(study.trial_seconds)} ({hours * each:.1f} {what})",
        ),
        ("of that, training", busy),
    ]
    if study.calls:
        facts += [
            ("calls to models", f"{study.calls:,}"),
            ("tokens, in and out", f"{study.tokens:,}"),
            ("cost of the calls", wording.dollars(study.dollars)),
        ]
    else:
        facts.append(("calls to models", "none"))
    return Section("Cost", (Facts(facts),))

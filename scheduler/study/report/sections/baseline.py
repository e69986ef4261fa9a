"""Where it began, and how much a figure varies when only the seed changes."""

from scheduler import figures
from scheduler.rules.intervals import half_width, sigma_range
from scheduler.rules.noise import Noise
from scheduler.rules.states import ExperimentState, TrialKind
from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Caution, Column, Section, Table, Words
from scheduler.study.report.material import Material
from workers.log import sentence

FEW = 5  # degrees of freedom below which sigma itself is hardly known
TRIALS = 20


def baseline(material: Material) -> Section | None:
    """The baseline's trials, and the noise of each class of hardware."""
    first = material.reader.baseline()
    if first is None:
        return None
    started = material.baseline.experiment if material.baseline else first
    return Section("Baseline and noise", (*_trials(material, started.id), *_noise(material)))


def _trials(material: Material, number: int) -> list[Block]:
    experiment = material.reader.experiment(number)
    every = material.reader.trials(number)
    trials = [t for t in every if t.outcome is not None and t.kind is TrialKind.USUAL]
    blocks: list[Block] = []
    if experiment is not None and experiment.state is not ExperimentState.KEEP:
        reason = f": {sentence(experiment.reason)}" if experiment.reason else ""
        failed = experiment.state.is_failure
        what = f"failed ({experiment.state})" if failed else f"is {experiment.state}"
        words = f"The baseline {what}{reason}. "
        blocks.append(Caution(f"{words}Without it nothing can be compared."))
    rows = [
        (
            str(t.number),
            str(t.seed),
            wording.metric(t.outcome.metric) if t.outcome.metric is not None else t.outcome.status,
            f"{t.outcome.steps:,}",
            wording.duration(t.outcome.timings.total),
            sentence(t.outcome.hardware, 60) or wording.NONE,
        )
        for t in trials[:TRIALS]
        if t.outcome is not None
    ]
    if rows:
        columns = (
            *(Column("trial", is_number=True), Column("seed", is_number=True)),
            *(Column(material.metric, is_number=True), Column("steps", is_number=True)),
            *(Column("took", is_number=True), Column("hardware")),
        )
        caption = f"Trials of the baseline, #{number}"
        if len(trials) > TRIALS:
            caption += f": the first {TRIALS} of {len(trials)}"
        blocks.append(Table(caption, columns, rows))
    return blocks


def _noise(material: Material) -> list[Block]:
    known = {name: noise for name, noise in material.noise.items() if noise.sigma is not None}
    if not known:
        return [
            Caution(
                "The noise is not known: no code was run with more than one seed. So nobody can "
                "say whether a difference between two figures is more than luck. "
                "keep.baseline_repeats of 3 or more, or keep.most_seeds, measure it."
            )
        ]
    rows = [_row(name, noise) for name, noise in known.items()]
    columns = (
        Column("hardware"),
        *(Column("sigma", is_number=True), Column("95 % interval", is_number=True)),
        Column("degrees of freedom", is_number=True),
        Column("two single trials of one code differ by less than", is_number=True),
    )
    words = (
        "Sigma is the standard deviation of one trial when only the seed changes, pooled over all "
        "code that was run with several seeds; first trials by which something was chosen are left "
        "out. The last column holds in 95 % of the cases: a smaller difference between two single "
        "trials means nothing."
    )
    blocks: list[Block] = [Table("Noise", columns, rows), Words(words)]
    if equal := [sentence(name, 60) for name, noise in known.items() if noise.is_nil]:
        blocks.append(
            Caution(
                f"On {', '.join(equal) or 'this hardware'} every repeat gave the same figure: the "
                "seed changes nothing, so that the noise is not measured and no p can be given."
            )
        )
    if any(noise.degrees < FEW and not noise.is_nil for noise in known.values()):
        blocks.append(
            Caution(f"Fewer than {FEW} degrees of freedom: sigma itself is hardly known.")
        )
    return blocks


def _row(name: str, noise: Noise) -> tuple[str, ...]:
    if noise.is_nil:
        none = (wording.NONE, f"{noise.degrees:g}", wording.NONE)
        return (sentence(name, 60) or "not recorded", "not measured", *none)
    low, high = sigma_range(noise) or (0.0, 0.0)
    return (
        sentence(name, 60) or "not recorded",
        figures.amount(noise.sigma or 0.0),
        f"{figures.amount(low)} to {figures.amount(high)}",
        f"{noise.degrees:g}",
        figures.amount(half_width(noise, 1, 1) or 0.0),
    )

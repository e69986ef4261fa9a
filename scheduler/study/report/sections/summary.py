"""In short: from where to where, how sure that is, and at what cost."""

from scheduler.reasons import why
from scheduler.rules.intervals import half_width
from scheduler.rules.noise import Noise
from scheduler.rules.states import ExperimentState
from scheduler.study.report import wording
from scheduler.study.report.blocks import Caution, Facts, Section, Words
from scheduler.study.report.material import Kept, Material
from workers.log import sentence


def summary(material: Material) -> Section:
    """The first thing that a reader sees."""
    study, config = material.study, material.config
    state = f"{study.state}: {sentence(why(study))}" if why(study) else str(study.state)
    if study.state.is_open and not material.runs:
        state = "nothing runs it now; it was not ended when it was last heard of"
    confirmed = sum(1 for each in material.wins if each.is_tested)
    exact = sum(1 for each in material.wins if each.is_exact)
    kept = wording.count(len(material.wins), "change")
    if material.wins:
        kept += f", {confirmed} of them confirmed with further seeds"
        kept += f", {exact} by repeats that were all equal" if exact else ""
    facts = [
        ("metric", f"{material.metric}, {'lower' if material.minimize else 'higher'} is better"),
        ("baseline", _figure(material.baseline)),
        ("best", _figure(material.champion) if material.wins else wording.NONE),
        ("experiments", _counts(material)),
        ("kept", kept),
        ("budget of a trial", config.budget_words()),
        ("open for", wording.duration(material.open_seconds)),
        ("state", state),
    ]
    return Section("In short", (*_result(material), Facts(facts), *_cautions(material)))


def _figure(kept: Kept | None) -> str:
    if kept is None:
        return wording.NONE
    found = kept.estimate
    half = f" {wording.within(found.half)}" if found.half is not None else ""
    trials = f"{wording.count(found.trials, 'trial')}{', by which it was chosen' * found.chosen}"
    return f"{wording.metric(found.mean)}{half} (#{kept.experiment.id}, {trials})"


def _counts(material: Material) -> str:
    counts = material.study.counts
    kept = counts.get(ExperimentState.KEEP, 0)
    baselines = int(material.baseline is not None)  # it was kept, and is no win
    words = {ExperimentState.KEEP: "kept", ExperimentState.DISCARD: "discarded"}
    many = {**counts, ExperimentState.KEEP: kept - baselines}
    parts = ["the baseline"] * baselines
    parts += [f"{many[s]:,} {words.get(s, s)}" for s in ExperimentState if many.get(s)]
    return f"{material.study.experiments:,} ({', '.join(parts)})" if parts else "none"


def _result(material: Material) -> list[Words | Caution]:
    """The result in a sentence."""
    first, best = material.baseline, material.champion
    if first is None or best is None:
        why_not = sentence(why(material.study)) or "no baseline has been measured yet"
        return [Caution(f"There is no figure: {why_not}.")]
    if not material.wins:
        return [Words("Nothing was kept: no experiment was found to be better than the baseline.")]
    old, new = first.estimate, best.estimate
    gain = new.mean - old.mean
    text = (
        f"{material.metric} went from {wording.metric(old.mean)} to {wording.metric(new.mean)}: "
        f"{wording.change(gain)}, which is {wording.percent(gain, old.mean)}"
    )
    if old.hardware != new.hardware:
        text += (
            f". The two were measured on different hardware ({old.hardware} and {new.hardware}), "
            "so that they hardly compare"
        )
    elif old.trials and new.trials:
        noise = material.noise.get(new.hardware, Noise())
        half = half_width(noise, old.trials, new.trials)
        if half:
            text += f" (95 % interval: {wording.within(half)}"
            text += ", which knows nothing of the luck of being chosen)" if new.chosen else ")"
    return [Words(f"{text}.")]


def _cautions(material: Material) -> list[Caution]:
    """What a reader must know to believe no more than is shown."""
    found = []
    wins = material.wins
    if material.config.task.self_reported:
        found.append(
            f"{material.config.task.metric.name} is self-reported: it is what the edited code says "
            "of itself, which nobody has measured again. Read what the champion changed before you "
            "believe its figure."
        )
    exact = [each for each in wins if each.is_exact]
    plain = [each for each in wins if not each.is_tested and not each.is_exact]
    if exact:
        found.append(
            f"{wording.count(len(exact), 'change')} of {len(wins)} "
            f"{'was' if len(exact) == 1 else 'were'} kept where every repeat gave the same figure: "
            "the seed changes nothing, so there is no p and no interval. What is better is so on "
            "this very run; whether it holds for other data or another order, no repeat has shown."
        )
    if wins and len(plain) == len(wins):
        found.append(
            "Nothing was confirmed. Each change was kept because its figure was better than the "
            "champion's, which luck can win too, and the figures of what was kept are the lucky "
            "ones: run again, most come out somewhat worse. With keep.most_seeds above 0 a study "
            "confirms what it keeps."
        )
    elif plain:
        numbers = ", ".join(f"#{each.experiment.id}" for each in plain[:20])
        found.append(
            f"{wording.count(len(plain), 'change')} of {len(wins)} "
            f"{'was' if len(plain) == 1 else 'were'} kept by a plain comparison, which luck can "
            f"win too: {numbers}{', ...' if len(plain) > 20 else ''}."
        )
    if material.runs:
        found.append("The study still runs: this is how it stood when the report was made.")
    return [Caution(each) for each in found]

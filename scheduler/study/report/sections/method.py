"""How it was found out: what was edited, run, measured and compared, and by which rule."""

import shlex

from scheduler.study.report import wording
from scheduler.study.report.blocks import Facts, Section, Words
from scheduler.study.report.material import Material
from workers.log import sentence


def method(material: Material) -> Section:
    """In sentences, with the figures that decide."""
    config = material.config
    first = _own(material) if config.task.self_reported else _refereed(material)
    data = [
        ("data", f"{config.data.source}, {config.data.tokenizer}"),
        ("sequence length", f"{config.data.sequence_length:,} tokens"),
    ]
    facts = [
        ("proposed by", ", ".join((*config.agent.models, "the tuner"))),
        ("seed of the study", str(config.seed)),
        *([] if config.task.self_reported else data),
        ("hardware", "; ".join(_hardware(material)) or wording.NONE),
        ("slots", f"{material.study.slots:,}"),
    ]
    return Section("Method", (Words(first), Words(_rule(material)), Facts(facts)))


def _refereed(material: Material) -> str:
    """What becomes of an edit of the bundled task."""
    config = material.config
    files = ", ".join(config.task.editable)
    budget = config.budget
    measure = (
        f"{budget.seconds:g} seconds of training, counted from its first real batch; so a change "
        "that makes a step slower has to win in fewer steps"
        if budget.seconds is not None
        else f"{budget.steps} optimizer steps, however long they take"
    )
    return (
        f"Each experiment is one edit of {files}, with a hypothesis. A trial runs it on a device "
        f"of its own: {measure}. Afterwards {material.metric} is measured on text that it was not "
        f"trained on ({config.data.validation_tokens:,} tokens, data: {config.data.source}). The "
        "edited code does not compute its own score: a separate process asks it for predictions "
        "and scores them. An experiment that fails has no figure and no rank."
    )


def _own(material: Material) -> str:
    """The same for a repository of one's own."""
    task = material.config.task
    command = task.command if isinstance(task.command, str) else shlex.join(task.command or ())
    limits = [
        f"{limit.name} {sign} {bound:g}"
        for limit in task.limits()
        for sign, bound in ((">=", limit.least), ("<=", limit.most))
        if bound is not None
    ]
    kept = f" A trial that breaks a limit is rejected: {', '.join(limits)}." if limits else ""
    return (
        f"Each experiment is one edit of {', '.join(task.editable)} in {task.source}, with a "
        f"hypothesis. A trial runs {sentence(command)} in a copy of it, on a device of its own, "
        f"with a budget of {material.config.budget_words()} "
        f"({'enforced from outside' if task.budget == 'enforced' else 'kept to by the script'}). "
        f"{task.metric.name} is self-reported: the code that is edited says it itself, and nobody "
        "has checked it. Files that can't be edited are compared after each run, and a run that "
        f"changed one is rejected.{kept} An experiment that fails has no figure and no rank."
    )


def _hardware(material: Material) -> list[str]:
    rows = material.reader.db.execute(
        "SELECT DISTINCT device FROM outcome WHERE device != '' LIMIT 20"
    )
    return [sentence(row["device"], 80) for row in rows]


def _rule(material: Material) -> str:
    """What it takes to be kept, with the settings in force now."""
    criteria = material.config.criteria()
    if criteria is None:
        return (
            "The rule for keeping is a plain comparison: an experiment whose figure is better "
            "than the champion's is kept, by however little. No further seeds confirm it "
            "(keep.most_seeds is 0)."
        )
    return (
        "The rule for keeping: an experiment whose first trial beats the champion by more than "
        f"{wording.count(criteria.gate, 'standard deviation')} of the noise is run again with "
        f"further seeds, up to {criteria.most_seeds}, beside the champion with the same ones. It "
        "is kept where a t-test on these, its first trial left out, shows it to be better; a "
        "change that is no better is kept with a chance of at most "
        f"{100 * criteria.false_keep_rate:g} %, all looks counted. Effects below "
        f"{_smallest(criteria.smallest_effect, criteria.relative)} may be missed. Trials are "
        "compared within one class of hardware only."
    )


def _smallest(effect: float, relative: bool) -> str:
    return f"{100 * effect:g} % of the metric" if relative else f"{effect:g}"

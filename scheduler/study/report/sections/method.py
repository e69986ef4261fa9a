"""How it was found out: what was edited, run, measured and compared, and by which rule."""

from scheduler.study.report import wording
from scheduler.study.report.blocks import Facts, Section, Words
from scheduler.study.report.material import Material
from workers.log import sentence


def method(material: Material) -> Section:
    """In sentences, with the figures that decide."""
    config = material.config
    files = ", ".join(config.task.editable)
    budget = config.budget
    measure = (
        f"{budget.seconds:g} seconds of training, counted from its first real batch; so a change "
        "that makes a step slower has to win in fewer steps"
        if budget.seconds is not None
        else f"{budget.steps} optimizer steps, however long they take"
    )
    first = (
        f"Each experiment is one edit of {files}, with a hypothesis. A trial runs it on a device "
        f"of its own: {measure}. Afterwards {material.metric} is measured on text that it was not "
        f"trained on ({config.data.validation_tokens:,} tokens, data: {config.data.source}). The "
        "edited code does not compute its own score: a separate process asks it for predictions "
        "and scores them. An experiment that fails has no figure and no rank."
    )
    facts = [
        ("proposed by", ", ".join((*config.agent.models, "the tuner"))),
        ("seed of the study", str(config.seed)),
        ("data", f"{config.data.source}, {config.data.tokenizer}"),
        ("sequence length", f"{config.data.sequence_length:,} tokens"),
        ("hardware", "; ".join(_hardware(material)) or wording.NONE),
        ("slots", f"{material.study.slots:,}"),
    ]
    return Section("Method", (Words(first), Words(_rule(material)), Facts(facts)))


def _hardware(material: Material) -> list[str]:
    rows = material.reader._db.execute(
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
        f"The rule for keeping: an experiment whose first trial beats the champion by more than "
        f"{criteria.gate:g} standard deviations of the noise is run again with further seeds, up "
        f"to {criteria.most_seeds}, beside the champion with the same ones. It is kept where a "
        "t-test on these, its first trial left out, shows it to be better; a change that is no "
        f"better is kept with a chance of at most {100 * criteria.false_keep_rate:g} %, all looks "
        f"counted. Effects below {_smallest(criteria.smallest_effect, criteria.relative)} may be "
        "missed. Trials are compared within one class of hardware only."
    )


def _smallest(effect: float, relative: bool) -> str:
    return f"{100 * effect:g} % of the metric" if relative else f"{effect:g}"

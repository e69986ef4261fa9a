"""Which words name a measure, which way it is better, and on which data it was taken.

In: words as people write them: `val_loss`, "Test set accuracy", `losses['val']`. Out: a `Name`, or
None. The weights only order what is offered first to a person, and is taken where nobody is asked:
any validation metric before any test metric, which nothing should be chosen by.
"""

import re
from dataclasses import dataclass
from typing import Literal

Goal = Literal["minimize", "maximize"]

_LOWER = {
    "bpb": 9, "bpc": 9, "bits": 6, "loss": 7, "nll": 7, "ce": 5, "perplexity": 7, "ppl": 7,
    "mse": 6, "rmse": 6, "mae": 6, "error": 5, "err": 5, "wer": 7, "cer": 7, "fid": 7,
    "brier": 6, "elbo": 5, "regret": 6,
}  # fmt: skip
_HIGHER = {
    "accuracy": 8, "acc": 7, "top1": 6, "f1": 7, "auc": 7, "auroc": 7, "r2": 6, "bleu": 7,
    "rouge": 7, "score": 5, "reward": 6, "return": 5, "iou": 7, "miou": 7, "map": 5, "ndcg": 7,
    "dice": 7, "precision": 4, "recall": 4, "psnr": 7, "ssim": 6, "winrate": 6, "spearman": 6,
    "pearson": 6, "mcc": 7,
}  # fmt: skip
_SPLITS = {
    "val": 30, "valid": 30, "validation": 30, "dev": 30, "heldout": 30, "holdout": 30, "eval": 29,
    "evaluation": 29, "test": 5, "final": 2, "best": 1, "avg": 0, "average": 0, "mean": 0,
    "train": -8, "training": -8, "batch": -4, "aux": -6, "smooth": -2, "smoothed": -2,
}  # fmt: skip
_VALIDATION = frozenset(word for word, weight in _SPLITS.items() if weight >= 29)
_EVALUATION = frozenset(
    {"eval", "evaluation"}
)  # of the training or the test set, if said beside it
_PLAIN = -2  # said without the data that it was measured on: often the training loss
# What goes beside a measure and makes it another thing.
_OTHER = frozenset({"lr", "time", "seconds", "weight", "scale", "steps", "per", "count", "id"})


@dataclass(frozen=True)
class Name:
    """A measure's name, as a table would show it."""

    text: str
    goal: Goal
    weight: int


def words_of(text: str) -> list[str]:
    """The words in a label or an expression, in lower case: `valLoss[0]` is val, loss, 0."""
    text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return re.findall(r"[a-z]+[0-9]*|[0-9]+", text.lower())


def name_of(text: str) -> Name | None:
    """The measure that these words name; None where they name none."""
    words = words_of(text)
    places = [n for n, word in enumerate(words) if word in _LOWER or word in _HIGHER]
    if not places or not _OTHER.isdisjoint(words[max(0, places[-1] - 1) :]):
        return None
    last = places[-1]
    first = min(n for n, word in enumerate(words) if n in places or word in _SPLITS)
    used = words[min(first, last) : last + 1]
    measure = words[last]
    splits = {word: _SPLITS[word] for word in words if word in _SPLITS}
    other = _VALIDATION if "test" in splits else _EVALUATION if "train" in splits else frozenset()
    data = sum(weight for word, weight in splits.items() if word not in other)
    weight = (_LOWER.get(measure) or _HIGHER[measure]) + (data if splits else _PLAIN)
    goal: Goal = "minimize" if measure in _LOWER else "maximize"
    return Name("_".join(used[-4:]), goal, weight)


def goal_of(text: str) -> Goal:
    """Which way a metric of this name is better, as far as its words tell; else lower."""
    named = name_of(text)
    return named.goal if named else "minimize"


def knows(text: str) -> bool:
    """Whether the words of a name say which way is better."""
    return name_of(text) is not None

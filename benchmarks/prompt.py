"""What a prompt costs: seconds to write it and tokens, by the length of the study.

Synthetic studies of 10, 100 and 5,000 experiments, briefed as the scheduler does it (20 leaders, 30
latest, 200 that differ in constants only, up to 400 lessons), on the bundled task's own code.
Tokens are counted with litellm. "first" is a prompt of which nothing was counted before,
"next" one after a further experiment has ended. No network: litellm's own price list.
"""

import importlib
import os
import random
import statistics
import time
from dataclasses import replace
from pathlib import Path

from agent.briefing import Briefing, Code, Constants, Instruction, PastExperiment
from agent.lessons import write_lesson
from agent.llm.counting import Counts
from agent.llm.plan import make_plan
from agent.llm.prompt import write_prompt
from agent.notebook import condense
from agent.source import edit_constants, identify

ROOT = Path(__file__).parent.parent
MODELS = ("gpt-4o", "anthropic/claude-sonnet-4-5", "ollama/llama3.1")
SIGMA, LESSONS_MOST, CONDENSED_AFTER = 0.002, 400, 300
REASONS = (
    ("oom", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (train.py, line 98)"),
    (
        "crash",
        "RuntimeError: shapes cannot be multiplied (512x64 and 128x512) (train.py, line 141)",
    ),
    ("timeout", "startup with warm_up outlasted its limit of 180 s"),
    ("rejected", "not causal: in 8 of 8 windows the log-probability of a token changed"),
)


def study(experiments: int, seed: int = 0) -> tuple[list[PastExperiment], str, list[str]]:
    """The experiments of a made-up study, its notebook, and the lessons since."""
    chance = random.Random(seed)
    files = {"train.py": (ROOT / "train_template/train.py").read_text()}
    own = identify(files)
    done = [PastExperiment(1, None, "baseline", "", "baseline", "keep", 1.0512349)]
    notebook, lessons, champion = "", [], done[0]
    for number in range(2, experiments + 1):
        name = chance.choice(list(own.constants))
        old = own.constants[name]
        new = type(old)(float(f"{max(old, 1e-3) * chance.uniform(0.4, 2.5):.3g}"))
        metric = champion.metric + chance.gauss(0.006, 0.004)  # type: ignore[operator]
        failure = chance.choice(REASONS) if chance.random() < 0.12 else None
        better = metric < champion.metric  # type: ignore[operator]
        experiment = PastExperiment(
            number, champion.id, f"{name} {old} -> {new}",
            f"Larger or smaller {name} should fit the budget better.", "tuner",
            failure[0] if failure else "keep" if better else "discard",
            None if failure else metric,
            failure[1] if failure else f"{abs(metric - champion.metric):.6f} away",  # type: ignore[operator]
            fingerprint=f"{number}", skeleton=own.skeleton, constants={**own.constants, name: new},
            expected="val_bpb lower by about 0.003", parent_metric=champion.metric,
        )  # fmt: skip
        lesson = write_lesson(experiment, minimize=True, sigma=SIGMA)
        lessons.append(lesson)
        done.append(replace(experiment, lesson=lesson))
        champion = done[-1] if done[-1].state == "keep" else champion
        if len(lessons) > LESSONS_MOST:
            notebook = condense(notebook, lessons[:CONDENSED_AFTER])
            lessons = lessons[CONDENSED_AFTER:]
    return done, notebook, lessons


def briefing(experiments: int, seed: int = 0, request: int = 1) -> Briefing:
    """The briefing of a study of that length."""
    done, notebook, lessons = study(experiments, seed)
    files = {"train.py": (ROOT / "train_template/train.py").read_text()}
    measured = sorted((e for e in done if e.metric is not None), key=lambda e: e.metric or 0.0)
    champion = [e for e in done if e.state == "keep"][-1]
    values: tuple[Constants, ...] = ({"DEPTH": 9}, {"MATRIX_LR": 0.03}, {"HEADS": 5})
    leaders = tuple(
        Code(
            e.id,
            {**files, **edit_constants(files, v)},
            e.metric,
            e.title,
            "-DEPTH = 8\n+DEPTH = 9\n",
        )
        for e, v in zip([e for e in measured if e is not champion], values, strict=False)
    )
    pending = tuple(
        replace(done[-1], id=experiments + n, state="running", metric=None, title=f"Try number {n}")
        for n in range(1, 17)
    )
    return Briefing(
        request, 2, 1_000_003 + request, (ROOT / "program.md").read_text(), "val_bpb", True,
        "300 s",
        Code(champion.id, files, champion.metric, champion.title),
        contract={"train.py": ("train",)}, best=tuple(measured[:20]),
        recent=tuple(reversed(done[-230:])), pending=pending, leaders=leaders,
        guide=(ROOT / "train_template/CONTRACT.md").read_text(), device="NVIDIA H100 80GB HBM3",
        sigma=SIGMA, instructions=(Instruction(3, "Try a schedule without a warm-up.", 1),),
        notebook=notebook, lessons=tuple(lessons), since_champion=12, free_slots=2,
    )  # fmt: skip


def measure(model: str, experiments: int, room: int, repeats: int = 7) -> str:
    """One line of the table."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # before the import: no network
    litellm = importlib.import_module("litellm")

    def count(text: str) -> int:
        return int(litellm.token_counter(model=model, text=text))

    count("once: the tokenizer is loaded")
    first: list[float] = []
    following: list[float] = []
    tokens: list[int] = []
    for seed in range(repeats):
        told = briefing(experiments, seed)
        after = replace(
            told, lessons=(*told.lessons, "#1 kept: one more"), pending=told.pending[1:]
        )
        counts = Counts(count)
        for each, times in ((told, first), (after, following)):
            began = time.perf_counter()
            prompt = write_prompt(each, make_plan(each), count=counts, room=room)
            times.append(1e3 * (time.perf_counter() - began))
        tokens.append(prompt.tokens)
    columns = [
        f"{statistics.median(times):6.1f} ({min(times):.1f} to {max(times):.1f})"
        for times in (first, following)
    ]
    return (
        f"{model:<28} {experiments:>6,} {room:>8,} {statistics.median(tokens):>8,.0f} "
        f"{columns[0]:>24} {columns[1]:>24}"
    )


def main(*, full: bool = False) -> None:
    """Print the table; without `full` for the first model alone."""
    print(f"{'model':<28} {'exps':>6} {'room':>8} {'tokens':>8} {'ms, first':>24} {'ms, next':>24}")
    for model in MODELS if full else MODELS[:1]:
        for experiments in (10, 100, 5_000):
            print(measure(model, experiments, 100_000), flush=True)
        print(measure(model, 5_000, 16_000), flush=True)


if __name__ == "__main__":
    main()

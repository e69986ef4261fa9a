"""One training by hand, without Ray: `python -m train_template.run --seconds 15`.

In: a train.py (the bundled one by default), packed data (the standard library by default, packed
once into the user's cache) and a budget. Out: progress and val_bpb in the terminal. It is a trial
with a terminal in the supervisor's place: the same session, clock and referee, without limits on
memory or on the time of a phase, and without a sandbox (see `alone`).
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from train_template import packed, wire
from train_template.alone import train_and_judge
from train_template.errors import TemplateError
from train_template.job import Settings
from train_template.prepare import prepare


class TerminalTransport:
    """A supervisor's place taken by a terminal: prints what is sent, opens the data itself."""

    def __init__(self, training_tokens: Path) -> None:
        self._training_tokens = training_tokens
        self._last = time.perf_counter()

    def send(self, message: wire.Message) -> None:
        """Print one line, with the seconds since the line of the phase before."""
        kind = message.kind
        seconds = f"{time.perf_counter() - self._last:.2f} s"
        if kind is wire.Kind.HELLO:
            print(f"device {message.text}, after {seconds}")
        elif kind is wire.Kind.READY:
            print(f"ready after {seconds}")
        elif kind is wire.Kind.PROGRESS and message.parameters:
            print(f"{message.parameters:,} parameters")
            return
        elif kind is wire.Kind.PROGRESS:
            print(f"{message.fraction:5.0%}  step {message.step}  loss {message.loss:.4f}")
            return
        elif kind is wire.Kind.TRAINED:
            print(f"trained for {seconds}: {message.step} steps, {message.tokens:,} tokens")
        elif kind is wire.Kind.SCORED:
            print(f"scored in {seconds}")
            print(f"val_bpb {message.value:.6f}")
        else:
            print(message.text.replace("\n", ": "))
        self._last = time.perf_counter()

    def receive_data(self) -> int:
        """Open the training tokens: nobody has to agree to the start."""
        return os.open(self._training_tokens, os.O_RDONLY)


def with_constants(text: str, settings: list[str]) -> str:
    """Put other values in place of constants at the top of a script.

    `settings` are like "DEPTH=2". Raises TemplateError for one that the script does not have.
    """
    for setting in settings:
        name, _, value = setting.partition("=")
        pattern = rf"^({re.escape(name)}\s*=\s*)[^\s#]+"
        text, count = re.subn(pattern, rf"\g<1>{value}", text, count=1, flags=re.MULTILINE)
        if not count or not value:
            raise TemplateError(f"--set {setting}: write NAME=VALUE, with a constant of the script")
    return text


def cache_folder(environment: Mapping[str, str]) -> Path:
    """The cache that studies on this machine use too.

    As workers/bundle.py has it, which nothing here may import, but where it can't be written no
    other is taken: whoever starts this sees the error, and sets AUTORESEARCH_CACHE.
    """
    if named := environment.get("AUTORESEARCH_CACHE"):
        return Path(named).expanduser()
    return Path(environment.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "autoresearch"


def main(argv: list[str] | None = None) -> int:
    """Return the exit code: 0, 1 if the training failed, 2 for bad input."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(prog="train_template.run", description="Train once, by hand.")
    parser.add_argument("--train", type=Path, default=here / "train.py", metavar="FILE")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value for a constant at the top of the script",
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="packed data")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float)
    budget.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sequence-length", type=int, help="the rows' of the data, or 256")
    parser.add_argument("--validation-tokens", type=int, default=65_536)
    parser.add_argument("--eval-batch-tokens", type=int, default=16_384)
    arguments = parser.parse_args(argv)
    seconds = arguments.seconds
    if seconds is None and arguments.steps is None:
        seconds = 15.0
    try:
        text = with_constants(arguments.train.read_text(), arguments.set)
        data = arguments.data or prepare(cache_folder(os.environ), {"source": "stdlib"}).folder
        row = packed.read(data).meta.row
        length = arguments.sequence_length or (256 if row is None else row - 1)
        settings = Settings(length, arguments.validation_tokens, arguments.eval_batch_tokens)
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            (work / "train.py").write_text(text)
            transport = TerminalTransport(data / "train.bin")
            scored = train_and_judge(
                *(work, data, settings, transport),
                seed=arguments.seed,
                seconds=seconds,
                steps=arguments.steps,
            )
            return 0 if scored else 1
    except (TemplateError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

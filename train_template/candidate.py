"""The edited train.py: loading it, running it, and saying in one sentence how it failed.

In: the work folder and a session. Out: the trained model. The work folder stands at the end of
`sys.path`, behind everything, so that edited files can import each other and shadow nothing.
"""

import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch

from train_template.answer import Model
from train_template.errors import ContractError, DataError, RejectedError, TemplateError
from train_template.session import Session

ENTRY = "train.py"
OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")
LONGEST = 300  # characters of an exception's own message
LONGEST_LINE = 120  # of the line in an edited file where it was raised


@dataclass(frozen=True)
class Failure:
    """How a candidate failed: a status of the wire, and one sentence."""

    status: Literal["crash", "oom", "rejected"]
    sentence: str


def train_candidate(work: Path, session: Session) -> Model:
    """Import `train.py` and call its `train(session)`; the session's training phase is over then.

    Raises ContractError where it does not keep to the contract, and whatever train.py raises.
    """
    path = work / ENTRY
    if not path.is_file():
        raise ContractError(f"there is no {ENTRY}")
    sys.path.append(str(work))
    spec = importlib.util.spec_from_file_location("train", path)
    if spec is None or spec.loader is None:
        raise ContractError(f"{ENTRY} can't be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["train"] = module
    spec.loader.exec_module(module)
    train = getattr(module, "train", None)
    if not callable(train):
        raise ContractError(f"{ENTRY} defines no function train(session) that returns a model")
    model = train(session)
    session.finish()
    if not callable(model):
        raise ContractError(
            "train(session) must return the trained model, which maps tokens [B, T] to logits "
            f"[B, T, {session.vocab_size}]; it returned {type(model).__name__}"
        )
    if session.step == 0:
        raise ContractError(
            "train(session) took no batch from session.batches(batch_size), so nothing was trained"
        )
    return cast("Model", model)


def explain(error: BaseException, work: Path) -> Failure:
    """What to tell the supervisor of an error that ended the training or the exam."""
    if isinstance(error, RejectedError):
        return Failure("rejected", str(error))
    if isinstance(error, TemplateError):
        where = "" if isinstance(error, DataError) else _place(error, work)
        return Failure("crash", f"{error}{where}")
    status: Literal["crash", "oom"] = "oom" if _is_out_of_memory(error) else "crash"
    if isinstance(error, SystemExit):
        return Failure(
            status, f"train.py ended the process: sys.exit({error.code!r}){_place(error, work)}"
        )
    message = " ".join(str(error).split())
    if isinstance(error, SyntaxError) and error.lineno is not None:
        name = Path(error.filename or ENTRY).name
        message, place = error.msg, _where(name, error.lineno, error.text)
    else:
        place = _place(error, work)
    message = _cut(message, LONGEST)
    colon = ": " if message else ""
    return Failure(status, f"{type(error).__name__}{colon}{message}{place}")


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether the error, or one that led to it, is about memory on the host or the device.

    torch's CPU allocator raises a plain RuntimeError, and compilers wrap what they catch.
    """
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(error, RuntimeError):
            text = str(error).lower()
            if any(words in text for words in OUT_OF_MEMORY):
                return True
        error = error.__cause__ or error.__context__
    return False


def _place(error: BaseException, work: Path) -> str:
    """Where in the edited files the error came from, with the line; empty if it did not."""
    frames = traceback.extract_tb(error.__traceback__)
    edited = [f for f in frames if Path(f.filename).is_relative_to(work)]
    if not edited:
        return ""
    last = edited[-1]
    return _where(Path(last.filename).relative_to(work).as_posix(), last.lineno, last.line)


def _where(name: str, number: int | None, line: str | None) -> str:
    text = _cut(" ".join((line or "").split()), LONGEST_LINE)
    return f" ({name}, line {number}: {text})" if text else f" ({name}, line {number})"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "..."

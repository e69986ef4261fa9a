"""Documents to ids on all cores, in order.

In: documents one after the other, and a tokenizer. Out: each document with its ids, in the same
order whatever the number of processes. A bounded number of batches is on its way at a time, so that
memory does not grow with the text. What is small is encoded here: processes take longer to start.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack

from train_template.sources import Document
from train_template.tokenizer import Ids, Tokenizer

BATCH_BYTES = 1 << 20  # of text that goes to a process at once
SMALL_BYTES = 1 << 24  # of text: four seconds for one core
MOST_PROCESSES = 32  # what comes from one reader keeps no more of them busy

_tokenizer: Tokenizer  # of a process that encodes


def encoded(
    documents: Iterable[Document], tokenizer: Tokenizer, processes: int
) -> Iterator[tuple[Document, Ids]]:
    """Each document with its ids. Whoever stops early closes the iterator."""
    batches = _batches(documents)
    done = 0
    with ExitStack() as stack:
        pool: ProcessPoolExecutor | None = None
        waiting: deque[tuple[list[Document], Future[list[Ids]]]] = deque()
        for batch in batches:
            if pool is None and processes > 1 and done >= SMALL_BYTES:
                pool = _pool(tokenizer, processes)
                stack.callback(pool.shutdown, cancel_futures=True)
            if pool is None:
                done += sum(len(each.text) for each in batch)
                for document in batch:
                    yield document, tokenizer.encode(document.text)
                continue
            waiting.append((batch, pool.submit(_encode, [each.text for each in batch])))
            if len(waiting) > 2 * processes:
                yield from _results(*waiting.popleft())
        while waiting:
            yield from _results(*waiting.popleft())


def cores() -> int:
    """The cores that this process may use, as many as encoding profits from."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(mine or 1, MOST_PROCESSES))


def _results(batch: list[Document], future: Future[list[Ids]]) -> Iterator[tuple[Document, Ids]]:
    yield from zip(batch, future.result(), strict=True)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _pool(tokenizer: Tokenizer, processes: int) -> ProcessPoolExecutor:
    # Not forked: pyarrow and tokenizers have threads by now.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        processes, mp_context=context, initializer=_begin, initargs=(tokenizer,)
    )


def _begin(tokenizer: Tokenizer) -> None:
    global _tokenizer  # noqa: PLW0603 - one a process, for all that it is sent
    _tokenizer = tokenizer
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's processes outlive one that is killed: they hold both ends of the pipe to it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _encode(texts: list[bytes]) -> list[Ids]:
    return [_tokenizer.encode(text) for text in texts]

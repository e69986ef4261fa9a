"""What making data costs, and what the rows of the packing hold: on source text of this machine.

The text is the Python source of the installed packages (`data.source: path`), so that no download
is needed. Prints, each as the median and the range of several runs: how fast BPE is learned,
encodes and packs on one core and on all, with the most memory that the process held, how much of
the text rows hold, and how fast a session draws batches. `--full` takes all of the source there is.
"""

import contextlib
import io
import json
import multiprocessing
import resource
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np
from tokenizers import Tokenizer as HuggingFaceTokenizer

from train_template import bpe, encoding
from train_template.draws import Rows, Windows
from train_template.packed import read
from train_template.packer import Layout, write
from train_template.packing import WAITING, BestFit
from train_template.prepare import prepare
from train_template.sources import Document, PathSource
from train_template.tokenizer import ByteTokenizer, Ids

SIZE, VOCABULARY, LENGTH, RUNS = 12_000_000, 8192, 2048, 3
SAMPLES = (2_000_000, 8_000_000, 24_000_000, 64_000_000)  # bytes to learn from
BATCH, BATCHES = 64, 50


def library() -> PathSource:
    """The source of all installed packages."""
    return PathSource(["**/*.py"], Path(sysconfig.get_path("purelib")))


def heads(texts: Iterable[bytes], limit: int) -> list[bytes]:
    """The first texts, so many bytes in all."""
    found, size = [], 0
    for text in texts:
        found.append(text)
        size += len(text)
        if size >= limit:
            break
    return found


def line(what: str, unit: str, values: list[float]) -> None:
    """One row of the table."""
    spread = f"{min(values):.2f} to {max(values):.2f}"
    print(f"| {what} | {median(values):.2f} ({spread}) {unit} |", flush=True)


def speeds(size: int, work: Callable[[], object], runs: int) -> list[float]:
    """Megabytes per second of each run."""
    found = []
    for _ in range(runs):
        began = time.perf_counter()
        work()
        found.append(size / 1e6 / (time.perf_counter() - began))
    return found


def learning(texts: list[bytes], held_out: list[bytes], full: bool) -> bpe.BpeTokenizer:
    """How fast a vocabulary is learned, and what more text brings."""
    heard = sum(min(len(text), bpe.DOCUMENT_BYTES) for text in texts)
    made: list[bpe.BpeTokenizer] = []

    def learn() -> None:
        made[:] = [bpe.learn(texts, VOCABULARY)]

    heard = min(heard, bpe.SAMPLE_BYTES)
    line(f"BPE learned, {VOCABULARY} ids, {heard / 1e6:.0f} MB", "MB/s", speeds(heard, learn, RUNS))
    size = sum(map(len, held_out))
    for limit in SAMPLES if full else SAMPLES[:2]:
        if limit <= heard:
            tokenizer = bpe.learn(texts, VOCABULARY, limit)
            tokens = sum(len(tokenizer.encode(text)) - 1 for text in held_out)
            print(f"| bytes a token, learned from {limit / 1e6:.0f} MB | {size / tokens:.3f} |")
    return made[0]


def encodes(texts: list[bytes], tokenizer: bpe.BpeTokenizer) -> None:
    """Both libraries, and all cores."""
    documents = [Document("", text, "train") for text in texts]
    size = sum(map(len, texts))

    def run(processes: int) -> Callable[[], object]:
        return lambda: sum(1 for _ in encoding.encoded(documents, tokenizer, processes))

    line("encoding (tiktoken), one process", "MB/s", speeds(size, run(1), RUNS))
    many = encoding.cores()
    line(f"encoding, {many} processes", "MB/s", speeds(size, run(many), RUNS))
    other = HuggingFaceTokenizer.from_str(tokenizer.file)
    few = [text.decode("utf-8", "ignore") for text in texts[: len(texts) // 8]]
    size = sum(len(text.encode()) for text in few)
    fast = speeds(size, lambda: other.encode_batch_fast(few, add_special_tokens=False), RUNS)
    line("encoding by tokenizers, all threads", "MB/s", fast)


def packing(ids: list[Ids]) -> None:
    """Best fit against rows that are filled in order, padded where a document does not fit."""
    total = sum(map(len, ids))

    def pack() -> tuple[int, int]:
        best = BestFit(LENGTH + 1, WAITING)
        rows = sum(1 for each in ids for _ in best.add(each)) + sum(1 for _ in best.finish())
        return rows, best.left_out

    line("best-fit packing alone", "MB/s of ids", speeds(2 * total, pack, RUNS))
    rows, left_out = pack()
    print(f"| best fit: rows that are text | 100 % of {rows:,} rows |")
    print(
        f"| best fit: tokens that rows hold | {1 - left_out / total:.1%} of {total / 1e6:.1f} M |"
    )
    short = [each for each in ids if len(each) <= LENGTH + 1]
    room, plain = LENGTH + 1, 1  # documents in order, a new row where one does not fit
    for each in short:
        if len(each) > room:
            room, plain = LENGTH + 1, plain + 1
        room -= len(each)
    used = sum(map(len, short)) / (plain * (LENGTH + 1))
    every = BestFit(LENGTH + 1, WAITING, all=True)
    rows = sum(1 for each in ids for _ in every.add(each)) + sum(1 for _ in every.finish())
    held = 1 - every.left_out / total
    print(f"| best_fit_all: tokens that rows hold | {held:.1%}, in {rows:,} rows |")
    print(f"| documents that fit a row, in order, padded: rows that are text | {used:.1%} |")
    crops = sum(len(each) > LENGTH + 1 for each in ids) / len(ids)
    print(f"| documents longer than a row | {crops:.1%}, {_share(ids):.1%} of the tokens |")


def _share(ids: list[Ids]) -> float:
    sizes = np.array([len(each) for each in ids])
    return float(sizes[sizes > LENGTH + 1].sum() / sizes.sum())


def whole(cache: Path, paths: list[str], folder: Path) -> None:
    """`prepare` as a study calls it, in a process of its own."""
    spec = {"source": "path", "root": str(folder), "paths": paths, "tokenizer": "bpe"}
    more = {"vocab_size": VOCABULARY, "packing": "best_fit_all", "sequence_length": LENGTH}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        for what in ("learned and packed", "found packed"):
            seconds, memory, size = pool.submit(
                _prepared, str(cache), json.dumps({**spec, **more})
            ).result()
            print(f"| prepare, {what} | {seconds:.1f} s for {size / 1e6:.0f} MB of rows |")
            print(f"| most memory of one process of it | {memory:.0f} MB |")


def _prepared(cache: str, spec: str) -> tuple[float, float, int]:
    began = time.monotonic()
    with contextlib.redirect_stderr(io.StringIO()):
        data = prepare(Path(cache), json.loads(spec))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    size = (data.folder / "train.bin").stat().st_size
    return time.monotonic() - began, max(own, children) / 1e3, size


def drawing(texts: list[bytes], folder: Path) -> None:
    """Batches as the session draws them, from rows and from a stream."""
    for number, text in enumerate(texts):
        (folder / f"{number}.txt").write_bytes(text)
    for name, row in (("rows", LENGTH + 1), ("stream", None)):
        data = folder / name
        data.mkdir()
        write(data, PathSource(["*.txt"], folder), ByteTokenizer(), Layout(row))
        tokens = read(data).tokens("train")
        random = np.random.default_rng(1)
        draws = Windows(len(tokens), random) if row is None else Rows(len(tokens), row, random)
        views = np.lib.stride_tricks.sliding_window_view(tokens, LENGTH + 1)

        def draw() -> None:
            for _ in range(BATCHES):
                views[draws.draw(BATCH, LENGTH)].astype(np.int64)  # noqa: B023 - called at once

        found = speeds(BATCHES * BATCH * LENGTH, draw, RUNS)
        line(f"drawing batches of {BATCH} x {LENGTH}, {name}", "M tokens/s", found)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main(full: bool = False) -> None:
    """Print the table."""
    source = library()
    texts = heads(source.sample(), 1 << 40 if full else SIZE)
    held_out = heads((d.text for d in source.documents() if d.split == "validation"), SIZE // 8)
    print(f"{sum(map(len, texts)) / 1e6:.0f} MB of Python source in {len(texts):,} files\n")
    print("| what | figure |\n| --- | --- |")
    tokenizer = learning(texts, held_out, full)
    some = heads(texts, SIZE)
    encodes(some, tokenizer)
    packing([tokenizer.encode(text) for text in some])
    with _folder() as folder:
        drawing(some[:400], folder)
    with _folder() as folder:
        whole(
            folder, ["**/*.py"] if full else ["[a-f]*/**/*.py"], Path(sysconfig.get_path("purelib"))
        )


if __name__ == "__main__":
    main("--full" in sys.argv)

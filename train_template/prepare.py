"""Packs the data once for a machine: `python -P -m train_template.prepare --out CACHE --spec JSON`.

In: a cache folder and a specification (see `sources`), and beside the source in it

    tokenizer        bytes, where it is not given, or bpe with vocab_size ids
    packing          windows, where it is not given, or best_fit or best_fit_all (see `packing`)
                     in rows of sequence_length + 1
    withheld_tokens  that a withheld split needs at most; not given: all the text there is

Out: the folder `CACHE/<hash>/` (see `packed`) and, as the last line on stdout, one JSON object
`{"folder": ..., "hash": ..., "tokens": {split: count}}`. How far it is stands on stderr. Bad input
ends with exit code 2, and the last line on stderr says what to do.

Any number of processes may call it at once: one packs, the others wait and find its work. An
interrupted run leaves nothing half-made, and damaged files are made anew. What a source downloads
lies in `CACHE/downloads/`, what was learned of a text in `CACHE/tokenizers/`.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from train_template import bpe, packed, packer
from train_template.errors import DataError
from train_template.lasting import replace_lasting, sync
from train_template.lock import locked
from train_template.packed import Packed
from train_template.packer import Layout
from train_template.sources import Source, make_source
from train_template.tokenizer import ByteTokenizer, Tokenizer

TOKENIZERS = ("bytes", "bpe")
PACKINGS = ("windows", "best_fit", "best_fit_all")
FORMAT = 3  # counts up when the same text would be packed in another way
REPORTED_SECONDS = 2.0
AFTER_TOKENS = ("packing", "sequence_length", "withheld_tokens")
"""Keys that say what becomes of tokens, and nothing about the text or how it is cut into them."""
PARTIAL = "partial-"  # the first part of the name of a folder that is being written


@dataclass(frozen=True)
class _Wanted:
    """A specification that was understood."""

    spec: Mapping[str, object]
    source: Source
    vocab_size: int | None  # of the BPE to learn; None: bytes
    layout: Layout

    def key(self, *more: object) -> str:
        """What the result depends on, without reading the text."""
        text = json.dumps([FORMAT, sys.version, *more, self.source.state()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def prepare(cache: Path, spec: Mapping[str, object]) -> Packed:
    """Pack the text that `spec` names, or find it packed; raises DataError and OSError.

    The folder's name is the data's hash.
    """
    wanted = _understand(spec)
    cache.mkdir(parents=True, exist_ok=True)
    entry = cache / "index" / f"{wanted.key(dict(spec))}.json"
    with locked(cache / "prepare.lock"):
        if found := _found(cache, entry):
            return found
    # Not under the lock: who needs other data need not wait for the network.
    wanted.source.fetch(cache / "downloads")
    with locked(cache / "prepare.lock"):
        if found := _found(cache, entry):
            return found
        # Whoever writes holds the lock: what is partial now, an interrupted run left behind.
        for stale in cache.glob(f"{PARTIAL}*"):
            shutil.rmtree(stale)
        known = _pack(cache, wanted)
        _write_entry(entry, json.dumps(known))
    return packed.read(cache / known)


def _understand(spec: Mapping[str, object]) -> _Wanted:
    tokenizer, packing = spec.get("tokenizer", "bytes"), spec.get("packing", "windows")
    if tokenizer not in TOKENIZERS:
        names = ", ".join(TOKENIZERS)
        raise DataError(f"no tokenizer is called {tokenizer!r}: choose from {names}")
    if packing not in PACKINGS:
        raise DataError(f"data.packing is {packing!r}: choose from {', '.join(PACKINGS)}")
    vocab_size = _number(spec, "vocab_size") if tokenizer == "bpe" else None
    if vocab_size is not None:
        bpe.check_size(vocab_size)
    row = None if packing == "windows" else _number(spec, "sequence_length") + 1
    most = _number(spec, "withheld_tokens") if "withheld_tokens" in spec else None
    return _Wanted(
        spec, make_source(spec), vocab_size, Layout(row, packing == "best_fit_all", most)
    )


def _number(spec: Mapping[str, object], key: str) -> int:
    value = spec.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DataError(f"data.{key} is {value!r}: it must be a whole number, 1 or more")
    return value


def _found(cache: Path, entry: Path) -> Packed | None:
    known = _indexed(entry)
    if known is None or not packed.is_sound(cache / known, known):
        return None
    return packed.read(cache / known)


def _tokenizer(cache: Path, wanted: _Wanted) -> Tokenizer:
    """The tokenizer, learned where that has not been done for this text and size."""
    if wanted.vocab_size is None:
        return ByteTokenizer()
    # Whatever chooses the text counts: a key that some source adds later does so by itself.
    chosen = {key: value for key, value in wanted.spec.items() if key not in AFTER_TOKENS}
    file = cache / "tokenizers" / f"{wanted.key('bpe', chosen)}.json"
    if file.is_file():
        try:
            return bpe.load(file)
        except DataError as error:
            _say(f"the tokenizer in the cache is damaged and is learned anew ({error})")
    _say(f"learning a vocabulary of {wanted.vocab_size:,}")
    began = time.monotonic()
    tokenizer = bpe.learn(wanted.source.sample(), wanted.vocab_size)
    _say(f"learned {len(tokenizer.token_bytes):,} tokens in {time.monotonic() - began:.0f} s")
    _write_entry(file, tokenizer.file)
    return tokenizer


def _say(text: str) -> None:
    print(f"data: {text}", file=sys.stderr, flush=True)


def _indexed(entry: Path) -> str | None:
    try:
        known = json.loads(entry.read_bytes())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, str) and len(known) == 64 and known.isalnum() else None


def _pack(cache: Path, wanted: _Wanted) -> str:
    """Write beside the final place, then rename: the folder is there whole or not at all."""
    tokenizer = _tokenizer(cache, wanted)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=cache))
    try:
        began = time.monotonic()
        data_hash = packer.write(partial, wanted.source, tokenizer, wanted.layout)
        _report(packed.read(partial).meta, time.monotonic() - began)
        partial.chmod(0o755)  # mkdtemp makes it private; other users of the node read it too
        final = cache / data_hash
        if packed.is_sound(final, data_hash):
            return data_hash
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        sync(cache)
        return data_hash
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _report(meta: packed.Meta, seconds: float) -> None:
    """Say what came of it, where that took long or something was lost."""
    train = meta.splits["train"]
    if train.left_out > train.tokens // 100:
        kept = train.tokens / (train.tokens + train.left_out)
        _say(f"rows hold {kept:.0%} of the text; the ends of documents that don't fit are left out")
    if train.left_out > train.tokens:
        _say("so much is lost of long documents: data.packing=best_fit_all keeps all of them")
    if seconds > REPORTED_SECONDS:
        _say(f"{train.documents:,} documents, {train.tokens:,} training tokens, {seconds:.0f} s")


def _write_entry(entry: Path, content: str) -> None:
    entry.parent.mkdir(exist_ok=True)
    replace_lasting(entry, content.encode())


def main(argv: list[str] | None = None) -> int:
    """Return the exit code: 0, or 2 with one line on stderr."""
    parser = argparse.ArgumentParser(prog="train_template.prepare", description="Pack the data.")
    parser.add_argument("--out", type=Path, required=True, help="the cache folder")
    parser.add_argument("--spec", required=True, help="the data specification, as JSON")
    arguments = parser.parse_args(argv)
    try:
        spec = json.loads(arguments.spec)
        if not isinstance(spec, dict):
            raise DataError('--spec is no JSON object: write for example {"source": "stdlib"}')
        data = prepare(arguments.out.absolute(), spec)
    except json.JSONDecodeError as error:
        print(f"--spec is no JSON ({error})", file=sys.stderr)
        return 2
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"the data can't be packed in {arguments.out}: {error}", file=sys.stderr)
        return 2
    tokens = {name: split.tokens for name, split in data.meta.splits.items()}
    print(json.dumps({"folder": str(data.folder), "hash": data.folder.name, "tokens": tokens}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

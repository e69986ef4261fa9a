"""Packs the data once for a machine: `python -P -m train_template.prepare --out CACHE --spec JSON`.

In: a cache folder and a specification (see `sources`; "tokenizer" is "bytes" where it is not
given). Out: the folder `CACHE/<hash>/` (see `packed`) and, as the last line on stdout, one JSON
object `{"folder": ..., "hash": ..., "tokens": {split: count}}`. Bad input ends with exit code 2
and one line on stderr that says what to do.

Any number of processes may call it at once: one packs, the others wait and find its work. An
interrupted run leaves nothing half-made, and damaged files are made anew. It downloads nothing.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from train_template import packed
from train_template.errors import DataError
from train_template.lock import locked
from train_template.packed import Packed
from train_template.sources import Source, make_source
from train_template.tokenizer import Tokenizer, make_tokenizer

FORMAT = 1  # counts up when the same text would be packed in another way
PARTIAL = "partial-"  # the first part of the name of a folder that is being written


def prepare(cache: Path, spec: Mapping[str, object]) -> Packed:
    """Pack the text that `spec` names, or find it packed; raises DataError and OSError.

    The folder's name is the data's hash.
    """
    tokenizer = make_tokenizer(str(spec.get("tokenizer", "bytes")))
    source = make_source(spec)
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / "prepare.lock"):
        # Whoever writes holds the lock: what is partial now, an interrupted run left behind.
        for stale in cache.glob(f"{PARTIAL}*"):
            shutil.rmtree(stale)
        entry = cache / "index" / f"{_key(spec, source)}.json"
        known = _indexed(entry)
        if known is None or not packed.is_sound(cache / known, known):
            known = _pack(cache, source, tokenizer)
            _write_entry(entry, known)
    return packed.read(cache / known)


def _key(spec: Mapping[str, object], source: Source) -> str:
    """What the packed data depends on, without reading the text."""
    text = json.dumps([FORMAT, sys.version, dict(spec), source.state()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _indexed(entry: Path) -> str | None:
    try:
        known = json.loads(entry.read_bytes())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, str) and len(known) == 64 and known.isalnum() else None


def _pack(cache: Path, source: Source, tokenizer: Tokenizer) -> str:
    """Write beside the final place, then rename: the folder is there whole or not at all."""
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=cache))
    try:
        data_hash = packed.write(partial, source, tokenizer)
        partial.chmod(0o755)  # mkdtemp makes it private; other users of the node read it too
        final = cache / data_hash
        if packed.is_sound(final, data_hash):
            return data_hash
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        _sync_folder(cache)
        return data_hash
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_entry(entry: Path, data_hash: str) -> None:
    entry.parent.mkdir(exist_ok=True)
    partial = entry.with_suffix(".partial")
    partial.write_text(json.dumps(data_hash))
    partial.replace(entry)


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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

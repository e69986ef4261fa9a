"""Packed data: what is withheld, what is reproducible, what survives damage, what is refused."""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from train_template import packed
from train_template.errors import DataError
from train_template.packed import Packed
from train_template.prepare import main, prepare
from train_template.sources import AUDIT_MODULES, VALIDATION_MODULES, StdlibSource

ROOT = Path(__file__).parents[2]
STDLIB = {"source": "stdlib"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def stdlib(cache: Path) -> Packed:
    return prepare(cache, STDLIB)


def texts(folder: Path, count: int, order: Iterable[int] | None = None) -> dict[str, object]:
    """Write `count` files of text below `folder`, in an order; return their specification."""
    folder.mkdir(exist_ok=True)
    for number in order or range(count):
        (folder / f"{number:03}.txt").write_text(f"line {number}\n" * 444)
    return {"source": "path", "root": str(folder), "paths": ["*.txt"]}


def test_no_part_of_torch_its_compiler_or_the_harness_imports_a_withheld_module() -> None:
    program = (
        "import sys, torch, torch._dynamo, torch._inductor.compile_fx, numpy\n"
        "import train_template.harness, train_template.run\n"
        "print('\\n'.join(sys.modules))"
    )
    output = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    imported = {line.partition(".")[0] for line in output.splitlines()}
    assert "torch" in imported
    assert imported.isdisjoint(VALIDATION_MODULES + AUDIT_MODULES)


def test_withheld_splits_are_large_enough_without_modules_that_newer_pythons_lack() -> None:
    stdlib_folder = Path(sysconfig.get_path("stdlib"))
    for modules in (VALIDATION_MODULES, AUDIT_MODULES):
        lasting = set(modules) - {"aifc", "nntplib", "telnetlib", "turtle"}
        files = [
            file
            for module in lasting
            for file in [stdlib_folder / f"{module}.py", *(stdlib_folder / module).glob("*.py")]
            if file.is_file()
        ]
        assert sum(file.stat().st_size for file in files) >= 150_000


def test_the_standard_library_is_packed_byte_for_byte(stdlib: Packed) -> None:
    text = (Path(sysconfig.get_path("stdlib")) / "poplib.py").read_bytes()
    tokens = stdlib.tokens("validation")
    assert tokens[0] == 256
    assert bytes(tokens[1 : 1 + len(text)].astype(np.uint8)) == text
    assert tokens[1 + len(text)] == 256


def test_no_withheld_file_is_in_the_training_text(stdlib: Packed) -> None:
    train = stdlib.tokens("train")
    training_text = bytes(train[train < 256].astype(np.uint8))
    for name in stdlib.meta.withheld:
        text = (Path(sysconfig.get_path("stdlib")) / name).read_bytes()
        if len(text) > 200:  # an empty __init__.py is in everything
            assert text not in training_text, name


def test_the_hash_names_the_content(stdlib: Packed, tmp_path: Path) -> None:
    assert (
        stdlib.folder.name == hashlib.sha256((stdlib.folder / "meta.json").read_bytes()).hexdigest()
    )
    assert prepare(tmp_path, STDLIB).folder.name == stdlib.folder.name
    for split in stdlib.meta.splits.values():
        content = (stdlib.folder / split.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == split.sha256
        assert len(content) == 2 * split.tokens
        counted = np.array(stdlib.meta.token_bytes)[np.frombuffer(content, "<u2")].sum()
        assert counted == split.bytes


def test_packed_data_is_found_again_without_reading_the_text(
    cache: Path, stdlib: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StdlibSource, "documents", None)
    assert prepare(cache, STDLIB).folder == stdlib.folder


def test_the_training_text_does_not_depend_on_how_python_was_built(stdlib: Packed) -> None:
    train = stdlib.tokens("train")
    assert b"build_time_vars = {" not in bytes(train[train < 256].astype(np.uint8))


@pytest.mark.parametrize("name", ["train.bin", "meta.json"])
def test_damaged_data_is_made_anew(tmp_path: Path, name: str) -> None:
    spec = texts(tmp_path / "texts", 25)
    data = prepare(tmp_path / "cache", spec)
    content = (data.folder / name).read_bytes()
    (data.folder / name).write_bytes(content[:100] + b"x" + content[101:])
    assert prepare(tmp_path / "cache", spec).folder == data.folder
    assert (data.folder / name).read_bytes() == content


def test_what_an_interrupted_run_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "cache" / "partial-abc").mkdir(parents=True)
    data = prepare(tmp_path / "cache", texts(tmp_path / "texts", 25))
    assert list((tmp_path / "cache").glob("partial-*")) == []
    assert packed.is_sound(data.folder, data.folder.name)


def test_a_killed_run_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    # The standard library, with a source that never comes to the end of it.
    program = (
        "import sys, pathlib; from train_template import prepare, sources\n"
        "class Endless(sources.StdlibSource):\n"
        "    def documents(self):\n"
        "        yield from super().documents()\n"
        "        print('written', flush=True); sys.stdin.read()\n"
        "sources.SOURCES['stdlib'] = lambda spec: Endless()\n"
        "prepare.prepare(pathlib.Path(sys.argv[1]), {'source': 'stdlib'})"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", program, str(tmp_path / "cache")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    process.kill()
    process.communicate()
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert all(n == "prepare.lock" or n.startswith("partial-") for n in names), names


def test_two_at_once_wait_for_each_other(tmp_path: Path) -> None:
    spec = texts(tmp_path / "texts", 25)
    cache = tmp_path / "cache"
    cache.mkdir()
    command = [sys.executable, "-P", "-m", "train_template.prepare", "--out", str(cache)]
    with (cache / "prepare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen(
            [*command, "--spec", json.dumps(spec)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        time.sleep(0.5)
        assert {path.name for path in cache.iterdir()} == {"prepare.lock"}
    output, _ = process.communicate(timeout=60)
    answer = json.loads(output.splitlines()[-1])
    assert packed.is_sound(Path(answer["folder"]), answer["hash"])
    assert set(answer["tokens"]) == {"train", "validation", "audit"}


def test_a_changed_file_gives_other_data(tmp_path: Path) -> None:
    spec = texts(tmp_path / "texts", 25)
    before = prepare(tmp_path / "cache", spec).folder
    (tmp_path / "texts" / "003.txt").write_text("something else " * 400)
    assert prepare(tmp_path / "cache", spec).folder != before


def test_documents_keep_their_split_wherever_the_folder_lies(tmp_path: Path) -> None:
    one = prepare(tmp_path / "cache", texts(tmp_path / "one", 40))
    two = prepare(tmp_path / "cache", texts(tmp_path / "two", 40, reversed(range(40))))
    assert one.folder == two.folder
    total = sum(split.bytes for split in one.meta.splits.values())
    for split in ("validation", "audit"):
        assert 0.05 <= one.meta.splits[split].bytes / total < 0.1


@pytest.mark.parametrize("large", [0, 1, 12, 25, 60])
def test_withheld_splits_hold_their_share_whatever_the_sizes_of_files(
    tmp_path: Path, large: int
) -> None:
    for number in range(60):
        (tmp_path / f"{number}.txt").write_text("abcd\n" * (20_000 if number < large else 30))
    (tmp_path / "empty.txt").touch()
    spec = {"source": "path", "root": str(tmp_path), "paths": ["*.txt"]}
    if not large:  # 9 kB
        with pytest.raises(DataError, match=r"validation split, made of \d+\.txt, .*whole files"):
            prepare(tmp_path / "cache", spec)
        return
    splits = prepare(tmp_path / "cache", spec).meta.splits
    total = sum(split.bytes for split in splits.values())
    for split in ("validation", "audit"):
        assert 0.049 < splits[split].bytes / total < 0.1


def test_few_documents_are_cut_by_position(tmp_path: Path) -> None:
    text = "".join(f"{number}\n" for number in range(10_000))
    (tmp_path / "one.txt").write_text(text)
    data = prepare(tmp_path / "cache", {"source": "path", "paths": [str(tmp_path / "*.txt")]})
    parts = [data.tokens(split) for split in ("train", "validation", "audit")]
    assert b"".join(bytes(p[p < 256].astype(np.uint8)) for p in parts) == text.encode()
    assert [round(len(p) / len(text), 2) for p in parts] == [0.9, 0.05, 0.05]


def test_bad_specifications_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.txt").write_text("too little")
    (tmp_path / "file").write_text("")
    path = {"source": "path", "root": str(tmp_path)}
    for spec, words in [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ({"source": "web"}, "choose from stdlib, path"),
        ({"source": "stdlib", "tokenizer": "words"}, "choose from bytes, bpe"),
        ({"source": "stdlib", "tokenizer": "bpe"}, "data.vocab_size"),
        ({"source": "stdlib", "tokenizer": "bpe", "vocab_size": 70_000}, "16 bits"),
        ({"source": "stdlib", "packing": "tight"}, "choose from windows, best_fit"),
        ({"source": "stdlib", "packing": "best_fit"}, "data.sequence_length"),
        (path, "data.paths"),
        ({**path, "paths": ["*.md"]}, "*.md matches no file"),
        ({**path, "paths": ["."]}, "**/*.txt"),
        ({**path, "paths": ["tiny.txt"]}, "more text"),
    ]:
        text = spec if isinstance(spec, str) else json.dumps(spec)
        assert main(["--out", str(tmp_path / "cache"), "--spec", text]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert main(["--out", str(tmp_path / "file"), "--spec", json.dumps(STDLIB)]) == 2


def two_columns(folder: Path) -> dict[str, object]:
    """Rows with a text in each of two columns; return the specification of a BPE of them."""
    rows = [
        {"abc": f"abc {number} abcabc " * 40, "xyz": f"xyz {number} xyzxyz " * 40}
        for number in range(200)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    source = {"source": "path", "root": str(folder), "paths": ["rows.jsonl"]}
    return {**source, "tokenizer": "bpe", "vocab_size": 264}


def test_each_column_gets_a_tokenizer_of_its_own_and_each_packing_the_same_one(
    tmp_path: Path,
) -> None:
    spec = two_columns(tmp_path)
    cache = tmp_path / "cache"
    other = prepare(cache, {**spec, "text_column": "abc"})
    data = prepare(cache, {**spec, "text_column": "xyz"})
    alone = prepare(tmp_path / "alone", {**spec, "text_column": "xyz"})
    assert data.meta.files == alone.meta.files != other.meta.files
    prepare(cache, {**spec, "text_column": "xyz", "packing": "best_fit", "sequence_length": 64})
    assert len(list((cache / "tokenizers").iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"\0" * 300, b"\xff", b'{"model": {}}'])
def test_a_damaged_tokenizer_is_learned_anew(tmp_path: Path, damage: bytes) -> None:
    spec = {**two_columns(tmp_path), "text_column": "abc"}
    data = prepare(tmp_path / "cache", spec)
    [file] = (tmp_path / "cache" / "tokenizers").iterdir()
    content = file.read_bytes()
    file.write_bytes(damage)
    again = prepare(tmp_path / "cache", {**spec, "packing": "best_fit", "sequence_length": 64})
    assert file.read_bytes() == content
    assert again.meta.files == data.meta.files


def test_a_folder_without_packed_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prepare it again"):
        packed.read(tmp_path)

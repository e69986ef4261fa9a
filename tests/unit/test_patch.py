"""A patch turns the one set of files into the other: git says so."""

import random
import subprocess
from pathlib import Path

import pytest

from scheduler.study.patch import unified_diff


def lines(luck: random.Random, count: int) -> list[str]:
    return [f"{luck.choice('abc')} = {luck.randint(0, 3)}\n" for _ in range(count)]


@pytest.mark.parametrize("seed", range(40))
def test_git_applies_it(tmp_path: Path, seed: int) -> None:
    luck = random.Random(seed)
    old = lines(luck, luck.choice((1, 5, 40, 300)))
    new = list(old)
    for _ in range(luck.randint(1, 4)):
        place = luck.choice((0, len(new), luck.randint(0, len(new))))
        new[place : place + luck.randint(0, 3)] = lines(luck, luck.randint(0, 3))
    before, after = "".join(old), "".join(new)
    if luck.random() < 0.3:
        before, after = before.rstrip("\n"), after.rstrip("\n") or "x"
    (tmp_path / "train.py").write_text(before)
    patch = unified_diff(
        {"train.py": before, "same.py": "1\n"}, {"train.py": after, "same.py": "1\n"}
    )
    assert "same.py" not in patch
    if before != after:
        subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch, text=True, check=True)
    assert (tmp_path / "train.py").read_text() == after


def test_a_heading_counts_lines_from_the_files_first() -> None:
    before = "".join(f"{number}\n" for number in range(1, 101))
    patch = unified_diff({"a": before}, {"a": before.replace("50\n", "fifty\n")})
    assert patch.splitlines()[2] == "@@ -47,7 +47,7 @@"


def test_files_that_are_added_or_gone_are_so_after_git_applied_the_patch(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text("x = 1\n")
    before = {"old.py": "x = 1\n"}
    after = {"src/new.py": "y = 2\n", "src/last.py": "no end of line"}
    patch = unified_diff(before, after)
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=patch, text=True, check=True)
    found = {p.relative_to(tmp_path).as_posix(): p for p in tmp_path.rglob("*") if p.is_file()}
    assert {name: path.read_text() for name, path in found.items()} == after

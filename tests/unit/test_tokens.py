"""One copy of large training tokens serves every trial of a worker, and carries no message."""

import fcntl
import os
import sys
from pathlib import Path

import pytest

from workers.tokens import TrainingTokens

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each has its own copy")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "train.bin"
    path.write_bytes(b"12345")
    return path


def state(descriptor: int) -> object:
    """All that a candidate can see of the file, but when that was last set back."""
    stat = os.fstat(descriptor)
    hint = fcntl.fcntl(descriptor, 1035, bytes(8))
    return stat.st_mode, stat.st_atime_ns, stat.st_mtime_ns, os.listxattr(descriptor), hint


def lend(tokens: TrainingTokens, file: Path, data: str = "hash") -> tuple[int, int]:
    descriptor = tokens.lend(file, data)
    return descriptor, os.fstat(descriptor).st_ino


def test_it_is_copied_once_and_lent_with_an_offset_of_its_own(file: Path) -> None:
    tokens = TrainingTokens(copied=0)
    (first, inode), (second, same) = lend(tokens, file), lend(tokens, file)
    assert (os.read(first, 3), os.read(second, 5), inode) == (b"123", b"12345", same)
    fcntl.flock(first, fcntl.LOCK_EX)
    os.close(first)
    fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the other's lock ended with it
    os.close(second)
    tokens.close()


def test_it_is_copied_anew_where_the_data_are_others(file: Path) -> None:
    tokens = TrainingTokens(copied=0)
    old, before = lend(tokens, file)
    file.write_bytes(b"54321!")
    new, after = lend(tokens, file)
    other, again = lend(tokens, file, "another hash")
    assert (os.read(old, 9), os.read(new, 9)) == (b"12345", b"54321!")
    assert len({before, after, again}) == 3
    for descriptor in (old, new, other):
        os.close(descriptor)
    tokens.close()


def test_of_a_small_file_each_has_a_copy_of_its_own(file: Path) -> None:
    """So not even where its pages lie can tell the next trial anything."""
    tokens = TrainingTokens(copied=5)
    (first, inode), (second, other) = lend(tokens, file), lend(tokens, file)
    assert (os.read(second, 9), inode != other) == (b"12345", True)
    os.close(first)
    os.close(second)
    file.write_bytes(b"123456")
    (first, inode), (second, other) = lend(tokens, file), lend(tokens, file)
    assert inode == other
    os.close(first)
    os.close(second)
    tokens.close()


def test_a_copy_that_is_stopped_leaves_nothing(file: Path) -> None:
    tokens = TrainingTokens(copied=0)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208 - the names alone
    with pytest.raises(OSError, match="stopped"):
        tokens.lend(file, "hash", lambda: True)
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
    descriptor, _ = lend(tokens, file)
    assert os.read(descriptor, 9) == b"12345"
    os.close(descriptor)
    tokens.close()


def hint(descriptor: int) -> None:
    fcntl.fcntl(descriptor, 1036, (3).to_bytes(8, sys.byteorder))


def attribute(descriptor: int) -> None:
    os.fchmod(descriptor, 0o700)
    os.setxattr(descriptor, "user.message", b"weights")


DEEDS = {
    "mode": lambda descriptor: os.fchmod(descriptor, 0o777),
    "times": lambda descriptor: os.utime(descriptor, ns=(5, 7)),
    "reading": lambda descriptor: os.read(descriptor, 1),
    "hint": hint,
    "attribute": attribute,
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
def test_what_one_candidate_does_to_the_file_the_next_can_not_see(file: Path, deed: object) -> None:
    assert callable(deed)
    tokens = TrainingTokens(copied=0)
    descriptor, _ = lend(tokens, file)
    untouched = state(descriptor)
    try:
        deed(descriptor)
    except OSError as error:  # this kernel does not know it: nothing to see either
        pytest.skip(str(error))
    assert state(descriptor) != untouched
    os.close(descriptor)
    descriptor, _ = lend(tokens, file)
    assert state(descriptor) == untouched
    assert os.pread(descriptor, 9, 0) == b"12345"
    os.close(descriptor)
    tokens.close()


def test_nobody_can_change_what_is_in_it(file: Path) -> None:
    tokens = TrainingTokens(copied=0)
    descriptor, _ = lend(tokens, file)
    os.fchmod(descriptor, 0o700)
    writable = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
    for change in (lambda: os.write(writable, b"x"), lambda: os.ftruncate(writable, 0)):
        with pytest.raises(PermissionError):
            change()
    os.close(writable)
    os.close(descriptor)
    tokens.close()

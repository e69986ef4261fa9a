"""Both ends of the wire are written down apart; these claims hold them together."""

import math
import os
import socket
import struct

import pytest

from train_template import wire as theirs
from workers import wire as ours
from workers.errors import WireError

TO_CANDIDATE = (theirs.Kind.GO, theirs.Kind.JOB)
FROM_CANDIDATE = [kind for kind in theirs.Kind if kind not in TO_CANDIDATE]


def test_both_ends_describe_the_same_format() -> None:
    assert ours.MAGIC == theirs.MAGIC
    assert ours.LAYOUT.format == theirs.LAYOUT.format
    assert ours.SIZE == theirs.SIZE
    assert {k.name: k.value for k in ours.Kind} == {k.name: k.value for k in theirs.Kind}


@pytest.mark.parametrize("kind", FROM_CANDIDATE)
def test_what_a_candidate_packs_the_supervisor_reads(kind: theirs.Kind) -> None:
    sent = theirs.Message(kind, 5, 640, 1 << 33, 124_000_000, 0.25, 3.5, 1.25, "ein Gerät")
    got = ours.unpack(sent.pack())
    assert got == ours.Message(
        ours.Kind(kind), 5, 640, 1 << 33, 124_000_000, 0.25, 3.5, 1.25, "ein Gerät"
    )


def test_go_carries_an_open_file() -> None:
    here, there = socket.socketpair()
    read_end, write_end = os.pipe()
    with here, there:
        ours.send_go(here, read_end)
        received = theirs.receive_go(there)
    os.write(write_end, b"tokens")
    assert os.read(received, 10) == b"tokens"
    for descriptor in (read_end, write_end, received):
        os.close(descriptor)


def test_a_long_text_is_cut_at_a_character() -> None:
    got = ours.unpack(theirs.Message(theirs.Kind.FAILED, text="ü" * 2000).pack())
    assert got.text == "ü" * (theirs.TEXT_BYTES // 2)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x" * ours.SIZE,
        theirs.Message(theirs.Kind.HELLO).pack()[:-1],
        theirs.Message(theirs.Kind.GO).pack(),
        theirs.Message(theirs.Kind.JOB).pack(),
        b"ARW1" + struct.pack("<H", 99) + bytes(ours.SIZE - 6),
    ],
    ids=["empty", "no magic", "too short", "GO from a candidate", "JOB from one", "unknown kind"],
)
def test_bytes_that_are_no_message_are_refused(raw: bytes) -> None:
    with pytest.raises(WireError):
        ours.unpack(raw)


def test_figures_out_of_range_are_brought_into_it() -> None:
    wild = theirs.Message(theirs.Kind.PROGRESS, step=-1, fraction=7.0, loss=math.inf)
    got = ours.unpack(wild.pack())
    assert (got.step, got.fraction, got.loss) == (0, 1.0, None)

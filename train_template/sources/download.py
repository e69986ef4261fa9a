"""Files over HTTP that arrive whole: resumed, tried again, checked, several at a time.

In: addresses and the files that they become. Out: the files, each there whole or not at all; what
came before a connection broke stays beside it (`NAME.TAG.part`) and is gone on from, in the same
process or in a later one, where the server says by a strong ETag or a hash that it is the same file
still. What is whole has a note of its size and, where known, its hash beside it (`.NAME.whole`),
and is held against that before every use. How far it is stands on stderr. HTTP
itself is httpx's; whose files these are, and what to do without them, is the caller's to say.
"""

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from train_template.errors import DataError
from train_template.lasting import replace_lasting, sync

if TYPE_CHECKING:
    import httpx

AT_A_TIME = 8  # files: one connection rarely fills a fast line
TIMEOUT_SECONDS = 30.0  # without a byte
ATTEMPTS = 7  # in a row without a byte: 32 s with the waits between them
ATTEMPTS_TO_REACH = 3  # a host that does not answer at all: 1.5 s
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 30.0
REPORT_SECONDS = 5.0
TAG_DIGITS = 12  # of a tag's hash, in the name of what came so far
SHA256 = re.compile(r"[0-9a-f]{64}")


class RefusedError(DataError):
    """The server answers, and will not give this file: another try would not help."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class UnreachableError(DataError):
    """The server can't be reached, or does not stay reachable long enough."""


@dataclass(frozen=True)
class _Facts:
    """What a server says of a file."""

    tag: str  # its ETag, "" where it has none
    size: int | None  # bytes of the whole file
    is_strong: bool  # whether the same tag means the same bytes

    @property
    def sha256(self) -> str:
        """What the hub gives for the content of large files, as their tag; else empty."""
        return self.tag if SHA256.fullmatch(self.tag) else ""


def download(files: Mapping[str, Path], headers: Mapping[str, str]) -> None:
    """Get each address of `files` that is not there yet, or damaged since, into its place.

    As soon as one can't be had it raises RefusedError or UnreachableError, the latter also where
    one arrives damaged time and again, or OSError where the disk does not take it; the others stop.
    """
    import httpx

    missing = {url: file for url, file in files.items() if not _is_whole(file)}
    if not missing:
        return
    progress = _Progress(len(missing))
    with (
        httpx.Client(
            headers={**headers, "Accept-Encoding": "identity"},  # a range of what is stored
            follow_redirects=True,  # httpx drops Authorization where they lead to another host
            timeout=TIMEOUT_SECONDS,
        ) as client,
        ThreadPoolExecutor(AT_A_TIME) as pool,
    ):
        stop = threading.Event()
        began = [
            pool.submit(_File(client, url, file, progress, stop).get)
            for url, file in missing.items()
        ]
        try:
            for each in as_completed(began):
                each.result()
        finally:
            stop.set()  # the others end at their next block, and keep what they have
            for each in began:
                each.cancel()


class _File:
    """One file on its way."""

    def __init__(
        self, client: "httpx.Client", url: str, file: Path, progress: "_Progress",
        stop: threading.Event,
    ) -> None:  # fmt: skip
        self._client, self._url, self._file = client, url, file
        self._progress, self._stop = progress, stop

    def get(self) -> None:
        import httpx

        self._file.parent.mkdir(parents=True, exist_ok=True)
        failed = 0
        while not self._stop.is_set():
            before = self._received()
            try:
                self._go_on()
                return
            except (RefusedError, OSError):
                raise
            except httpx.UnsupportedProtocol as error:  # which a redirect leads to
                raise UnreachableError(str(error)) from error
            except (httpx.TransportError, httpx.TooManyRedirects, _TryAgain) as error:
                failed = 1 if self._received() > before else failed + 1  # some of it came
                unheard = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if failed >= (ATTEMPTS_TO_REACH if unheard else ATTEMPTS):
                    reason = f"{error}" or type(error).__name__
                    raise UnreachableError(" ".join(reason.split())) from error
            self._stop.wait(min(FIRST_WAIT_SECONDS * 2 ** (failed - 1), LONGEST_WAIT_SECONDS))

    def _parts(self) -> list[Path]:
        # Exactly its own: those of x.jsonl.gz begin as x.jsonl's do.
        own = re.compile(rf"{re.escape(self._file.name)}\.[0-9a-f]{{{TAG_DIGITS}}}\.part")
        return [each for each in self._file.parent.iterdir() if own.fullmatch(each.name)]

    def _part(self, tag: str) -> Path:
        return self._file.with_name(f"{self._file.name}.{_short(tag)}.part")

    def _resumable(self, parts: list[Path]) -> int:
        """The byte to ask from, or 0 for all of it.

        The last byte that is here is asked for again: behind the end of what is whole there is
        nothing, and what servers say to that (416) tells not always which file they mean.
        """
        if not parts or parts[0] == self._part(""):  # nobody knows what it is a part of
            return 0
        return max(0, parts[0].stat().st_size - 1)

    def _received(self) -> int:
        return max((part.stat().st_size for part in self._parts()), default=0)

    def _go_on(self) -> None:
        """Take one answer to its end; raises what says whether another may do better."""
        parts = self._parts()
        start = self._resumable(parts)
        ask = {"Range": f"bytes={start}-"} if start else {}
        with self._client.stream("GET", self._url, headers=ask) as answer:
            facts = _facts(answer)
            part = self._part(facts.tag if facts.is_strong else "")
            if answer.status_code == 416 or (answer.status_code == 206 and [part] != parts):
                # More is here than there, or it is another file by now.
                for each in parts:
                    each.unlink()
                raise _TryAgain(f"{self._file.name} has changed on the server")
            _check_status(answer.status_code)
            resumes = answer.status_code == 206
            if resumes and _range_start(answer) != start:
                raise _TryAgain("the server sent another part than was asked for")
            for each in parts:
                if each != part:
                    each.unlink()
            self._progress.expect(self._url, facts.size, start if resumes else 0)
            with part.open("r+b" if resumes else "wb") as file:
                file.seek(start if resumes else 0)
                # As it comes: blocks of a size would be lost with what they lack.
                # A file that is packed is labelled as encoded by some servers; it's wanted packed.
                packed = self._file.suffix == ".gz"
                for block in answer.iter_raw() if packed else answer.iter_bytes():
                    file.write(block)
                    self._progress.add(len(block))
                    if self._stop.is_set() and file.tell() != facts.size:
                        return
        self._accept(part, facts)

    def _accept(self, part: Path, facts: _Facts) -> None:
        size = part.stat().st_size
        if facts.size is not None and size < facts.size:
            raise _TryAgain(f"{self._file.name} ended after {size} of {facts.size} bytes")
        damage = ""
        if facts.size is not None and size > facts.size:
            damage = f"has {size} bytes instead of {facts.size}"
        elif facts.sha256 and _sha256(part) != facts.sha256:
            damage = "is not what its hash says"
        if damage:
            part.unlink()
            raise _TryAgain(f"{self._file.name} {damage}")
        note = {"size": size, "sha256": facts.sha256}
        replace_lasting(_note(self._file), json.dumps(note).encode())
        sync(part)
        part.rename(self._file)
        sync(self._file.parent)
        self._progress.done()


class _TryAgain(Exception):  # noqa: N818 - says what to do, as StopIteration does
    """The answer was of no use, and another may be."""


def _check_status(status: int) -> None:
    if status in (408, 429) or status >= 500:
        raise _TryAgain(f"HTTP {status}")
    if status not in (200, 206):
        raise RefusedError(status)


def _facts(answer: "httpx.Response") -> _Facts:
    """From the last answer, or from a redirect before it: the hub tells there of its storage."""
    tag, size = "", None
    for each in (*answer.history, answer):
        tag = each.headers.get("X-Linked-ETag") or tag
        linked = each.headers.get("X-Linked-Size", "")
        size = int(linked) if linked.isdigit() else size
    tag = tag or answer.headers.get("ETag", "")
    if size is None:
        whole = answer.headers.get("Content-Range", "").rpartition("/")[2]
        if answer.status_code == 200:
            whole = answer.headers.get("Content-Length", "")
        size = int(whole) if whole.isdigit() else None
    bare = tag.removeprefix("W/").strip('"')
    return _Facts(
        bare, size, bool(bare) and (bare == tag.strip('"') or bool(SHA256.fullmatch(bare)))
    )


def _range_start(answer: "httpx.Response") -> int | None:
    found = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _note(file: Path) -> Path:
    return file.with_name(f".{file.name}.whole")


def _is_whole(file: Path) -> bool:
    """Whether a file is there as it came; it is read whole, as it will be by whoever wants it."""
    try:
        note = json.loads(_note(file).read_bytes())
        if file.stat().st_size != note["size"]:
            return False
        return not note["sha256"] or _sha256(file) == note["sha256"]
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _short(tag: str) -> str:
    return hashlib.sha256(tag.encode()).hexdigest()[:TAG_DIGITS]


class _Progress:
    """Bytes of all files together, said now and then."""

    def __init__(self, files: int) -> None:
        self._files, self._done = files, 0
        self._sizes: dict[str, int] = {}
        self._here, self._came = 0, 0
        self._began = self._said = time.monotonic()
        self._lock = threading.Lock()

    def expect(self, url: str, size: int | None, here: int) -> None:
        with self._lock:
            if url not in self._sizes:
                self._here += here
            self._sizes[url] = size or 0

    def add(self, size: int) -> None:
        with self._lock:
            self._came += size
            if time.monotonic() - self._said >= REPORT_SECONDS:
                self._say()

    def done(self) -> None:
        with self._lock:
            self._done += 1
            if self._done == self._files:
                self._say()

    def _say(self) -> None:
        self._said = time.monotonic()
        rate = self._came / max(1e-3, self._said - self._began)
        known = len(self._sizes) == self._files and all(self._sizes.values())
        of = f" of {sum(self._sizes.values()) / 1e6:,.0f}" if known else ""
        print(
            f"data: {self._done} of {self._files} files, {(self._here + self._came) / 1e6:,.0f}"
            f"{of} MB, {rate / 1e6:.1f} MB/s",
            file=sys.stderr,
            flush=True,
        )

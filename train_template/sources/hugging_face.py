"""Files of a data set on the Hugging Face hub, or on a mirror of it.

In: the data set's name, the files to train on and one that is withheld: its first half is the
validation text, its second half the audit. Out: documents, a row each. Files come over plain HTTP
(`ENDPOINT/datasets/NAME/resolve/REVISION/FILE`) and stay in the node's cache, where all studies
find them; packed data is made of them once and needs neither them nor the network again.

As the hub's own tools do, it asks HF_ENDPOINT instead of huggingface.co where that is set, and
sends HF_TOKEN, to that host alone.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from train_template.errors import DataError
from train_template.lock import locked
from train_template.sources.download import RefusedError, UnreachableError, download
from train_template.sources.records import ENDINGS, count_rows, holds_records, rows
from train_template.sources.source import Document, Split

ENDPOINT = "https://huggingface.co"
NAME = re.compile(r"[\w.-]+/[\w.-]+")
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
WAY_OUT = (
    "Without it, train on text that is here: --set data.source=stdlib --set "
    "data.validation_tokens=131072, or your own: --set data.source=path --set "
    "'data.paths=[\"texts/**/*.txt\"]'"
)


class HuggingFaceSource:
    """The rows of some files of one data set."""

    def __init__(
        self,
        dataset: str,
        files: Sequence[str],
        validation_file: str,
        *,
        revision: str = "main",
        column: str = "text",
    ) -> None:
        """Raises DataError for names that can't be a data set's or a file's in it."""
        if not NAME.fullmatch(dataset):
            raise DataError(f"data.dataset: {dataset!r} is no name such as owner/data-set")
        self._dataset, self._revision, self._column = dataset, revision, column
        self._files = list(dict.fromkeys(name for each in files for name in expand(each)))
        self._withheld_file = validation_file
        for name in (*self._files, validation_file):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or str(path) != name:
                raise DataError(f"data.files: {name!r} is no file's name inside a data set")
            if not holds_records(name):
                raise DataError(f"data.files: {name} must end with {' or '.join(ENDINGS)}")
        if validation_file in self._files:
            raise DataError(
                f"data.validation_file: {validation_file} is among data.files too, so models "
                "would train on what they are measured on"
            )
        self._folder: Path | None = None

    def fetch(self, cache: Path) -> None:
        """Download what is not in `cache`; others who want the same wait for it."""
        endpoint = _endpoint()
        folder = cache / self._dataset.replace("/", "--") / quote(self._revision, safe="")
        folder.mkdir(parents=True, exist_ok=True)
        base = f"{endpoint}/datasets/{self._dataset}/resolve/"
        base += f"{quote(self._revision, safe='')}/"
        token = os.environ.get("HF_TOKEN", "").strip()
        wanted = {base + quote(n): folder / n for n in (self._withheld_file, *self._files)}
        try:
            with locked(folder / ".lock"):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                download(wanted, headers)
        except RefusedError as error:
            raise DataError(f"{self._where(endpoint)}: {_refusal(error.status, token)}") from error
        except UnreachableError as error:
            raise DataError(
                f"{self._where(endpoint)} can't be fetched ({error}). What arrived is kept, and "
                f"the same command goes on from there. {WAY_OUT}"
            ) from error
        except ImportError as error:
            raise DataError(
                f"data.source=hf needs httpx, which is not installed: {error}"
            ) from error
        self._folder = folder

    def documents(self) -> Iterator[Document]:
        """The withheld file's halves, then the files to train on in their order."""
        file = self._file(self._withheld_file)
        half = (count_rows(file, self._column) + 1) // 2
        for number, text in enumerate(rows(file, self._column)):
            split: Split = "validation" if number < half else "audit"
            yield Document(self._withheld_file, text, split)
        for name in self._files:
            for text in rows(self._file(name), self._column):
                yield Document(name, text, "train")

    def sample(self) -> Iterator[bytes]:
        """The files to train on, from the first on: such data sets come shuffled."""
        for name in self._files:
            yield from rows(self._file(name), self._column)

    def describe(self) -> dict[str, object]:
        """The data set and its files, whichever host they came from."""
        return {
            "kind": "hf",
            "dataset": self._dataset,
            "revision": self._revision,
            "files": self._files,
            "validation_file": self._withheld_file,
        }

    def state(self) -> object:
        """Names alone: what was downloaded once is kept, also where a branch has moved on."""
        return self.describe()

    def withheld(self) -> tuple[str, ...]:
        """None: these files do not lie in the standard library."""
        return ()

    def more_text(self, split: Split, /) -> str:
        """Other files: each has its own key."""
        if split == "train":
            return f"name more of the data set's files in data.files than {', '.join(self._files)}"
        return (
            f"name a file with more rows as data.validation_file than {self._withheld_file}: the "
            "first half of its rows is the validation text, the second half the audit"
        )

    def _file(self, name: str) -> Path:
        assert self._folder is not None, "fetch comes before documents"
        return self._folder / name

    def _where(self, endpoint: str) -> str:
        return f"the data set {self._dataset} (revision {self._revision}) at {endpoint}"


def expand(name: str) -> Iterator[str]:
    """Every file that `part_{000..015}.parquet` means, with as many digits; a plain name is one."""
    found = RANGE.search(name)
    if found is None:
        yield name
        return
    first, last = found[1], found[2]
    if int(first) > int(last):
        raise DataError(f"data.files: {name} counts backwards")
    for number in range(int(first), int(last) + 1):
        yield from expand(f"{name[: found.start()]}{number:0{len(first)}}{name[found.end() :]}")


def _endpoint() -> str:
    """The hub's address, without a slash at the end; raises DataError where it can't be one."""
    endpoint = os.environ.get("HF_ENDPOINT") or ENDPOINT
    try:
        address = urlsplit(endpoint)
        is_one = address.scheme in {"http", "https"} and bool(address.hostname)
        _ = address.port  # raises ValueError where it is no number
    except ValueError:
        is_one = False
    if not is_one:
        raise DataError(
            f"HF_ENDPOINT is {endpoint!r}: set it to an address that begins with https:// or "
            f"http://, such as {ENDPOINT}, or unset it"
        )
    return endpoint.rstrip("/")


def _refusal(status: int, token: str) -> str:
    if status in (401, 403):
        what = "the token in HF_TOKEN does not open it" if token else "it asks for a token"
        return (
            f"{what} (HTTP {status}): it may be misspelt, private, or want its terms accepted on "
            "its page; set HF_TOKEN to a token that may read it"
        )
    if status == 404:
        return (
            "it has no such file (HTTP 404): compare data.dataset, data.files, "
            "data.validation_file and data.revision with the list on its page"
        )
    return f"refused with HTTP {status}"

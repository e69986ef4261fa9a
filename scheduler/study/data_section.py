"""The keys of `data:`: the text that models train on, and how it becomes tokens and rows.

Each key says what it is for, and why its default is what it is, as in `sections.py`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from scheduler.study.sections import Count, Section, key_error

HUB_EXAMPLES = {
    "dataset": "data.dataset=owner/name",
    "files": "'data.files=[\"train.parquet\"]'",
    "validation_file": "data.validation_file=test.parquet",
}
"""Keys that data.source=hf needs, as a person would set them."""


class DataSection(Section):
    """The text that models train on and are measured on."""

    source: Literal["stdlib", "path", "hf"] = Field(
        default="stdlib",
        description="stdlib: the source of Python's standard library, real text that every "
        "machine has, so that the first run needs no download. path: files of one's own. hf: files "
        "of a data set on the Hugging Face hub, or on a mirror that HF_ENDPOINT names.",
    )
    paths: tuple[str, ...] = Field(
        default=(),
        description="Files and globs, where data.source is path; relative ones start in the "
        "current folder. A file is one document; .parquet, .jsonl and .jsonl.gz hold one a row.",
    )
    dataset: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Where data.source is hf: which one, as owner/name. Null: none. HF_TOKEN opens "
        "private ones.",
    )
    revision: Annotated[str, Field(min_length=1)] = Field(
        default="main",
        description="Where data.source is hf: a branch, a tag or a commit. What was downloaded of "
        "a branch is kept: name a commit for a newer or an exact one.",
    )
    files: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        description="Where data.source is hf: the data set's files to train on, .parquet, .jsonl "
        "or .jsonl.gz; part_{000..015}.parquet are sixteen.",
    )
    validation_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="Where data.source is hf: the file that is withheld, half of it for the "
        "validation split and half for the audit. None of data.files.",
    )
    text_column: Annotated[str, Field(min_length=1)] = Field(
        default="text",
        description="The column, or in JSONL the key, that holds the text of a row.",
    )
    tokenizer: Literal["auto", "bytes", "bpe"] = Field(
        default="auto",
        description="How text becomes tokens. bytes: need no training and hide no cost. bpe: "
        "byte-level BPE that is learned from the training text, once; a large model learns far "
        "more of the text in the same time. auto: bpe where data.source is hf.",
    )
    vocab_size: Annotated[int, Field(ge=257, le=65_535)] = Field(
        default=8192,
        description="Token ids, where data.tokenizer is bpe: the 256 bytes, a separator, and "
        "merges. At most 65535, as ids are stored in 16 bits. 8192, as in karpathy/autoresearch: a "
        "small model is not all head.",
    )
    packing: Literal["auto", "windows", "best_fit", "best_fit_all"] = Field(
        default="auto",
        description="windows: documents end to end, and windows from random places. best_fit: rows "
        "of sequence_length tokens and a target, each begun with a document and filled with whole "
        "ones as far as they fit; the rest of a long document is left out. best_fit_all: it is a "
        "document of its own, for text such as code, of which best_fit loses most. auto: best_fit "
        "where data.source is hf.",
    )
    sequence_length: Count = Field(
        default=2048, description="Tokens in one training sequence. 2048 fills a large GPU."
    )
    validation_tokens: Count = Field(
        default=131_072,
        description="Tokens of the validation split that are scored: its first windows of "
        "sequence_length and a target each, as many as fit. More take longer and measure more "
        "finely. The standard library's split holds about twice this many.",
    )
    eval_batch_tokens: Count = Field(
        default=65_536,
        description="Tokens scored at a time: a limit on memory, without effect on the metric. "
        "Each takes 4 bytes for every id of the vocabulary, three times in the host's memory: as "
        "it comes from the model (on a GPU: from its memory), as it is shared with the referee, "
        "and in the referee's copy.",
    )

    @property
    def tokenizer_kind(self) -> Literal["bytes", "bpe"]:
        """What `tokenizer` amounts to."""
        if self.tokenizer == "auto":
            return "bpe" if self.source == "hf" else "bytes"
        return self.tokenizer

    @property
    def packing_kind(self) -> Literal["windows", "best_fit", "best_fit_all"]:
        """What `packing` amounts to."""
        if self.packing == "auto":
            return "best_fit" if self.source == "hf" else "windows"
        return self.packing

    @model_validator(mode="after")
    def keys_fit_together(self) -> Self:
        """Refuse a source without its files, and windows longer than what they are cut from.

        Keys of the hub may stand beside another source: a preset's hold again when it is chosen.
        """
        if self.source == "path" and not self.paths:
            message = (
                "needed where data.source is path: add --set 'data.paths=[\"texts/**/*.txt\"]'"
            )
            raise key_error("paths", message, "source")
        if self.source != "path" and self.paths:
            message = f"not used where data.source is {self.source}: add --set 'data.paths=[]'"
            raise key_error("paths", message, "source")
        if self.source == "hf":
            missing = [key for key in HUB_EXAMPLES if not getattr(self, key)]
            if missing:
                add = " ".join(f"--set {HUB_EXAMPLES[key]}" for key in missing)
                message = f"needed where data.source is hf: add {add} (or take --config gpu)"
                raise key_error(missing[0], message, "source")
        if self.validation_tokens <= self.sequence_length:
            raise key_error(
                "validation_tokens",
                f"must be above data.sequence_length, which is {self.sequence_length}: a window "
                "has a target too",
                "sequence_length",
            )
        if self.eval_batch_tokens < self.sequence_length:
            raise key_error(
                "eval_batch_tokens",
                f"must be at least data.sequence_length, which is {self.sequence_length}",
                "sequence_length",
            )
        return self

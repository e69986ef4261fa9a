"""The keys of a study's task: which repository is edited, how it is run, where its metric stands.

Two kinds of task: the bundled one and its like (`task.command` is null), which the harness trains
and the referee measures; and any other repository, which runs by its own command and reports its
metric itself. The other sections are in `sections.py`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agent.globs import Editable, literal
from scheduler.study.sections import PositiveNumber, Section, key_error
from workers.command import Limit, Mount, Reading, command_line, used_placeholders
from workers.limits import MEASURED

BUNDLED = "bundled"
RESERVED = ("diff.patch", "run.log", "trial-*.log", "proposal.json", "artifacts/**")
"""Of an experiment's folder in the study: see `folder.py`."""
Text = Annotated[str, Field(min_length=1)]
CommandText = Annotated[tuple[Text, ...], Field(min_length=1)] | Text
URL = re.compile(r"[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:")  # or git's scp-like user@host:path

NO_SECRETS = (
    "holds a name or a password, and it is kept, shown and exported: leave them out, and git takes "
    "them from its credential helper (git help credentials), or use ssh"
)


def holds_secrets(address: str) -> bool:
    """Whether a git address says who asks: a password anywhere, over HTTP a name too.

    There the name may be a token; over ssh it is mostly `git`.
    """
    scheme, separator, rest = address.partition("://")
    who, at, _ = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    return bool(separator and at) and (":" in who or scheme in ("http", "https"))


class MetricSection(Section):
    """What is measured at the end of a trial; for a repository of one's own, where it stands."""

    name: Text = Field(
        default="val_bpb",
        description="Name of the metric in tables and plots; needed with task.command. The bundled "
        "task measures bits per byte on the validation split, which compares across tokenizers.",
    )
    goal: Literal["minimize", "maximize"] = Field(
        default="minimize", description="Whether a lower or a higher value is better."
    )
    pattern: Text | None = Field(
        default=None,
        description="With task.command: a regular expression for the line of output that has it, "
        r"such as 'val_loss: ([-+.\w]+)', which takes 9.8e-05 and nan too. The last match counts; "
        "its group `value`, else its first. With task.metric.file, it is looked for there.",
    )
    file: Text | None = Field(
        default=None,
        description="With task.command: a file that a run leaves, relative to its folder, which "
        "holds the metric: JSON with task.metric.key, lines with task.metric.pattern, or the "
        "number alone. One that the repository has already does not travel, and none can edit it.",
    )
    key: Text | None = Field(
        default=None,
        description="Where the metric stands in the JSON of task.metric.file, with dots between "
        "the levels: validation.loss; a whole number counts along a list, -1 from its end.",
    )

    @model_validator(mode="after")
    def says_where_once(self) -> Self:
        """Refuse readings that contradict themselves."""
        check_reading(self.pattern, self.file, self.key)
        return self

    @property
    def reading(self) -> Reading:
        """Where it stands, for the workers."""
        return Reading(self.name, self.pattern or "", self.file or "", self.key or "")


class ExtraMetric(Section):
    """A figure beside the metric that ranks: where it stands, and which limit it must keep to."""

    pattern: Text | None = Field(default=None, description="As task.metric.pattern.")
    file: Text | None = Field(default=None, description="As task.metric.file.")
    key: Text | None = Field(
        default=None, description="As task.metric.key: where it stands in that JSON."
    )
    min: float | None = Field(
        default=None, description="The least that a trial may have; one with less is rejected."
    )
    max: float | None = Field(
        default=None, description="The most that a trial may have; one with more is rejected."
    )

    @model_validator(mode="after")
    def says_where_once(self) -> Self:
        """Refuse readings that contradict themselves."""
        check_reading(self.pattern, self.file, self.key)
        return self

    @property
    def is_read(self) -> bool:
        """Whether it is read from what a run leaves; else it must be a measured one."""
        return self.pattern is not None or self.file is not None


def check_reading(pattern: str | None, file: str | None, key: str | None) -> None:
    """Raise an error with its key for a reading that can't be."""
    if key is not None and file is None:
        raise key_error("key", "is looked for in a JSON file: set file too")
    if key is not None and pattern is not None:
        raise key_error("key", "set either key or pattern, not both")
    if file is not None and not _is_inside(file):
        raise key_error("file", f"{file!r} is not a file name inside the task's folder")
    if pattern is not None:
        from workers.readings import compiled  # noqa: PLC0415 - few tasks need a pattern

        try:
            compiled(pattern)
        except ValueError as error:
            raise key_error("pattern", f"{pattern!r} is no regular expression: {error}") from error


class NetworkSection(Section):
    """Who of a task may use the network. The bundled task never does."""

    setup: bool = Field(
        default=True, description="Whether task.setup may: to install what the repository needs."
    )
    trials: bool = Field(
        default=False,
        description="Whether trials may. No, because edited code could then fetch weights or send "
        "what it sees; data that a script downloads belongs into task.setup or task.mounts.",
    )


class TaskSection(Section):
    """Which code is edited, how it is run, and how it is measured."""

    source: Text = Field(
        default=BUNDLED,
        description="Folder of the task, or the address of a git repository (with task.revision); "
        "'bundled' for the one that ships with the package. An address must hold no password.",
    )
    revision: Text | None = Field(
        default=None,
        description="Commit, tag or branch, where task.source is the address of a git repository: "
        "what it stands for when a study begins. It is cloned into the cache of the machine that "
        "runs the study.",
    )
    commit: Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")] | None = Field(
        default=None,
        description="The commit that task.revision stood for when the study began: filled in then, "
        "and kept where a branch moves on. Leave it out.",
    )
    editable: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default=("train.py",),
        description="Files that the agent may edit, relative to the task's folder: names and globs "
        "(src/**/*.py). It may add files that a glob fits. One file keeps every difference "
        "readable.",
    )
    protected: tuple[str, ...] | None = Field(
        default=None,
        description="Names and globs of files that nobody may edit and no run may change; they win "
        "over task.editable. Null: every file that is not editable.",
    )
    constants: Mapping[str, int | float] = Field(
        default_factory=dict,
        description="Values put in place of the constants at the top of the editable files, for "
        "the baseline. Empty: the files as they are.",
    )
    command: CommandText | None = Field(
        default=None,
        description="What a trial runs in the task's folder: a list of words, or a line for the "
        "shell. {seed}, {seconds}, {steps}, {gpus} and {python} stand for the trial's own. "
        "Null: the way of the bundled task, trained by its harness and measured by its referee.",
    )
    setup: CommandText | None = Field(
        default=None,
        description="Run once on each node before the first trial, such as 'pip install -r "
        "requirements.txt --target .deps' or 'uv sync'. It sees the repository without its "
        "editable files; what it adds is there, read-only, for every trial.",
    )
    setup_seconds: PositiveNumber = Field(
        default=1800.0, description="Limit for task.setup. Installing torch takes minutes."
    )
    env: Mapping[str, str] = Field(
        default_factory=dict,
        description="Variables of the command, beside a short list of harmless ones; "
        "placeholders as in task.command. Keys of the driver never reach it.",
    )
    budget: Literal["script", "enforced"] = Field(
        default="script",
        description="Who keeps to budget.seconds. script: the script, which is told by {seconds} "
        "or {steps} in task.command or task.env, or has a constant of its own. enforced: it is "
        "ended (SIGTERM) when they are over, and what it reported last counts.",
    )
    deadline: PositiveNumber | None = Field(
        default=None,
        description="Seconds from the start of the command to its end; what is longer is a "
        "timeout. Null: budget.startup_seconds, the budget with 10 % of grace, and "
        "budget.eval_seconds together.",
    )
    metric: MetricSection = Field(default_factory=MetricSection)
    metrics: Mapping[str, ExtraMetric] = Field(
        default_factory=dict,
        description="More figures by name, read as task.metric is (pattern, file, key), each with "
        "an optional limit min or max: a trial that breaks one is rejected. memory_gb, "
        "device_memory_gb and seconds are measured anyway and take a limit alone: "
        "{memory_gb: {max: 40}}.",
    )
    mounts: tuple[Text, ...] = Field(
        default=(),
        description="Paths of the node that trials may read: HOST, HOST:INSIDE or HOST:INSIDE:rw, "
        "such as ~/.cache/autoresearch; ~ inside is the trial's own home. What is rw is a way for "
        "one trial to change another.",
    )
    network: NetworkSection = Field(default_factory=NetworkSection)
    artifacts: tuple[Text, ...] = Field(
        default=(),
        description="Globs of files that a run leaves and that are kept in the study, such as "
        "plots/*.png: small ones, they travel to the head.",
    )
    artifacts_mb: PositiveNumber = Field(
        default=10.0, description="Most of all artifacts of a trial together, in MB (10^6 bytes)."
    )
    max_mb: PositiveNumber = Field(
        default=100.0,
        description="Most of the repository that travels to the nodes, in MB, without what "
        ".gitignore names. Each trial copies it; data belongs into task.mounts.",
    )

    @property
    def self_reported(self) -> bool:
        """Whether the metric is the word of the code that is edited, and no referee's."""
        return self.command is not None

    @property
    def label(self) -> str:
        """The metric's name as every view shows it, with who says so where that is no referee."""
        return f"{self.metric.name} (self-reported)" if self.self_reported else self.metric.name

    @property
    def caution(self) -> str:
        """The same where no referee measured it; "" where one did."""
        return self.label if self.self_reported else ""

    @property
    def is_url(self) -> bool:
        """Whether the source is a git repository's address."""
        return URL.match(self.source) is not None

    @property
    def told(self) -> bool:
        """Whether the script is told its budget."""
        return bool(self._placeholders & {"seconds", "steps"})

    @property
    def told_seconds(self) -> bool:
        """Whether it is told a budget that is a clock's, and keeps that clock itself."""
        return self.budget == "script" and "seconds" in self._placeholders

    @property
    def _placeholders(self) -> frozenset[str]:
        return used_placeholders([*command_line(self.command or ()), *self.env.values()])

    @property
    def told_seed(self) -> bool:
        """Whether the command or its environment has the trial's seed in it."""
        texts = [*command_line(self.command or ()), *self.env.values()]
        return "seed" in used_placeholders(texts)

    def readings(self) -> tuple[Reading, ...]:
        """The figures that are read beside the metric."""
        return tuple(
            Reading(name, each.pattern or "", each.file or "", each.key or "")
            for name, each in self.metrics.items()
            if each.is_read
        )

    @property
    def reported_files(self) -> tuple[str, ...]:
        """The files that a run leaves its figures in: it brings none along and edits none."""
        read = (self.metric.reading, *self.readings())
        return tuple(dict.fromkeys(reading.file for reading in read if reading.file))

    def limits(self) -> tuple[Limit, ...]:
        """The limits that every trial must keep to."""
        return tuple(
            Limit(name, each.min, each.max)
            for name, each in self.metrics.items()
            if each.min is not None or each.max is not None
        )

    def mounted(self) -> tuple[Mount, ...]:
        """The mounts, taken apart."""
        return tuple(map(_mount, self.mounts))

    @model_validator(mode="after")
    def names_lie_in_the_folder(self) -> Self:
        """Refuse names that leave the task's folder or come twice."""
        for key, names in (
            ("editable", self.editable),
            ("protected", self.protected or ()),
            ("artifacts", self.artifacts),
        ):
            for name in names:
                if not _is_inside(name):
                    raise key_error(key, f"{name!r} is not a file name inside the task's folder")
        if len(set(self.editable)) < len(self.editable):
            raise key_error("editable", "a file is named twice")
        return self

    @model_validator(mode="after")
    def source_holds_no_password(self) -> Self:
        """Refuse a password: the configuration is kept, shown and exported."""
        if holds_secrets(self.source):
            raise key_error("source", NO_SECRETS)
        return self

    @model_validator(mode="after")
    def keys_fit_the_kind_of_task(self) -> Self:
        """Refuse what has no meaning for the kind of task that it is."""
        problems = _of_a_command(self) if self.command is not None else _without_a_command(self)
        for key, message in problems:
            raise key_error(key, message)
        for name, each in self.metrics.items():
            if each.is_read == (name in MEASURED):
                how = "is measured, not read: give it min or max alone" if each.is_read else (
                    f"say where it stands (pattern or file); only {', '.join(MEASURED)} are "
                    "measured anyway"
                )  # fmt: skip
                raise key_error("metrics", f"{name}: {how}")
        if self.metric.name in self.metrics:
            raise key_error("metrics", f"{self.metric.name} is the metric that ranks")
        return self


def editable_of(task: TaskSection) -> Editable:
    """Which files may be edited, and added; of the bundled task and its like, none may be added."""
    if task.command is None:
        return Editable()
    written = tuple(map(literal, task.reported_files))
    return Editable(task.editable, (*(task.protected or ()), *written), RESERVED)


def _of_a_command(task: TaskSection) -> Iterator[tuple[str, str]]:
    if task.source == BUNDLED:
        yield "source", "needed where task.command is set: the folder or address of the repository"
    if task.is_url and task.revision is None:
        wanted = "needed with the address of a git repository, so that a study stays what it is: a "
        yield (
            "revision",
            f"{wanted}commit, a tag or a branch (see: git ls-remote {task.source} HEAD)",
        )
    if not task.is_url and task.revision is not None:
        yield "revision", "only for the address of a git repository; a folder is taken as it is"
    if not task.is_url and task.commit is not None:
        yield "commit", "only for the address of a git repository; a folder is taken as it is"
    if "name" not in task.metric.model_fields_set:
        wanted = "name is needed where task.command is set, as the script calls its figure: write "
        yield "metric", f"{wanted}task.metric.name: val_loss (or --set task.metric.name=val_loss)"
    if task.metric.pattern is None and task.metric.file is None:
        example = r"'val_loss: ([-+.\w]+)', or task.metric.file"
        yield "metric", f"says not where it stands: set task.metric.pattern, such as {example}"
    first = command_line(task.command or "")[0]
    if "=" in first or first.startswith("-"):
        yield "command", f"begins with {first!r}, which is no program; variables go into task.env"
    for mount in task.mounts:
        try:
            _mount(mount)
        except ValueError as error:
            yield "mounts", str(error)
    named = {name for name in task.env if "=" in name or not name}
    if named:
        yield "env", f"{min(named)!r} is no name of a variable"


def _without_a_command(task: TaskSection) -> Iterator[tuple[str, str]]:
    for key in ("revision", "commit", "setup", "deadline"):
        if getattr(task, key) is not None:
            yield key, "only used with task.command"
    for key in ("env", "mounts", "artifacts"):
        if getattr(task, key):
            yield key, "only used with task.command"
    if task.is_url:
        yield "command", "needed where task.source is a git repository: what a trial runs in it"
    if task.budget == "enforced":
        yield "budget", "only used with task.command; the bundled task's clock is kept anyway"
    if task.metric.pattern is not None or task.metric.file is not None:
        yield "metric", "is measured by the referee, not read, unless task.command is set"
    if task.protected is not None:
        yield "protected", "only used with task.command; here only editable files can change at all"
    for name, each in task.metrics.items():
        if each.is_read:
            yield "metrics", f"{name}: figures are only read with task.command"


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and str(path) == name and name != "."


def _mount(text: str) -> Mount:
    """A mount as written; raises ValueError with what is wrong."""
    host, *rest = text.split(":")
    writable = rest[-1:] == ["rw"]
    if writable or rest[-1:] == ["ro"]:
        rest = rest[:-1]
    inside = rest[0] if rest else host
    if len(rest) > 1 or not host.startswith(("/", "~/")) or not inside.startswith(("/", "~/")):
        raise ValueError(
            f"{text!r} must look like /data, ~/.cache/name or /data:/inside:rw, with absolute paths"
        )
    if ".." in PurePosixPath(inside).parts:
        raise ValueError(f"{text!r} leads out of the place that it names")
    return Mount(host, inside, writable)

"""The errors of this package, and the exit code that each leads to.

SchedulerError
├── UsageError       what the person gave can't be used            exit code 2
│   ├── ConfigError  ... in a configuration: names key, file, line
│   └── NothingYet   a study is to be read that has recorded nothing
└── StudyError       the study can't be opened or can't go on      exit code 1
    ├── StudyInUse   another process holds it                      exit code 2
    └── StudyFull    there is no room on its disk, for now         (the loop waits)
"""


class SchedulerError(Exception):
    """Base of every error that the scheduler raises on purpose. The text is for a person."""

    exit_code = 1


class UsageError(SchedulerError):
    """Bad input; nothing was changed. The text says what to do."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration can't be used. The text names the key, the file and the line."""


class NothingYet(UsageError):  # noqa: N818 - a state of affairs, not a fault
    """A study has recorded nothing yet: it is just starting, or died before it could."""


class StudyError(SchedulerError):
    """A study can't be opened, or can't go on."""


class StudyInUse(StudyError):  # noqa: N818 - a state of affairs, not a fault
    """Another process runs this study now. The text names its pid and host."""

    exit_code = 2


class StudyFull(StudyError):  # noqa: N818 - a state of affairs, not a fault
    """The disk has no room for what happened. Nothing was changed: try again later."""

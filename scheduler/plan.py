"""What all trials of a study have in common, fixed before its first one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent import Proposal
from workers import Resources


@dataclass(frozen=True)
class Plan:
    """What every trial of a study has in common."""

    baseline: Proposal
    task: str  # content hash of the task's fixed files
    data: str  # content hash of the packed data
    resources: Resources
    guide: str = ""  # the task's own words on its contract, for the agent
    audits: bool = True  # the audit split is long enough to be scored
    may_change: tuple[str, ...] = ()  # fixed files that a run may alter, as workers.Command has it
    task_files: Mapping[str, str] = field(default_factory=dict)  # its fixed files' own hashes

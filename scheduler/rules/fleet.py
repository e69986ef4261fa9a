"""What a cluster's slots are made of: of which kind, how many, and which kind is the reference.

A kind is a Ray accelerator type, such as H100: by it Ray can place a trial. A class of hardware is
what a trial says that it ran on (model, count and precision): within one, figures compare. All
slots of a kind should be of one class; where they are not, the class decides.

    first trial of an experiment     any kind, compared with the champion's trials of that class
    baseline, repeats, confirmation  the reference: nothing is kept without a trial there

Plain data. Which trial goes where is `placing.py`'s part; when the reference moves,
`reference.py`'s.
"""

from dataclasses import dataclass

REFERENCE = "reference"  # a trial's wish: the kind that is the reference when it starts


@dataclass(frozen=True)
class Fleet:
    """The kinds of a study's slots. Slots of no named kind are of the kind ""."""

    kinds: tuple[tuple[str, int], ...] = ()  # name -> slots that fit, by name; (): all nameless
    reference: str | None = None  # the kind on which is kept; None: no slot was counted yet
    gone_at: float = 0.0  # Unix seconds since when there is no slot of it; 0: there is one
    said: bool = False  # a person can read of that
    sought: tuple[str, ...] = ()  # classes on which a trial of today's champion was asked for

    def wish(self, wants: str) -> str:
        """The kind that a trial with this wish must run on; "": any."""
        return (self.reference or "") if wants == REFERENCE else wants

    def has(self, kind: str) -> bool:
        """Whether there are slots that a trial bound to this kind may run on."""
        return not kind or any(name == kind and count > 0 for name, count in self.kinds)

    @property
    def largest(self) -> str:
        """The kind with the most slots; of equals, the first by name."""
        return max(self.kinds, key=lambda each: each[1], default=("", 0))[0]


@dataclass(frozen=True)
class Ground:
    """Where an experiment and the champion can be compared now."""

    reference: str = ""  # the kind of slot on which is kept
    sought: tuple[str, ...] = ()  # classes on which a trial of the champion was asked for
    awaited: tuple[str, ...] = ()  # what its trials that are under way want

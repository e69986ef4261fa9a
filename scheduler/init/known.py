"""Repositories that have a preset of their own, told by their files.

In: a snapshot. Out: the preset's name and why, or None. Their own names count as little as a
fork's: what the files hold decides.
"""

from scheduler.init.snapshot import Snapshot

MARKS = {
    "autoresearch": {"prepare.py": ("TIME_BUDGET", "def evaluate_bpb"), "train.py": ("val_bpb:",)},
    "nanogpt": {
        "train.py": ("val loss", "configurator.py"),
        "model.py": ("class GPT(",),
        "configurator.py": (),
        "data/shakespeare_char/prepare.py": (),
        "config/train_shakespeare_char.py": (),
    },
}


def known_preset(snapshot: Snapshot) -> str | None:
    """The preset whose marks a repository bears."""
    for preset, files in MARKS.items():
        if all(
            name in snapshot.texts and all(mark in snapshot.texts[name] for mark in marks)
            for name, marks in files.items()
        ):
            return preset
    return None

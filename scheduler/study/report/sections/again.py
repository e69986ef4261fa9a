"""How to get these figures again, and what they rest on."""

import shlex

import yaml

from scheduler.study.report import wording
from scheduler.study.report.blocks import Block, Facts, Section, Verbatim, Words
from scheduler.study.report.material import Material
from scheduler.study.table import commit
from workers.log import sentence

KEYS = ("seed", "budget", "task", "data", "workers", "keep")
"""Sections of the configuration that figures depend on. Others hold what is nobody's business, such
as the address of a webhook."""


def again(material: Material) -> Section:
    """Commands, versions, hashes, settings."""
    blocks: list[Block] = [Words(_words(material)), Verbatim(_commands(material), "sh", "Commands")]
    facts = []
    if material.champion is not None:
        number = material.champion.experiment.id
        trials = material.reader.trials(number)
        facts = [
            ("best experiment", wording.named(material.champion.experiment)),
            ("its code", f"{commit(material.reader.files(number))} (as in results.tsv)"),
            ("its seeds", ", ".join(dict.fromkeys(str(t.seed) for t in trials[:20]))),
        ]
    if material.sessions:
        last = material.sessions[-1]
        versions = ", ".join(f"{name} {number}" for name, number in last.versions.items())
        facts += [
            ("hash of the task", last.task or "not recorded"),
            ("hash of the data", last.data or "not recorded"),
            ("versions", sentence(versions) or "not recorded"),
        ]
    if facts:
        blocks.append(Facts(facts))
    settings = material.config.model_dump(mode="json", include=set(KEYS))
    text = yaml.safe_dump({key: settings[key] for key in KEYS}, sort_keys=False, allow_unicode=True)
    blocks.append(Words("The settings that the figures depend on:"))
    blocks.append(Verbatim(text, "yaml", "Settings"))
    return Section("How to reproduce", blocks)


def _words(material: Material) -> str:
    words = (
        "The study's folder holds all of it: every version of the code, the seeds, the settings. "
        "autoresearch reproduce runs an experiment again and says whether the figure lies where it "
        "should. "
    )
    if material.config.budget.steps is not None:
        return words + (
            "The budget is a number of steps: with the same seed, on the same hardware and with "
            "the same versions, the same figure comes out."
        )
    return words + (
        "The budget is a time: another device, or one that does other things too, makes another "
        "number of steps in it and gives another figure."
    )


def _commands(material: Material) -> str:
    best = material.champion.experiment.id if material.champion else 0
    # A name that is more than one line of printed text could pretend to be another command.
    name = shlex.quote(material.name) if sentence(material.name) == material.name else "STUDY"
    return "\n".join(
        (
            f"autoresearch reproduce {best} {name}",
            f"autoresearch best -o train.py -s {name}",
            f"autoresearch export --format csv -o results.csv -s {name}",
        )
    )

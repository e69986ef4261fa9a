"""Every verb of the command line is described in its page, and the page describes no other."""

import re
from pathlib import Path

from scheduler.cli.app import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_page_names_every_verb_and_no_other() -> None:
    verbs = {
        each.name or each.callback.__name__.replace("_", "-")
        for each in app.registered_commands
        if each.callback is not None
    }
    table = PAGE.read_text("utf-8").partition("\n## ")[0]
    assert set(re.findall(r"`autoresearch ([a-z][a-z-]+)", table)) == verbs

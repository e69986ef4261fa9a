"""The verb `doctor`: what this machine offers, what is missing and how to get it."""

from typing import Annotated

import typer

from scheduler.cli.reading import JsonOption, print_json, screen


def doctor(
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="Look for what this preset or YAML file needs, too."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one key, as with run."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what this machine offers a study, and what is missing. Exit code 1 if none can run.

    Keys are said to be set or not, never shown. Nothing is changed, and nothing leaves the machine.
    """
    import os

    from rich.text import Text

    from scheduler.doctor import Grade, examine
    from scheduler.study.config_file import load_config

    wanted = load_config(config, overrides or [], os.environ) if config or overrides else None
    styles = {Grade.OK: "green", Grade.NOTE: "yellow", Grade.MISSING: "red"}
    findings = []
    for finding in examine(os.environ, wanted):
        findings.append(finding)
        if as_json:
            continue
        line = Text(f"{finding.grade.value:<8}", style=styles[finding.grade])
        screen().print(line.append(f"{finding.what:<9}{finding.seen}", style=""), soft_wrap=True)
        if finding.advice:
            screen().print(Text(f"{'':<17}{finding.advice}", style="dim"), soft_wrap=True)
    if as_json:
        print_json(findings)
    if any(finding.grade is Grade.MISSING for finding in findings):
        raise typer.Exit(1)

"""The verb `doctor`: what this machine offers, what is missing and how to get it."""

import typer

from scheduler.cli.reading import JsonOption, print_json, screen


def doctor(as_json: JsonOption = False) -> None:
    """Say what this machine offers a study, and what is missing. Exit code 1 if none can run."""
    from rich.text import Text

    from scheduler.doctor import Grade, examine

    styles = {Grade.OK: "green", Grade.NOTE: "yellow", Grade.MISSING: "red"}
    findings = []
    for finding in examine():
        findings.append(finding)
        if as_json:
            continue
        line = Text(f"{finding.grade.value:<8}", style=styles[finding.grade])
        screen().print(line.append(f"{finding.what:<8} {finding.seen}", style=""), soft_wrap=True)
        if finding.advice:
            screen().print(Text(f"{'':<17}{finding.advice}", style="dim"), soft_wrap=True)
    if as_json:
        print_json(findings)
    if any(finding.grade is Grade.MISSING for finding in findings):
        raise typer.Exit(1)

"""The verb `submit-job`: run a study on a Ray cluster that one is not on.

Looks at the cluster before anything is sent, sends this version of the code with the study's own
files, and says how to follow, to stop and to go on. The study lies on the cluster's head.
"""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scheduler.job_server import JobServer

GRACE_SECONDS = 30  # what ends within it is kept; a tenth of the usual budget


def submit_job(
    study: Annotated[
        str | None,
        typer.Argument(
            help="Name, or an absolute folder on the head. Default: the configuration's name."
        ),
    ] = None,
    address: Annotated[
        str,
        typer.Option(
            envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard, http://HOST:8265."
        ),
    ] = "http://127.0.0.1:8265",
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            "-c",
            help="A preset (local, gpu, cluster, ...) or a YAML file. Default: cluster; a study "
            "that is there keeps its own.",
        ),
    ] = None,
    program: Annotated[
        Path | None,
        typer.Option(
            "--program", "-p", help="The research directions. Default: program.md, if it is here."
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model", "-m", metavar="NAME", help="A language model that proposes; repeatable."
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one key, such as budget.seconds=60."),
    ] = None,
    grace: Annotated[
        int,
        typer.Option(min=2, help="Seconds that `ray job stop` leaves the running trials to end."),
    ] = GRACE_SECONDS,
    pass_keys: Annotated[
        bool,
        typer.Option(
            "--pass-keys",
            help="Send the models' keys with the job: all who may use the cluster can read them.",
        ),
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print the log, and end with the study.")
    ] = False,
) -> None:
    """Run a study on a Ray cluster, as a job; the same command resumes it.

    The cluster's nodes need Python, Ray and what this package imports; the package itself is sent
    along. Keys of models come from the environment of the cluster's head, or from a file there
    that agent.key_file names.
    """
    import json
    import os
    import shlex
    import tempfile

    from scheduler.errors import UsageError
    from scheduler.figures import count
    from scheduler.job import STOP_SECONDS
    from scheduler.job_server import JobServer
    from scheduler.parcel import PROGRAM, pack_parcel, size_of
    from scheduler.session import measure_capacity
    from scheduler.study.config_file import NOT_KEYS, PREFIX, find_source, load_config

    flags = [*([f"agent.models={json.dumps(models)}"] if models else []), *(overrides or [])]
    chosen = config or os.environ.get(f"{PREFIX}CONFIG")
    source = find_source(chosen, os.environ) if chosen else None
    if program is None and Path(PROGRAM).is_file():
        program = Path(PROGRAM)
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(PREFIX) and name not in NOT_KEYS
    }
    variables |= {f"{PREFIX}CONFIG": "cluster"} if source is None else {}
    variables[STOP_SECONDS] = str(grace)

    with tempfile.TemporaryDirectory(prefix="autoresearch-job-") as made:
        folder = Path(made).resolve()
        settings = load_config(chosen or "cluster", flags, os.environ, folder=folder)
        name = _name(study or settings.study.path or (source.name if source else "cluster"))
        server = JobServer(address, os.environ)
        facts = server.facts()
        typer.echo(
            f"cluster {server.address}: Ray {facts.ray}, Python {facts.python}, "
            f"{count(sum(node['Alive'] for node in facts.nodes), 'node')}"
        )
        if job := server.running(name):
            raise UsageError(
                f"the study {name} is being run by the job {job}; follow it with: ray job logs -f "
                f"{job} --address {server.address}, or name another study"
            )
        try:
            measure_capacity(settings, facts.nodes, local=False)
        except UsageError as error:
            if source is not None:
                raise
            _warn(f"{error} (a study that is there has its own configuration)")
        if settings.agent.models:
            variables |= _keys(settings.agent.models, pass_keys, settings.agent.key_file)
        arguments = pack_parcel(folder, source, program, settings)
        typer.echo(
            f"sends   {size_of(folder) / 1e6:.1f} MB: this version of the code, "
            + (str(program) if program else "and no program.md")
        )
        command = ["python", "-m", "scheduler", "run", name, *arguments]
        for flag in flags:
            command += ["--set", flag]
        job = server.submit(name, folder, shlex.join(command), variables)
    _tell(job, name, server.address, grace)
    if follow:
        _follow(server, job)


def _name(wanted: str) -> str:
    """The study's name or place on the head. Raises UsageError for a relative path."""
    from scheduler.errors import UsageError

    if "/" in wanted and not wanted.startswith(("/", "~")):
        raise UsageError(
            f"{wanted}: a job's own folder doesn't last; give a plain name, for a study in "
            "~/autoresearch/studies on the head, or an absolute path there"
        )
    if wanted.startswith("."):
        raise UsageError(f"{wanted}: give a plain name, or an absolute path on the head")
    return wanted


def _keys(models: tuple[str, ...], wanted: bool, file: str | None) -> dict[str, str]:
    """The models' keys to be sent: none unless the person wants it."""
    import os

    from agent.llm.keys import variables_of
    from agent.llm.settings import ModelSettings

    if not wanted:
        where = f"from {file} there" if file else "or set agent.key_file to a file there"
        _warn(f"the models' keys are taken from the environment of the cluster's head, {where}")
        return {}
    names = {name for model in models for name in variables_of(ModelSettings(name=model))}
    found = {name: os.environ[name] for name in sorted(names) if os.environ.get(name)}
    if found:
        _warn(f"{', '.join(found)} can be read by everyone who may use the cluster's Jobs API")
    else:
        _warn("no key of these models' providers is set here; none is sent")
    return found


def _tell(job: str, name: str, address: str, grace: int) -> None:
    place = name if name.startswith(("/", "~")) else f"~/autoresearch/studies/{name}"
    asked = f"autoresearch status -s {place}"
    if shlex.quote(place.lstrip("~")) != place.lstrip("~"):  # the head's shell reads it once more
        asked = shlex.quote(f"autoresearch status -s {shlex.quote(place)}")
    typer.echo(f"job     {job}\nstudy   {place} on the head")
    typer.echo(
        f"\nnext (where the cluster has a token: export RAY_AUTH_MODE=token):\n"
        f"  ray job logs -f {job} --address {address}   follow it\n"
        f"  ray job stop {job} --address {address}      end it; trials have {grace} s\n"
        f"  ssh HEAD {asked}   the leaderboard\n"
        "  the same command again                      go on where it ended"
    )


def _follow(server: "JobServer", job: str) -> None:
    import asyncio

    typer.echo()
    try:
        code = asyncio.run(server.follow(job, lambda text: typer.echo(text, nl=False)))
    except KeyboardInterrupt:
        typer.echo("\nthe job goes on; the commands above follow and stop it", err=True)
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def _warn(text: str) -> None:
    typer.echo(f"note    {text}", err=True)

"""The verb `run`: start a study, or resume the one that is there.

Everything that can be wrong with the input is looked at before anything is written or started.
"""

from pathlib import Path
from typing import Annotated

import typer


def run(
    study: Annotated[
        str | None,
        typer.Argument(help="Name (below studies/) or folder. Default: the preset's name."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", help="A preset (local, gpu, cluster, ...) or a YAML file."),
    ] = None,
    program: Annotated[
        Path | None, typer.Option("--program", "-p", help="The research directions, Markdown.")
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME",
            help="A language model that proposes, such as anthropic/claude-sonnet-4-5; repeatable. "
            "Its key comes from the environment. Without any, the tuner works alone.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set one key, such as budget.seconds=60."),
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Plain lines, as where there is no terminal.")
    ] = False,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="Serve no pages and no REST for this run.")
    ] = False,
) -> None:
    """Start a study, or resume the one that is there.

    Trains the baseline and then edits of it, each for the same budget, and keeps what lowers the
    metric. Ctrl-C ends it when the running trials have ended; a second one cuts them short. The
    same command resumes it.
    """
    import asyncio
    import json
    import os
    from contextlib import ExitStack

    from scheduler import session
    from scheduler.api.serving import Server, bind
    from scheduler.cli.opening import open_study
    from scheduler.cli.secrets import take_secrets
    from scheduler.cli.stage import Stage
    from scheduler.cli.words import ending, forecast, given, unfilled
    from scheduler.job import submission_id
    from scheduler.nodes import connect, nodes
    from scheduler.researcher import missing_for
    from scheduler.rules.states import StopReason, StudyState
    from scheduler.study.room import when_there_is_room

    stage = Stage(plain=plain)
    chosen = [f"agent.models={json.dumps(models)}"] if models else []
    settings = [*chosen, *(overrides or [])]
    opening = when_there_is_room(lambda: open_study(study, config, program, settings), stage.say)
    serve = opening.config.serve
    secrets = take_secrets(opening.config, os.environ)  # before Ray starts, which hands the rest on
    socket = None if no_serve or serve.port is None else bind(serve.host, serve.port)
    stage.say(f"study   {opening.shown} ({'resumed' if opening.before else 'new'})")
    sandbox = session.sandbox_level(opening.config)
    with stage.wait("reading the task and packing the data (once for this machine)"):
        materials = session.gather_materials(
            opening.config, stage.say, secrets.hub, opening.folder.path
        )
    opening = opening.at(materials.commit)
    with stage.wait("starting Ray"):
        local = connect(bundles=materials.bundles.size).local
        capacity = session.measure_capacity(opening.config, nodes(), local=local)
    with stage.wait("setting the task up on every node"):
        session.prepare_task(opening.config, materials, capacity, nodes(), stage.say)
    missing = missing_for(opening.config, secrets.keys)
    stage.say(
        forecast(
            opening.config,
            capacity,
            materials,
            sandbox=sandbox,
            done=opening.before,
            missing=missing,
        )
    )
    if words := unfilled(opening.directions()):
        stage.say(words)
    when_there_is_room(opening.write, stage.say)

    with ExitStack() as stack:
        if socket is not None:
            server = stack.enter_context(Server(opening.folder.path, socket, secrets.tokens))
            remote = not local or bool(submission_id(os.environ) or "SSH_CONNECTION" in os.environ)
            for line in server.welcome(made=secrets.made, remote=remote):
                stage.say(line)
        show = stack.enter_context(stage.live(opening.open_instructions))
        last = asyncio.run(
            session.run_session(
                opening.folder,
                opening.config,
                materials,
                capacity=capacity,
                keys=secrets.keys,
                show=show,
                interrupted=stage.interrupted,
                abandon=stage.abandon,
                say=stage.say,
                to_trackers=secrets.trackers,
            )
        )
    stage.say(ending(last, opening.shown, given(config, models, overrides, os.environ)))
    if last.study.state is StudyState.PAUSED:
        raise typer.Exit(1)
    if last.study.reason is StopReason.SIGNAL:
        raise typer.Exit(130)

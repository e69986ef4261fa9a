"""The verb `serve`: REST and dashboard for a study that does not run."""

from typing import Annotated

import typer

from scheduler.cli.reading import StudyArgument


def serve(
    study: StudyArgument = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, help="Default: serve.port of the study."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Default: serve.host of the study.")
    ] = None,
) -> None:
    """Serve REST and dashboard for a study that does not run. Ctrl-C ends it.

    It only reads: what is asked for meanwhile is refused, but instructions wait in the study's
    mailbox until it runs again. A study that runs serves its own.
    """
    import os
    import signal

    from scheduler.api.serving import Server, bind
    from scheduler.api.tokens import take_tokens
    from scheduler.cli.reading import choose_here
    from scheduler.errors import StudyError, UsageError
    from scheduler.study.live import read_live

    tokens, made = take_tokens(os.environ)
    with choose_here(study) as chosen:
        folder = chosen.folder
    if read_live(folder.live) is not None:
        raise UsageError(f"{folder.path}: runs now, and serves itself; see the output of its run")
    settings = folder.load_config().serve
    wanted = port if port is not None else "auto" if settings.port is None else settings.port
    bound = bind(host or settings.host, wanted)
    with Server(folder.path, bound, tokens, reading=True) as server:
        for line in server.welcome(made=made, remote="SSH_CONNECTION" in os.environ):
            typer.echo(line)
        # Also where a script started it in the background: there it is ignored at first.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            code = server.wait()
        except KeyboardInterrupt:
            return  # the usual way to end it
        raise StudyError(f"the HTTP process has ended (exit code {code}); its output says why")

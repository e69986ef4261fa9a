"""The verbs `pause`, `unpause`, `stop` and `cancel`: a person steers a study that runs."""

from typing import Annotated

import typer

from scheduler.cli.reading import (
    JsonOption,
    StudyArgument,
    StudyOption,
    TokenFileOption,
    UrlOption,
    choose,
    find_experiment,
    one_name,
)
from scheduler.cli.sending import deliver
from scheduler.cli.show import ExperimentArgument


def pause(
    argument: StudyArgument = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Start nothing more until told otherwise.

    Running trials end and count; the process waits.
    """
    from scheduler.study.letters import Pause

    with choose(one_name(argument, study), url, token_file) as source:
        done = "paused: running trials end, nothing new starts; go on with: autoresearch unpause"
        deliver(source, Pause(), done, json=json)


def unpause(
    argument: StudyArgument = None,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Go on, whatever the study paused for.

    What went wrong in a row is forgiven, or it would pause again at once.
    """
    from scheduler.study.letters import Unpause

    with choose(one_name(argument, study), url, token_file) as source:
        deliver(source, Unpause(), "it goes on", json=json)


def stop(
    argument: StudyArgument = None,
    study: StudyOption = None,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="Cut the running trials short; they run again when it is resumed."
        ),
    ] = False,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """End the study's run once its running trials have ended.

    `autoresearch run` takes it up again where it stopped.
    """
    from scheduler.study.letters import Stop

    with choose(one_name(argument, study), url, token_file) as source:
        how = (
            "running trials are cut short and run again when it is resumed"
            if now
            else "running trials are awaited, nothing new starts; at once with: --now"
        )
        deliver(source, Stop(now=now), f"stopping: {how}", json=json)


def cancel(
    experiment: ExperimentArgument,
    study: StudyOption = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    json: JsonOption = False,
) -> None:
    """Give up an experiment that is not decided yet; a running trial of it is cut short."""
    from scheduler.errors import StudyError
    from scheduler.study.letters import Cancel

    with choose(study, url, token_file) as source:
        found = find_experiment(source, experiment)
        if found.state.is_final:
            raise StudyError(f"refused: experiment {experiment} is decided already")
        done = f"experiment {experiment} is cancelled"
        deliver(source, Cancel(experiment=experiment), done, json=json)

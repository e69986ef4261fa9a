"""What a study talks to: Ray, the models' providers, trackers, and the port that it serves on.

Nothing is sent anywhere: a key is set or not, and its value is not looked at.
"""

import importlib.metadata
import importlib.util
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent.errors import KeysError
from agent.llm.keys import gather_keys, known_variables, variables_of
from agent.llm.naming import FORM, unplaced
from scheduler.api.serving import FIRST_PORT, bind
from scheduler.doctor.finding import Finding, missing, note, ok
from scheduler.errors import UsageError
from scheduler.job_server import find_token
from scheduler.researcher import UNKNOWN, agent_settings, missing_for
from scheduler.study.config import Config
from scheduler.study.trackers.opening import MODULES, check_trackers


def ray(environ: Mapping[str, str]) -> Finding:
    """Which Ray a study would use, and whether its token is at hand."""
    try:
        version = importlib.metadata.version("ray")
    except importlib.metadata.PackageNotFoundError:
        return missing("ray", "not installed", "pip install -c constraints.txt ray")
    token, where = find_token(environ)
    known = f"token from {where}" if token else "no token"
    address = environ.get("RAY_ADDRESS")
    if not address:
        return ok("ray", f"{version}; a study uses a Ray of its own, started here; {known}")
    seen = f"{version}; a study uses the cluster at RAY_ADDRESS={address}; {known}"
    if not token:
        advice = "if it asks for one: copy ~/.ray/auth_token from its head, or set RAY_AUTH_TOKEN"
        return note("ray", seen, advice)
    file = Path(where).expanduser()
    if file.is_file() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return note("ray", seen, f"others may read it: chmod 600 {where}")
    return ok("ray", seen)


def keys(environ: Mapping[str, str], config: Config | None) -> Iterator[Finding]:
    """Which models have a key: those of the configuration, else all providers that are known."""
    if config is None or not config.agent.models:
        providers = known_variables()
        there = {p: [n for n in names if environ.get(n)] for p, names in providers.items()}
        found = [f"{p} ({names[0]} is set)" for p, names in there.items() if names]
        if found:
            yield ok("keys", ", ".join(found))
        else:
            advice = "to use models, set for example ANTHROPIC_API_KEY or OPENAI_API_KEY"
            yield note("keys", "no model's key is set: the tuner works alone", advice)
        return
    file = config.agent.key_file
    try:
        held = gather_keys(environ, Path(file) if file else None)
    except KeysError as error:
        yield missing("keys", str(error), "mend the file that agent.key_file names")
        return
    lacking = missing_for(config, held)
    unknown = unplaced(config.agent.models)
    for model in agent_settings(config).models:
        names = variables_of(model)
        if model.name in unknown:
            yield missing("keys", UNKNOWN.format(model.name), FORM)
            continue
        if wanted := lacking.get(model.name):
            instead = f"set {' or '.join(wanted)}, or put it into agent.key_file"
            yield note("keys", f"{model.name}: no key; the others and the tuner work on", instead)
        elif model.api_base:
            yield ok("keys", f"{model.name}: served at {model.api_base}")
        elif there_are := [name for name in names if held.values.get(name)]:
            yield ok("keys", f"{model.name}: {there_are[0]} is set")
        else:
            seen = f"{model.name}: its provider's variables are not known here"
            yield note("keys", seen, "its first call will tell whether it has what it needs")


def port(config: Config | None) -> Finding:
    """Whether the page can be served."""
    host = "127.0.0.1" if config is None else config.serve.host
    wanted = "auto" if config is None else config.serve.port
    if wanted is None:
        return ok("port", "nothing is served (serve.port: null)")
    try:
        with bind(host, wanted) as bound:
            number = bound.getsockname()[1]
    except (UsageError, OSError) as error:
        return missing("port", str(error), "choose another: --set serve.port=0")
    if wanted == "auto" and number != FIRST_PORT:
        return ok("port", f"{number} on {host} ({FIRST_PORT} is taken)")
    return ok("port", f"{number or 'any'} on {host}")


def trackers(environ: Mapping[str, str], config: Config | None) -> Iterator[Finding]:
    """Those of the configuration; without any, which are installed."""
    wanted = () if config is None else config.track.to
    for name in wanted:
        try:
            check_trackers([name], environ, offline=False)
        except UsageError as error:
            words, _, advice = str(error).partition("; ")
            yield missing("trackers", words, advice)
        else:
            yield ok("trackers", f"{name}: installed, and gets each trial")
    if not wanted:
        there = [n for n, needed in MODULES.items() if all(map(importlib.util.find_spec, needed))]
        yield ok("trackers", f"installed: {', '.join(there) or 'none'}")

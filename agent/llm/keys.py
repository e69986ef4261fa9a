"""The keys of the models' providers: gathered once, shown to nobody.

In: the environment, and perhaps a file of `NAME=value` lines. Out: Keys, which can travel to the
agent's process, be installed there, and take every trace of themselves out of a text.

Not covered: a value of fewer than 8 characters is not hidden (it would be found in any text), nor
one that somebody encodes in a way other than URL or JSON.
"""

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, quote_plus

from agent.errors import KeysError
from agent.llm.settings import ModelSettings

HIDDEN = "***"
SHORTEST = 8  # characters of a value that is hidden

_WANTED = re.compile(
    r"(AWS|AZURE|GOOGLE|VERTEX|VERTEXAI|WATSONX|DATABRICKS|SNOWFLAKE|OCI)_[A-Z0-9_]+"
    r"|[A-Z][A-Z0-9_]*_(API_KEY|KEY|TOKEN|SECRET|API_BASE|BASE_URL|API_VERSION|ORGANIZATION)"
)

# They end like a key and open other doors; the agent has no business with them.
_FOREIGN = re.compile(
    r"(AUTORESEARCH|RAY|CI|GITLAB|GH|NPM|PYPI|TWINE|SSH|GPG|WANDB|DOCKER|KUBERNETES|SLACK|SENTRY"
    r"|DATABASE|DB|REDIS|POSTGRES|MYSQL|DJANGO|FLASK|SESSION|DBUS|XDG)_.*"
    r"|GITHUB_(?!API_KEY$).*|HOME|PATH|.*_HOME|.*_PATH"
)
# Google's variable holds the path of a file, not its content.
_SECRET = re.compile(
    r"(?!GOOGLE_APPLICATION_CREDENTIALS$).*(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)(_ID)?"
)
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")

# What looks like a key, whoever it belongs to. A digit is asked for, so that words stay words.
_LOOKS = (
    (re.compile(r"(?i)\b(bearer|basic)(\s+)(?=[^\s\"']*\d)[A-Za-z0-9._~+/=-]{16,}"), r"\1\2***"),
    (
        re.compile(
            r"(?<![\w-])(?:sk|pk|rk|gsk|xai|hf|r8|nvapi|pplx|fw|tgp|ghp|csk)[-_]"
            r"(?=[\w-]*\d)[\w-]{16,}"
        ),
        HIDDEN,
    ),
    (re.compile(r"(?<!\w)(?:AIza[\w-]{30,}|AKIA[0-9A-Z]{16}|github_pat_\w{20,})"), HIDDEN),
    (re.compile(r"([?&](?:api[_-]?)?key=)[^&\s\"']+"), r"\1***"),
    (re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"), r"\1***@"),
)

# Provider (the part of a model's name before the slash) -> variables, each of which will do.
# Providers that may find their keys elsewhere (cloud profiles, instance roles) are left out.
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "azure": ("AZURE_API_KEY",),
    "azure_ai": ("AZURE_AI_API_KEY",),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
    "groq": ("GROQ_API_KEY",),
    "deepseek": ("DEEPSEEK_API_KEY",),
    "xai": ("XAI_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_API_KEY"),
    "fireworks_ai": ("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY"),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "cerebras": ("CEREBRAS_API_KEY",),
    "nvidia_nim": ("NVIDIA_NIM_API_KEY",),
    "deepinfra": ("DEEPINFRA_API_KEY",),
    "replicate": ("REPLICATE_API_KEY", "REPLICATE_API_TOKEN"),
    "moonshot": ("MOONSHOT_API_KEY",),
}
_BARE = (  # names without a provider
    (re.compile(r"(gpt-|o[134](-|$)|chatgpt-)"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
)


@dataclass(frozen=True, repr=False)
class Keys:
    """Names and values. Only the names are ever printed."""

    values: Mapping[str, str] = field(default_factory=dict)
    named: frozenset[str] = frozenset()  # by a person: secret whatever their names look like

    def __repr__(self) -> str:
        """The names alone."""
        return f"Keys({', '.join(sorted(self.values))})"

    def install(self, environ: MutableMapping[str, str]) -> None:
        """Put them where litellm looks for them: the environment of the agent's own process."""
        environ.update(self.values)

    def hide(self, text: str) -> str:
        """The text with every secret, and whatever looks like one, replaced by `***`."""
        for form in self._forms():
            text = text.replace(form, HIDDEN)
        for pattern, instead in _LOOKS:
            text = pattern.sub(instead, text)
        return text

    def secrets(self) -> list[str]:
        """The names of those that nobody else may see; an address is none."""
        return [n for n in self.values if n in self.named or _SECRET.fullmatch(n)]

    def _forms(self) -> list[str]:
        """Each secret as it may stand in a text; the longest first, so that no rest is left."""
        forms = {
            form
            for secret in map(self.values.__getitem__, self.secrets())
            if len(secret) >= SHORTEST
            for form in (
                secret,
                quote(secret, safe=""),
                quote_plus(secret),
                json.dumps(secret)[1:-1],
            )
        }
        return sorted(forms, key=len, reverse=True)


def gather_keys(
    environ: Mapping[str, str], file: Path | None = None, named: Iterable[str] = ()
) -> Keys:
    """What the models' providers may need. The environment goes before the file.

    `named`: variables that are wanted besides, such as a model's `key_variable`.
    Raises KeysError: the file can't be read, others may read it, or a line is not `NAME=value`.
    """
    found = {} if file is None else dict(_read(file))
    found.update(environ)
    also = frozenset(named)
    wanted = {n: value for n, value in found.items() if value and (n in also or is_wanted(n))}
    return Keys(wanted, also)


def is_wanted(name: str) -> bool:
    """Whether a variable may matter to a model's provider."""
    return bool(_WANTED.fullmatch(name)) and not _FOREIGN.fullmatch(name)


def missing_keys(models: Iterable[ModelSettings], keys: Keys) -> Mapping[str, tuple[str, ...]]:
    """Model -> the variables of which one has to be set, where none is.

    A model with an `api_base` needs none, and of providers that are not known here the provider's
    own answer will tell.
    """
    missing = {}
    for model in models:
        if model.key_variable:
            names: tuple[str, ...] = (model.key_variable,)
        else:
            names = () if model.api_base else variables_of(model)
        if names and not any(keys.values.get(name) for name in names):
            missing[model.name] = names
    return MappingProxyType(missing)


def known_variables() -> Mapping[str, tuple[str, ...]]:
    """Provider -> the variables, each of which may hold its key; of those that are known here."""
    return MappingProxyType(dict(_VARIABLES))


def variables_of(model: ModelSettings) -> tuple[str, ...]:
    """The variables, each of which may hold the key of the model's provider; empty: not known."""
    provider, slash, _ = model.name.partition("/")
    if not slash:
        provider = next((known for names, known in _BARE if names.match(model.name)), "")
    return _VARIABLES.get(provider, ())


def _read(file: Path) -> Mapping[str, str]:
    try:
        with file.open(encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeysError(f"{file}: others may read these keys; run: chmod 600 {file}")
            text = opened.read()
    except (OSError, UnicodeDecodeError) as error:
        # The error of decoding shows bytes of the file.
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise KeysError(f"{file}: the keys can't be read: {why}") from None
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not (stripped := line.strip()) or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            raise KeysError(f"{file}, line {number}: this is not NAME=value")
        values[match[1]] = _unquoted(match[2].strip())
    return values


def _unquoted(value: str) -> str:
    """As dotenv files have it: quoted as it stands, or bare up to a ` #` that starts a comment."""
    match = re.match(r"(['\"])(.*?)\1\s*(#.*)?$", value)
    return match[2] if match else re.sub(r"(^|\s)#.*$", "", value).strip()

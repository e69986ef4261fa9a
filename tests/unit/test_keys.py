"""Keys are found where people put them, travel whole, and are shown to nobody."""

import os
import pickle
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import KeysError
from agent.llm.keys import Keys, gather_keys, is_wanted, missing_keys
from agent.llm.settings import ModelSettings
from scheduler.errors import UsageError
from scheduler.researcher import check_models, take_keys
from scheduler.study.agent_section import AgentSection
from scheduler.study.config import Config

SECRET = "a+secret/with:odd=signs&1"
KEYS = Keys({"OPENAI_API_KEY": SECRET, "AWS_REGION": "eu-central-1", "SHORT_API_KEY": "none"})


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AZURE_API_BASE"),
        *("VERTEXAI_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS", "OLLAMA_API_BASE", "AWS_PROFILE"),
        *("GITHUB_API_KEY", "OPENAI_BASE_URL", "AZURE_CLIENT_SECRET"),
    ],
)
def test_what_a_provider_may_need_is_wanted(name: str) -> None:
    assert is_wanted(name)


@pytest.mark.parametrize(
    "name",
    [
        *("HOME", "PATH", "USER", "PWD", "PYTHONPATH", "LD_LIBRARY_PATH", "JAVA_HOME", "GPG_KEY"),
        *("AUTORESEARCH_TOKEN", "RAY_AUTH_TOKEN", "RAY_REDIS_KEY", "GITHUB_TOKEN", "GH_TOKEN"),
        *("WANDB_API_KEY", "SSH_AUTH_SOCK", "NPM_TOKEN", "KEY", "CI_JOB_TOKEN", "lower_api_key"),
    ],
)
def test_what_opens_other_doors_is_left_out(name: str) -> None:
    assert not is_wanted(name)
    assert gather_keys({name: "x" * 20}).values == {}


def test_a_variable_that_a_person_names_is_wanted_and_secret() -> None:
    keys = gather_keys({"MY_SERVER": "hunter2hunter2", "OTHER": "y"}, named=["MY_SERVER"])
    assert keys.values == {"MY_SERVER": "hunter2hunter2"}
    assert keys.hide("it is hunter2hunter2") == "it is ***"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.env"
    path.write_text(
        "# the lab's\n\nOPENAI_API_KEY=from-the-file # mine\n"
        "export ANTHROPIC_API_KEY = 'single # quoted'\nGROQ_API_KEY=\"a=b c\"\n"
        "MISTRAL_API_KEY=with#inside\nEMPTY_API_KEY=\nHOME=/nowhere\n"
    )
    path.chmod(0o600)
    return path


def test_a_file_is_read_as_dotenv_files_are(file: Path) -> None:
    assert gather_keys({}, file).values == {
        "OPENAI_API_KEY": "from-the-file",
        "ANTHROPIC_API_KEY": "single # quoted",
        "GROQ_API_KEY": "a=b c",
        "MISTRAL_API_KEY": "with#inside",
    }


def test_the_environment_goes_before_the_file(file: Path) -> None:
    keys = gather_keys({"OPENAI_API_KEY": "from-the-environment"}, file)
    assert keys.values["OPENAI_API_KEY"] == "from-the-environment"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused_with_what_to_do(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(KeysError, match=r"others may read these keys; run: chmod 600 .*keys\.env"):
        gather_keys({}, file)


def test_a_file_that_is_none_is_refused_without_showing_any_of_it(file: Path) -> None:
    file.write_text("OPENAI_API_KEY=fine\nsk-pasted-alone-0123456789\n")
    with pytest.raises(KeysError) as refused:
        gather_keys({}, file)
    assert str(refused.value).endswith("line 2: this is not NAME=value")
    file.write_bytes(b"OPENAI_API_KEY=sk-abc\xff")
    with pytest.raises(KeysError, match="not text in UTF-8") as refused:
        gather_keys({}, file)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    with pytest.raises(KeysError, match="No such file"):
        gather_keys({}, file.with_name("missing"))


def test_no_value_is_shown_by_printing_but_all_travel() -> None:
    for shown in (repr(KEYS), str(KEYS), f"{KEYS}", f"{[KEYS]}", f"{KEYS!a}"):
        assert SECRET not in shown
        assert "OPENAI_API_KEY" in shown
    assert pickle.loads(pickle.dumps(KEYS)) == KEYS


def test_they_are_installed_under_their_names() -> None:
    environ = {"PATH": "/bin"}
    KEYS.install(environ)
    assert environ == {"PATH": "/bin", **KEYS.values}


@given(
    secret=st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*"), min_size=8
    ),
    around=st.text(max_size=20),
)
def test_a_secret_is_hidden_as_it_is_and_as_it_stands_in_an_address(
    secret: str, around: str
) -> None:
    hide = Keys({"X_API_KEY": secret}).hide
    for form in (secret, quote(secret, safe="")):
        assert form not in hide(f"{around} {form} {around}")


def test_a_secret_within_another_leaves_no_rest() -> None:
    keys = Keys({"A_API_KEY": "abcdefgh", "B_API_KEY": "abcdefgh-and-more"})
    assert keys.hide("<abcdefgh-and-more>") == "<***>"


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-Ab3dEf6hIj9kLmN0pQr",
        "{'Authorization': 'Bearer eyJhbGciOi1JIUzI1NiIsInR5cCI6'}",
        "gsk_0123456789abcdefABCDEF",
        "GET https://host/v1/models?key=whatever-it-is failed",
        "AIza" + "Sy0" * 12,
        "AKIA0123456789ABCDEF",
        "http://user:hunter2@host/v1",
    ],
)
def test_what_looks_like_a_key_is_hidden_though_nobody_told_of_it(text: str) -> None:
    assert "***" in Keys().hide(text)


@pytest.mark.parametrize(
    "text",
    [
        "a basic transformer with causal attention",
        "the bearer of good news: lr=3e-4",
        "key=value, mask-token, risk-averse, sk-learn, task-0",
        "region eu-central-1, and none",
        "see https://host:8000/v1?page=2 or a@b.c",
        "total_batch_size = 2**19 # tokens; hf_transfer; sk = -1",
    ],
)
def test_prose_and_code_stay_as_they_are(text: str) -> None:
    assert KEYS.hide(text) == text


def test_this_project_survives_hiding() -> None:
    for path in Path(__file__).parents[2].glob("*/*.py"):
        text = path.read_text()
        assert Keys().hide(text) == text, path


def test_a_model_whose_key_is_missing_says_which_variables_would_do() -> None:
    models = [
        ModelSettings("openai/gpt-5"),
        ModelSettings("gpt-5-mini"),
        ModelSettings("claude-sonnet-4-5"),
        ModelSettings("gemini/gemini-2.5-pro"),
        ModelSettings("bedrock/whatever"),
        ModelSettings("openai/mine", api_base="http://localhost:8000/v1"),
        ModelSettings("openai/theirs", api_base="http://host/v1", key_variable="THEIRS"),
        ModelSettings("ollama/qwen3"),
    ]
    assert missing_keys(models, Keys({"OPENAI_API_KEY": "x", "HF_TOKEN": "y"})) == {
        "claude-sonnet-4-5": ("ANTHROPIC_API_KEY",),
        "gemini/gemini-2.5-pro": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        "openai/theirs": ("THEIRS",),
    }


def test_gathering_changes_nothing_in_the_environment() -> None:
    before = dict(os.environ)
    gather_keys(os.environ)
    assert dict(os.environ) == before


@pytest.mark.parametrize("models", [(), ("openai/any",)])
def test_a_study_takes_the_keys_out_of_the_environment_that_workers_inherit(
    models: tuple[str, ...],
) -> None:
    config = Config(agent=AgentSection(models=tuple(models)))
    environ = {"OPENAI_API_KEY": "key-0123456789", "OPENAI_API_BASE": "http://here", "HOME": "/h"}
    keys = take_keys(config, environ)
    assert environ == {"OPENAI_API_BASE": "http://here", "HOME": "/h"}
    assert keys.values.get("OPENAI_API_KEY") == ("key-0123456789" if models else None)


def test_a_model_of_no_known_provider_is_refused_before_anything_starts() -> None:
    names = ["foo", "gpt-5", "fo/bar", "openai/whatever", "ollama/mine"]
    with pytest.raises(UsageError, match=r"knows no provider of foo, fo/bar; write provider/model"):
        check_models(Config(agent=AgentSection(models=tuple(names))))


def test_models_of_known_providers_cost_no_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", None)
    models = ["anthropic/claude-sonnet-4-5", "openai/mine", "ollama/x", "hosted_vllm/org/name"]
    models += ["gpt-5", "claude-sonnet-4-5", "groq/a-new-one", "xai/grok-4"]
    check_models(Config(agent=AgentSection(models=tuple(models))))

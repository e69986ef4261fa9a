"""git answers for the folder that it is asked about, whatever the environment names."""

import subprocess
from pathlib import Path

import pytest

from scheduler.study.git_call import asked, environment


@pytest.fixture
def repositories(tmp_path: Path) -> tuple[Path, Path]:
    """Two, each with one file of its own name."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.py").touch()
        for words in (["init", "--quiet"], ["add", "-A"]):
            subprocess.run(
                ["git", "-C", str(tmp_path / name), *words], check=True, env=environment()
            )
    return tmp_path / "one", tmp_path / "two"


def test_a_hook_of_another_repository_does_not_mislead_it(
    repositories: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = repositories
    monkeypatch.setenv("GIT_DIR", str(two / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(two / ".git" / "index"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "0")
    assert asked(one, "ls-files") == "one.py\n"
    assert environment()["GIT_CONFIG_COUNT"] == "0", "settings are the user's, not a repository's"


def test_where_it_fails_or_is_missing_there_is_no_answer(
    repositories: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert asked(tmp_path, "rev-parse", "--show-toplevel") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert asked(repositories[0], "ls-files") is None

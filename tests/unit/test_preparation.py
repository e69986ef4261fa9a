"""What set-up is given, and when it has to run again."""

import sys
from pathlib import Path

from workers.command import Mount, Setup
from workers.preparation import prepare, setup_variables
from workers.sandbox import Level


def test_set_up_has_every_variable_that_holds_no_value_of_a_trial() -> None:
    variables = {
        "JSON": '{"lr": 0.1}',
        "PLAIN": "x",
        "PYTHON": "{python} -u",
        "SEED": "{seed}",
        "TIME": '{"most": {seconds}}',
    }
    assert setup_variables(variables) == {
        "JSON": '{"lr": 0.1}',
        "PLAIN": "x",
        "PYTHON": f"{sys.executable} -u",
    }


def test_set_up_runs_again_where_it_sees_other_mounts(tmp_path: Path) -> None:
    (repository := tmp_path / "repository").mkdir()
    (repository / "a").write_text("a")
    (data := tmp_path / "data").mkdir()
    folders = [
        prepare(
            Setup(("/bin/sh", "-c", "echo x > made")),
            repository,
            "0" * 64,
            cache=tmp_path / "cache",
            level=Level.BASIC,
            variables={},
            mounts=mounts,
        ).folder
        for mounts in ((), (), (Mount(str(data), "~/data"),))
    ]
    assert folders[0] == folders[1]
    assert folders[0] != folders[2]

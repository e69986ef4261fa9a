"""`python -m scheduler`: the command `autoresearch` where the package is not installed.

Nothing has then made sure that what it needs is there, so that is looked at first.
"""

import sys
from importlib.util import find_spec

LEAST_PYTHON = (3, 11)
NEEDED = (
    *("fastapi", "fastapi_offline", "filelock", "httptools", "httpx", "immutables", "jinja2"),
    *("litellm", "markupsafe", "matplotlib", "nicegui", "numpy", "optuna", "pathspec"),
    *("prometheus_client", "psutil", "pyarrow", "pydantic", "yaml", "ray", "regex", "rich"),
    *("scipy", "tiktoken", "tokenizers", "torch", "typer", "uvicorn", "uvloop", "websockets"),
)
"""The modules of the dependencies in pyproject.toml, in its order."""


def missing() -> str:
    """What this Python lacks and how to get it; "" where all is there."""
    if sys.version_info < LEAST_PYTHON:
        return f"Python 3.11 or newer is needed, and {sys.executable} is older"
    absent = [name for name in NEEDED if find_spec(name) is None]
    if not absent:
        return ""
    return (
        f"{sys.executable} lacks {', '.join(absent)}; install what is needed, on a cluster on "
        "each node, with: pip install -c constraints.txt '.[cluster]' in a checkout"
    )


if __name__ == "__main__":
    if problem := missing():
        print(f"error: {problem}", file=sys.stderr)  # noqa: T201 - the command line can't be loaded
        sys.exit(2)
    from scheduler.cli.app import main

    main()

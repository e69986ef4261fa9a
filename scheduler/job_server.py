"""A cluster's Jobs API, as one who submits a study sees it: is it fit for it, submit, follow.

In: an address and the environment (for the token). Out: what the cluster is, a job's name, its
log and exit code. What is wrong is raised as UsageError that says what to do. What travels with
a job is put together in `parcel.py`. Needs the extra `cluster`.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from scheduler.errors import StudyError, UsageError

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

STUDY = "autoresearch_study"  # in a job's metadata: which study it runs
LEAST_RAY, LEAST_PYTHON = (2, 50), (3, 11)  # of pyproject.toml
ANSWER_SECONDS = 10.0  # a tunnel over a slow line answers within one
AGENT_SECONDS = 60.0  # a head that was just started can't take jobs for a few seconds
RETRY_SECONDS = 2.0


@dataclass(frozen=True)
class ClusterFacts:
    """What the cluster says of itself."""

    ray: str
    python: str
    nodes: list[dict[str, Any]]  # as `ray.nodes()` describes them, as far as slots are counted


class JobServer:
    """The Jobs API of one cluster."""

    def __init__(self, address: str, environ: Mapping[str, str]) -> None:
        """Raise UsageError where the cluster doesn't answer, or not to this token."""
        self.address = (address if "://" in address else f"http://{address}").rstrip("/")
        token, where = find_token(environ)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._token_from = where
        self._get("/api/version")
        self._client = self._connect()

    def _connect(self) -> "JobSubmissionClient":
        os.environ["RAY_API_SERVER_ADDRESS"] = self.address  # Ray puts it, too, before an argument
        try:
            from ray.job_submission import JobSubmissionClient  # noqa: PLC0415 - of the extra

            client = JobSubmissionClient(self.address, headers=dict(self._headers))
        except (ImportError, RuntimeError) as error:
            raise UsageError(
                f"submitting needs more of Ray than is installed here ({error}); "
                "install it with: pip install 'autoresearch-ray[cluster]'"
            ) from error
        for name in ("dashboard_sdk", "job.sdk"):  # they tell of each file
            logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.WARNING)
        logging.getLogger("ray._private.runtime_env").setLevel(logging.ERROR)
        return client

    def _get(self, path: str) -> Any:
        try:
            answer = requests.get(
                self.address + path, headers=self._headers, timeout=ANSWER_SECONDS
            )
        except requests.RequestException as error:
            raise UsageError(
                f"{self.address}: no cluster's dashboard answers there ({_reason(error)}). Its "
                "port is 8265 on the head; from elsewhere open a tunnel with: ssh -L "
                "8265:localhost:8265 HEAD, and use --address http://localhost:8265"
            ) from error
        if answer.status_code == requests.codes.unauthorized:
            raise UsageError(
                f"{self.address}: the cluster asks for a token, and there is none here; copy "
                "~/.ray/auth_token from its head to the same place here, or set RAY_AUTH_TOKEN"
            )
        if answer.status_code == requests.codes.forbidden:
            raise UsageError(
                f"{self.address}: the cluster refuses the token from {self._token_from}; take it "
                "anew from the head: ~/.ray/auth_token there, or: ray get-auth-token"
            )
        try:
            answer.raise_for_status()
            return answer.json()
        except requests.RequestException as error:
            raise UsageError(
                f"{self.address}: answers, but not as the dashboard of Ray {LEAST_RAY[0]}."
                f"{LEAST_RAY[1]} or newer does ({error}); the head needs: "
                "pip install 'ray[default]'"
            ) from error

    def facts(self) -> ClusterFacts:
        """What the cluster is. Raises UsageError where it is too old to run a study."""
        about = self._get("/api/v0/cluster_metadata")["data"]
        listing = self._get("/api/v0/nodes?limit=10000")["data"]["result"]["result"]
        nodes = [
            {"Alive": node["state"] == "ALIVE", "Resources": node["resources_total"]}
            for node in listing
        ]
        facts = ClusterFacts(about["rayVersion"], about["pythonVersion"], nodes)
        for what, version, least in (
            ("Ray", facts.ray, LEAST_RAY),
            ("Python", facts.python, LEAST_PYTHON),
        ):
            if _numbers(version) < least:
                raise UsageError(
                    f"{self.address}: the cluster has {what} {version}, and a study needs "
                    f"{least[0]}.{least[1]} or newer; upgrade its nodes"
                )
        return facts

    def running(self, study: str) -> str:
        """The job that runs this study now; "" if there is none."""
        for job in self._client.list_jobs():
            if not job.status.is_terminal() and (job.metadata or {}).get(STUDY) == study:
                return str(job.submission_id)
        return ""

    def submit(self, study: str, folder: Path, entrypoint: str, variables: dict[str, str]) -> str:
        """Submit the folder and return the job's name. Raises StudyError."""
        limit = time.monotonic() + AGENT_SECONDS
        while True:
            try:
                return self._client.submit_job(
                    entrypoint=entrypoint,
                    runtime_env={"working_dir": str(folder), "env_vars": variables},
                    metadata={STUDY: study},
                )
            except RuntimeError as error:
                if "No available agent" not in str(error) or time.monotonic() > limit:
                    raise StudyError(f"{self.address}: the job was not taken: {error}") from error
                time.sleep(RETRY_SECONDS)
            except requests.RequestException as error:
                raise StudyError(f"{self.address}: {_reason(error)}; try again") from error

    async def follow(self, job: str, write: Callable[[str], object]) -> int:
        """Pass the job's log on as it grows, across lost connections; return its exit code.

        As `run` has them: 130 where the job was stopped.
        """
        import aiohttp  # noqa: PLC0415 - of the extra, as above

        passed = 0  # characters; a new connection starts from the log's beginning
        while True:
            place = 0
            try:
                async for piece in self._client.tail_job_logs(job):
                    fresh = piece[max(0, passed - place) :]
                    place += len(piece)
                    passed = max(passed, place)
                    write(fresh)
                info = await asyncio.to_thread(self._client.get_job_info, job)
                if info.status.is_terminal():
                    return _exit_code(str(info.status), info.driver_exit_code)
            except (RuntimeError, OSError, aiohttp.ClientError):
                pass  # the tunnel was cut, or the head is busy: what counts is the job's own state
            await asyncio.sleep(RETRY_SECONDS)


def find_token(environ: Mapping[str, str]) -> tuple[str, str]:
    """The cluster's token and where it was found, in Ray's own order; empty where there is none."""
    if token := environ.get("RAY_AUTH_TOKEN", "").strip():
        return token, "RAY_AUTH_TOKEN"
    file = Path(environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
    try:
        return file.read_text("utf-8").strip(), str(file)
    except (OSError, UnicodeDecodeError):
        return "", ""


def _exit_code(status: str, code: int | None) -> int:
    if status == "STOPPED":
        return 130
    return 0 if status == "SUCCEEDED" else code or 1


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers: `2.60.0` -> (2, 60); a development version counts as newest."""
    try:
        return tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return (9999, 0)


def _reason(error: BaseException) -> str:
    """The innermost words of an error that libraries have wrapped several times."""
    cause: BaseException = error
    while inner := (cause.__cause__ or cause.__context__ or getattr(cause, "reason", None)):
        if not isinstance(inner, BaseException):
            break
        cause = inner
    text = str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
    return text if text.isprintable() and text.isascii() else "what answers is not HTTP"

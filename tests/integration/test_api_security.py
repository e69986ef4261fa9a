"""Who may do what over HTTP: every path of the OpenAPI document, browsers, guesses, limits."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from scheduler.api.access import access_of
from scheduler.api.app import make_app
from scheduler.api.context import Context
from scheduler.api.gate import CSRF_HEADER, Secrets
from scheduler.api.hosts import hosts_for
from scheduler.api.throttle import Throttle
from scheduler.api.tokens import Sessions
from scheduler.study.folder import StudyFolder
from tests.fixtures.served import TOKENS, bearer, served
from tests.synthetic import make_study

WRITING = {"POST", "PUT", "PATCH", "DELETE"}
OPEN = {("GET", "/healthz")}
BASE = "http://127.0.0.1:8700"
OWN = {"Origin": BASE}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    return StudyFolder(make_study(tmp_path_factory.mktemp("study") / "night", experiments=5))


@pytest.fixture
def app(folder: StudyFolder) -> Iterator[TestClient]:
    """The application with nobody logged in, who may fail as often as a test needs."""
    with open_app(folder, Throttle(burst=1000)) as client:
        yield client


def open_app(folder: StudyFolder, throttle: Throttle) -> TestClient:
    secrets = Secrets(TOKENS, Sessions(TOKENS.ticket), throttle, hosts_for("127.0.0.1"))
    app = make_app(Context.of(folder), secrets)

    async def echo(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(str(access_of(socket)))
        await socket.close()

    app.router.routes.append(WebSocketRoute("/socket", echo))
    return TestClient(app, base_url=BASE, follow_redirects=False)


def operations(client: TestClient) -> list[tuple[str, str]]:
    """Every method and path that is documented, with numbers in the place of parameters."""
    document = client.get("/openapi.json", headers=bearer(TOKENS.read)).json()
    return [
        (method.upper(), re.sub(r"\{[^}]+\}", "1", path))
        for path, methods in document["paths"].items()
        for method in methods
    ]


def log_in(client: TestClient, token: str = TOKENS.full) -> str:
    """Log this browser in; return its token against forged requests."""
    answer = client.post("/login", data={"token": token}, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    return str(client.get("/session").json()["csrf"])


# ---- every path -----------------------------------------------------------------------------


def test_without_a_token_only_the_health_check_answers(app: TestClient) -> None:
    found = operations(app)
    assert len(found) > 20
    for method, path in found:
        answer = app.request(method, path)
        assert (answer.status_code == 200) == ((method, path) in OPEN), path
        if (method, path) not in OPEN:
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["status"] == 401
    for path in ("/docs", "/openapi.json", "/docs/assets/swagger-ui.css", "/", "/nowhere"):
        assert app.get(path).status_code == 401


@pytest.mark.parametrize(
    "header",
    [
        "Bearer wrong",
        "Bearer",
        "Bearer ",
        f"Basic {TOKENS.full}",
        f"Bearer {TOKENS.full}x",
        f"Bearer {TOKENS.ticket}",
        "Bearer \xe9",
    ],
)
def test_a_wrong_token_opens_nothing(app: TestClient, header: str) -> None:
    for method, path in operations(app):
        if (method, path) not in OPEN:
            answer = app.request(method, path, headers={b"Authorization": header.encode("latin-1")})
            assert answer.status_code == 401, path


def test_the_read_token_reads_everything_and_writes_nothing(app: TestClient) -> None:
    for method, path in operations(app):
        if path == "/events":
            continue  # has no end
        answer = app.request(method, path, headers=bearer(TOKENS.read))
        if method in WRITING:
            assert answer.status_code == 403, path
            assert "only reads" in answer.json()["detail"]
        else:
            assert answer.status_code in (200, 404), path


def test_with_a_cookie_writing_needs_a_page_of_ours_and_its_token(app: TestClient) -> None:
    csrf = log_in(app)
    proof = {CSRF_HEADER: csrf}
    refused = [
        {},  # no page says that it asks
        OWN,
        proof,
        OWN | {CSRF_HEADER: "wrong"},
        {"Origin": "http://127.0.0.1:8701"} | proof,  # another person's server on this machine
        {"Origin": "null"} | proof,
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} | proof,
        {"Sec-Fetch-Site": "same-site"} | proof,
    ]
    for method, path in operations(app):
        if method in WRITING:
            for headers in refused:
                answer = app.request(method, path, headers=headers)
                assert answer.status_code == 403, (path, headers)
    answer = app.post("/instructions", json={"text": "from a page"}, headers=OWN | proof)
    assert answer.status_code == 202


def test_a_page_of_another_origin_is_refused_even_with_a_token(app: TestClient) -> None:
    headers = bearer(TOKENS.full) | {"Origin": "https://evil.example"}
    answer = app.post("/instructions", json={"text": "x"}, headers=headers)
    assert answer.status_code == 403
    preflight = app.options("/instructions", headers={"Origin": "https://evil.example"})
    assert preflight.status_code == 401
    assert not [name for name in preflight.headers if name.startswith("access-control-")]


def test_a_foreign_name_is_refused_before_anything_else(app: TestClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "8.8.8.8"):
        answer = app.get("/study", headers=bearer(TOKENS.full) | {"Host": host})
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
    for host in ("localhost:9000", "[::1]:8700", "LOCALHOST"):
        assert app.get("/healthz", headers={"Host": host}).status_code == 200


# ---- browsers -------------------------------------------------------------------------------


def test_a_browser_is_led_to_the_login_and_back(app: TestClient) -> None:
    page = {"Accept": "text/html,application/xhtml+xml"}
    answer = app.get("/experiments?limit=3", headers=page)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/login?next=/experiments%3Flimit%3D3",
    )
    form = app.get(answer.headers["location"])
    (action,) = re.findall(r'action="([^"]+)"', form.text)
    entered = app.post(action, data={"token": TOKENS.read}, headers=OWN)
    assert (entered.status_code, entered.headers["location"]) == (303, "/experiments?limit=3")
    assert app.get(entered.headers["location"]).status_code == 200
    assert app.get("/session").json()["access"] == "read"


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/\r\nX: y"]
)
def test_the_login_leads_nowhere_else(app: TestClient, wanted: str) -> None:
    answer = app.post("/login", params={"next": wanted}, data={"token": TOKENS.full}, headers=OWN)
    assert answer.headers["location"] == "/"


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_holds_no_token(
    app: TestClient,
) -> None:
    answer = app.post("/login", data={"token": TOKENS.full}, headers=OWN)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("autoresearch-8700=")  # cookies don't tell ports apart
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKENS.full not in cookie


def test_a_session_ends_with_the_logout(app: TestClient) -> None:
    log_in(app)
    cookies = dict(app.cookies)
    assert app.get("/study").status_code == 200
    assert app.post("/logout", headers={"Origin": "https://evil.example"}).status_code == 403
    assert app.post("/logout", headers=OWN).headers["location"] == "/login"
    app.cookies.update(cookies)  # as if it had been kept
    assert app.get("/study").status_code == 401


def test_a_ticket_logs_in_once(app: TestClient) -> None:
    link = f"/login?ticket={TOKENS.ticket}"
    assert app.head(link).status_code == 200  # what looks at a link does not use it up
    answer = app.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert app.get("/session").json()["access"] == "full"
    app.cookies.clear()
    again = app.get(link)
    assert again.status_code == 401
    assert "has been used" in again.text
    assert "set-cookie" not in again.headers
    assert app.get("/login?ticket=").status_code == 200


def test_a_wrong_token_is_not_shown_again(app: TestClient) -> None:
    answer = app.post("/login", data={"token": "<script>alert(1)</script>"}, headers=OWN)
    assert answer.status_code == 401
    assert "alert(1)" not in answer.text
    assert "<script" not in answer.text
    assert 'role="alert"' in answer.text


def test_another_site_cannot_log_a_browser_in(app: TestClient) -> None:
    answer = app.post(
        "/login", data={"token": TOKENS.full}, headers={"Origin": "https://evil.example"}
    )
    assert answer.status_code == 403


# ---- websockets -----------------------------------------------------------------------------


def open_socket(app: TestClient, **headers: str) -> str:
    with app.websocket_connect("ws://127.0.0.1:8700/socket", headers=headers) as connection:
        return str(connection.receive_text())


def test_a_websocket_passes_the_gate_like_everything_else(app: TestClient) -> None:
    assert open_socket(app, **bearer(TOKENS.read)) == "read"
    log_in(app)
    assert open_socket(app, **OWN) == "full"
    for headers in ({}, {"Origin": "http://127.0.0.1:8701"}, {"Origin": "https://evil.example"}):
        with pytest.raises(WebSocketDisconnect):
            open_socket(app, **headers)
    app.cookies.clear()
    for headers in ({}, OWN, bearer("wrong")):
        with pytest.raises(WebSocketDisconnect):
            open_socket(app, **headers)


# ---- guesses --------------------------------------------------------------------------------


def test_who_guesses_has_to_wait_and_learns_nothing_meanwhile(folder: StudyFolder) -> None:
    now = [0.0]
    with open_app(folder, Throttle(burst=3, seconds=10, clock=lambda: now[0])) as app:
        csrf = log_in(app)
        session = dict(app.cookies)
        app.cookies.clear()
        for _ in range(3):
            assert app.get("/study", headers=bearer("wrong")).status_code == 401
        for token in ("wrong", TOKENS.full):
            answer = app.get("/study", headers=bearer(token))
            assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
        assert app.post("/login", data={"token": TOKENS.full}, headers=OWN).status_code == 429
        # Who is logged in goes on.
        app.cookies.update(session)
        assert app.get("/study").status_code == 200
        assert app.get("/session").json()["csrf"] == csrf
        app.cookies.clear()
        now[0] = 10.0
        assert app.get("/study", headers=bearer(TOKENS.full)).status_code == 200


# ---- limits and headers ---------------------------------------------------------------------


def test_a_body_that_is_too_large_is_refused_whatever_it_announces(folder: StudyFolder) -> None:
    text = json.dumps({"text": "x" * 2**20}).encode()

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(text), 4096):
            yield text[start : start + 4096]

    with served(folder.path) as client:
        for content in (text, pieces()):
            answer = client.post("/instructions", content=content)
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"
        url = client.base_url
        with socket.create_connection((url.host, url.port or 80), timeout=20) as raw:
            raw.sendall(
                b"POST /instructions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                + f"Authorization: Bearer {TOKENS.full}\r\n".encode()
                + b"Content-Length: 99999999999\r\n\r\n"
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 413")  # without waiting for the body


def test_every_answer_has_the_headers(app: TestClient) -> None:
    token = bearer(TOKENS.full)
    answers = {
        path: app.get(path, headers=token)
        for path in ("/study", "/nowhere", "/experiments/x", "/login", "/docs", "/metrics")
    }
    answers["refused"] = app.get("/study")
    for path, answer in answers.items():
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert ("default-src 'none'" in policy) == (path != "/docs")
        assert "frame-ancestors 'none'" in policy
    style = re.search(r"<style>(.*?)</style>", answers["/login"].text, re.DOTALL)
    assert style is not None
    assert "<script" not in answers["/login"].text


def test_no_secret_is_in_any_answer(folder: StudyFolder, tmp_path: Path) -> None:
    keys = tmp_path / "keys.env"
    keys.write_text("OPENAI_API_KEY=sk-in-the-file\n")
    config = folder.load_config()
    agent = config.agent.model_copy(update={"key_file": str(keys)})
    folder.save_config(config.model_copy(update={"agent": agent}))
    with served(folder.path) as client:
        document = client.get("/openapi.json").json()
        texts = [client.get("/openapi.json").text, client.get("/login").text]
        for path, methods in document["paths"].items():
            if "get" in methods and path != "/events":
                answer = client.get(re.sub(r"\{[^}]+\}", "1", path))
                texts += [answer.text, str(answer.headers)]
    for secret in (TOKENS.full, TOKENS.read, TOKENS.ticket, "sk-in-the-file", str(keys)):
        assert not any(secret in text for text in texts)


def test_the_document_says_what_needs_a_token(app: TestClient) -> None:
    document: dict[str, Any] = app.get("/openapi.json", headers=bearer(TOKENS.read)).json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert document["security"] == [{"token": []}, {"cookie": []}]
    free = [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") == []
    ]
    assert set(free) == OPEN

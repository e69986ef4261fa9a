"""The OpenAPI document and its page at /docs, of which nothing comes from elsewhere.

In: the application with all its paths. Out: the document with what FastAPI can't know of it: the
two ways to prove who one is, and that every path but the health check needs one. The page's script
and style ship with a package (fastapi-offline).
"""

from importlib import resources
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from scheduler.api.gate import CSRF_HEADER, OPEN
from scheduler.api.problems import Problem

ASSETS = "/docs/assets"
SCHEMES = {
    "token": {"type": "http", "scheme": "bearer"},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "autoresearch-PORT",
        "description": "From POST /login, for browsers. PORT is the one in the address. What "
        f"writes needs the header {CSRF_HEADER} too, with what GET /session says.",
    },
}


def add_docs(app: FastAPI) -> None:
    """Serve the document and its page."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=f"{app.title} - HTTP",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
        )

    app.include_router(router)
    folder = str(resources.files("fastapi_offline").joinpath("static"))
    app.mount(ASSETS, StaticFiles(directory=folder), name="docs-assets")


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = SCHEMES
    components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
    document["security"] = [{name: []} for name in SCHEMES]
    for path in OPEN & document["paths"].keys():
        for operation in document["paths"][path].values():
            operation["security"] = []
    return document

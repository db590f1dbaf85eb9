"""Serves the app on HTTP: the page for people, and the JSON API that the page itself uses.

No part of a request ever names a file: assets are a fixed table, photos and thumbnails come from the index or from memory by
id.
"""

import hashlib
import mimetypes
from collections.abc import Sequence
from importlib.resources import files
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from e2.adapters.search.app import schemas
from e2.adapters.search.app.live import GONE, LOG, TOLD, Unavailable
from e2.adapters.search.app.photos import TooLarge, WrongType, read_upload
from e2.adapters.search.app.protection import HEADERS, OwnPagesOnly, SecureHeaders, bounded_body
from e2.adapters.search.app.service import NotFound, SearchService
from e2.adapters.search.store import IndexTrouble
from e2.counting import counted
from e2.errors import InputError
from e2.version import __version__

STATUS = {NotFound: 404, Unavailable: 503, TooLarge: 413, WrongType: 415, InputError: 400}
PROBLEMS: dict[int | str, dict[str, Any]] = {400: {"model": schemas.Problem}, 404: {"model": schemas.Problem}}
UPLOAD_PROBLEMS = PROBLEMS | {413: {"model": schemas.Problem}, 415: {"model": schemas.Problem}}
DAY = "private, max-age=86400"
LOCAL = ("127.0.0.1", "localhost", "[::1]")  # host names of this machine

Photo = Annotated[str, Query(max_length=schemas.LONGEST_PHOTO, description=schemas.PHOTO)]
PhotoBox = Annotated[str | None, Query(max_length=schemas.LONGEST_BOX, description=schemas.BOX)]
ProductId = Annotated[str, Query(alias="id", max_length=schemas.LONGEST_ID, description="a product's id")]


def create_app(service: SearchService, *, hosts: Sequence[str] = LOCAL) -> FastAPI:
    """Builds the web application over a service.

    Args:
        hosts: host names that browsers may use; ``*`` = any. Other names pointing here are an attack by a web page (DNS
            rebinding).
    """
    app = FastAPI(title="E2 search", version=__version__, docs_url=None, redoc_url=None, description=DESCRIPTION)
    app.add_middleware(HeadAsGet)
    app.add_middleware(OwnPagesOnly)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.add_middleware(SecureHeaders)
    _tell_problems(app)
    _add_pages(app, service)
    _add_api(app, service)
    return app


def _add_api(app: FastAPI, service: SearchService) -> None:
    decoding = CapacityLimiter(1)  # a large photo takes hundreds of megabytes; those that wait leave the threads to searches

    @app.get("/api/about", tags=["search"], summary="What is here")
    def about() -> schemas.About:
        return service.about()

    @app.get("/api/search", tags=["search"], summary="Search by words, by a photo, or by both", responses=PROBLEMS)
    def search(asked: Annotated[schemas.Search, Query()]) -> schemas.ProductPage:
        return service.search(asked)

    @app.get("/api/values", tags=["search"], summary="Values of a tag, found by their letters", responses=PROBLEMS)
    def values(asked: Annotated[schemas.ValuesOf, Query()]) -> schemas.Values:
        return service.values(asked)

    @app.get("/api/product", tags=["products"], summary="One product", responses=PROBLEMS)
    def product(product_id: ProductId) -> schemas.IndexedProduct:
        return service.product(product_id)

    @app.get("/api/thumbnail", tags=["products"], summary="A product's photo", response_class=JpegResponse, responses=PROBLEMS)
    def thumbnail(request: Request, product_id: ProductId) -> Response:
        jpeg = service.thumbnail(product_id)
        headers = {"Cache-Control": "private, no-cache", "ETag": f'"{hashlib.sha256(jpeg).hexdigest()[:32]}"'}
        if request.headers.get("if-none-match") == headers["ETag"]:  # looked up each time, as an index may be rebuilt
            return Response(status_code=304, headers=headers)
        return JpegResponse(jpeg, headers=headers)

    @app.post(
        "/api/photos",
        tags=["photos"],
        summary="Take in a photo to search with",
        status_code=201,
        responses=UPLOAD_PROBLEMS,
        openapi_extra={"requestBody": {"content": {kind: {} for kind in KINDS}, "required": True}},
    )
    async def upload(request: Request) -> schemas.Uploaded:
        """The body is the picture itself, JPEG, PNG or WebP. It is kept in memory for a while, and nowhere else."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in KINDS:
            raise WrongType(f"send the photo itself as the body, with Content-Type {', '.join(KINDS)}")
        photo = await to_thread.run_sync(read_upload, await bounded_body(request), limiter=decoding)
        service.shelf.put(photo)
        return schemas.Uploaded(photo=photo.id, width=photo.size[0], height=photo.size[1])

    @app.get(
        "/api/photo", tags=["photos"], summary="A photo that was taken in", response_class=JpegResponse, responses=PROBLEMS
    )
    def picture(photo: Photo) -> Response:
        return JpegResponse(service.photo(photo).jpeg, headers={"Cache-Control": DAY})

    @app.get("/api/read", tags=["photos"], summary="Tags read off a photo, and where the tokens looked", responses=PROBLEMS)
    def read(photo: Photo, box: PhotoBox = None) -> schemas.ReadOff:
        return service.read(photo, box)

    @app.get("/api/caption", tags=["photos"], summary="Describe a photo", responses=PROBLEMS)
    def caption(photo: Photo, box: PhotoBox = None) -> schemas.Caption:
        return schemas.Caption(caption=service.caption(photo, box))


def _add_pages(app: FastAPI, service: SearchService) -> None:
    folder = files(__package__) / "assets"
    assets = {
        file.name: (file.read_bytes(), mimetypes.guess_type(file.name)[0]) for file in folder.iterdir() if file.is_file()
    }

    @app.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        facts = {"about": service.about(), "longest_text": schemas.LONGEST_TEXT, "version": __version__}
        return HTMLResponse(PAGES.get_template("index.html").render(**facts))

    @app.get("/docs", include_in_schema=False)
    def docs(request: Request) -> HTMLResponse:
        here = str(request.base_url).rstrip("/")
        return HTMLResponse(PAGES.get_template("api.html").render(api=app.openapi(), here=here))

    @app.get("/assets/{name}", include_in_schema=False)
    def asset(name: str) -> Response:
        if name not in assets:
            raise NotFound("there is no such file")
        content, kind = assets[name]
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


def _tell_problems(app: FastAPI) -> None:
    """Reports every problem as one line of JSON; internal errors stay in the log."""

    @app.exception_handler(InputError)
    def refused(request: Request, error: InputError) -> JSONResponse:
        if isinstance(error, IndexTrouble):
            LOG.warning(TOLD, error)
            error = Unavailable(GONE)
        status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
        return JSONResponse({"error": str(error)}, status)

    @app.exception_handler(RequestValidationError)
    def misspelt(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{first['loc'][-1]}: {first['msg']}"}, 422)

    @app.exception_handler(HTTPException)
    def not_here(request: Request, error: HTTPException) -> Response:
        if error.status_code == 404 and "text/html" in request.headers.get("accept", ""):  # a person's browser
            return HTMLResponse(PAGES.get_template("missing.html").render(), 404)
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> JSONResponse:  # answered outside all middleware
        return JSONResponse({"error": "something went wrong on the server; its log says what"}, 500, HEADERS)


PAGES = Environment(loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
PAGES.filters["counted"] = counted


class HeadAsGet:
    """Answers HEAD, which FastAPI refuses, as GET; the server leaves the body out."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope
        await self.app(asked, receive, send)


class JpegResponse(Response):
    media_type = "image/jpeg"


KINDS = ("image/jpeg", "image/png", "image/webp")
DESCRIPTION = """Search a product catalogue by words, by a photo, or by a photo and a wish, narrowed by filters.
A photo is sent once to `/api/photos` and then named by the id that comes back; `product:ID` names a product's own photo.
Every problem is answered by a status and `{"error": "..."}`."""

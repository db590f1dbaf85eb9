"""Protects the app from strangers: headers that bind the browser, and limits on what it reads."""

import asyncio
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from e2.adapters.search.app.photos import MAX_BYTES, TooLarge, too_many_bytes
from e2.errors import InputError

READING = ("GET", "HEAD", "OPTIONS")
UPLOAD_SECONDS = 60  # for a whole photo; one that drips in would hold its connection for ever
HEADERS = {
    # Scripts, styles and data come only from this server, so that no catalogue text can become code.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",  # addresses contain search terms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class SecureHeaders:
    """Puts `HEADERS` on every answer, and closes the connection of a request with a body, the rest of which could drip in."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(further)
            await send(message)

        asked = Headers(scope=scope) if scope["type"] == "http" else {}
        has_body = "transfer-encoding" in asked or asked.get("content-length", "0") != "0"
        further = HEADERS | ({"Connection": "close"} if has_body else {})
        await self.app(scope, receive, send_with_headers)


class OwnPagesOnly:
    """Refuses writing requests that a page of another site makes: browsers say so, programs say nothing."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in READING and is_foreign(Headers(scope=scope)):
            answer = JSONResponse({"error": "only this app's own pages, and programs, may send photos"}, 403)
            await answer(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def is_foreign(headers: Headers) -> bool:
    """True if a browser says that a page of another site asks: by Sec-Fetch-Site, which pages cannot set, or else Origin."""
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    if (origin := headers.get("origin")) is None:
        return False
    try:
        return urlsplit(origin).netloc != headers.get("host")
    except ValueError:  # it is not an address, as in http://[
        return True


async def bounded_body(request: Request) -> bytes:
    """Reads the body of a request, at most `MAX_BYTES` and `UPLOAD_SECONDS`.

    Raises:
        TooLarge: it is larger, as announced or as received.
        InputError: it takes too long, or is aborted.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MAX_BYTES:
        raise TooLarge(too_many_bytes())
    try:
        return await asyncio.wait_for(_read(request), UPLOAD_SECONDS)
    except asyncio.TimeoutError:  # not TimeoutError's alias before Python 3.11
        raise InputError(f"the photo did not arrive within {UPLOAD_SECONDS} seconds; try again") from None
    except ClientDisconnect:
        raise InputError("the upload was aborted") from None


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BYTES:
            raise TooLarge(too_many_bytes())
    return bytes(body)

"""Who may ask for the page: a browser that was sent to it by its own address, or by a link to it.

The page shows documents, and a browser is a door into a network: any site that it has
open can make it send requests to 127.0.0.1. Against a name that is made to point there
(DNS rebinding) stands the Host header, which such a request has of the other site;
against requests from other sites stand Origin, Sec-Fetch-Site and a content type that no
form can send. A link in a wiki may open the page, and nothing more. What the browser may
do with the page is said in its headers: the content security policy allows the page's
own files and nothing else, and no text to become markup.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from rag_grpc.core.errors import FieldViolation, InvalidField, PermissionDenied
from rag_grpc.sidecar.exchange import JSON, Request

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine as only it can reach itself."""
    address = _literal(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


class Guard:
    """Lets a request to the page pass, or raises. `host` is where the sidecar listens.

    `names` are further names under which it may be asked for, such as that of a proxy before it.
    """

    def __init__(self, host: str, names: Collection[str] = ()) -> None:
        address = _literal(host)
        # One who listens everywhere does not know its addresses. A literal one cannot be rebound.
        self._any_address = address is not None and address.is_unspecified
        self._names = {"localhost", host.lower(), *(name.lower() for name in names)}

    def check(self, request: Request) -> None:
        """Raise PermissionDenied for a request that another site may have made."""
        host = request.headers.get("host", "")
        name = _name(host)
        if not self._known(name):
            raise PermissionDenied(
                f"the page is not served as {name[:100]!r}; RAG_PAGE_HOSTS can allow that name"
            )
        own = request.headers.get("sec-fetch-site", "none") in ("same-origin", "none")
        if not own and not _opens_page(request):
            raise PermissionDenied("the page answers no other site")
        origin = request.headers.get("origin")
        if origin is not None and _place(origin) != host.lower():
            raise PermissionDenied("the page answers no other site")

    def check_post(self, request: Request) -> None:
        """Raise PermissionDenied too for one that no page of ours sent, InvalidField for no JSON."""
        if "origin" not in request.headers:
            raise PermissionDenied("an Origin is needed, as browsers send it")
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != JSON:
            raise InvalidField.of([FieldViolation("Content-Type", f"must be {JSON}")])

    def _known(self, name: str) -> bool:
        address = _literal(name)
        if address is not None and (address.is_loopback or self._any_address):
            return True
        return name.lower() in self._names


def _opens_page(request: Request) -> bool:
    """Say whether a link was followed to the page, to be shown in a tab of its own.

    Who links there learns nothing of what is shown: no frame has it, and Cross-Origin-Opener-Policy cuts
    the two tabs apart. A page of another site can neither set these headers nor read what comes.
    """
    return (
        request.method in ("GET", "HEAD")
        and request.path == "/"
        and request.headers.get("sec-fetch-mode") == "navigate"
        and request.headers.get("sec-fetch-dest") == "document"
    )


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(host: str) -> str:
    """Take the port from a Host header, and the brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]

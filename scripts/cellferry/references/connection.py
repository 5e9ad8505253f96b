"""Requests to a server for a file, with redirects, temporary and permanent errors.

Snakemake installs `requests` on every login node. Python's own library searches certificates at a compiled-in
path, which fails on some clusters for a Python built elsewhere, such as uv's; requests ships certificates.
Redirects are followed here, one at a time, because requests would follow them from https to http.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urljoin, urlsplit

import requests
from requests import Response

from ..core.text import in_one_line
from ..errors import InputError
from .locations import address_problem

SECONDS_WITHOUT_ANSWER = 60
BLOCK_BYTES = 1 << 16
MAX_REDIRECTS = 10
PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
"""Status codes of servers that are busy or under maintenance."""

REMEDY = "correct the location in the registry, or use a mirror (docs/references.md)"


class PassingError(Exception):
    """A temporary error: another attempt can succeed.

    Parameters
    ----------
    what
        The problem.
    seconds
        Waiting time that the server requests; None without one.
    """

    def __init__(self, what: str, seconds: float | None = None) -> None:
        super().__init__(what)
        self.seconds = seconds


class Session(requests.Session):
    """Connections that leave redirects to `ask`: requests would read their bodies into memory."""

    def get_redirect_target(self, resp: Response) -> None:
        """None for every answer."""


def ask(session: Session, address: str, first_byte: int) -> Response:
    """Request a file from a byte on, following redirects.

    Returns
    -------
    A response with status 200 (the whole file), 206 (a part) or 416 (no such part), whose body is read by
    `blocks`.

    Raises
    ------
    PassingError
        Without a connection, or if the server is busy.
    InputError
        If the address leads to an unsafe address, in a circle, or to a missing file.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "cellferry"}
    if first_byte:
        headers["Range"] = f"bytes={first_byte}-"
    here = address
    for _ in range(MAX_REDIRECTS + 1):
        with _explained(here):
            response = session.get(
                here, headers=headers, stream=True, allow_redirects=False, timeout=SECONDS_WITHOUT_ANSWER
            )
            target = requests.Session.get_redirect_target(session, response)
        if target is None:
            return _checked(response)
        response.close()
        with suppress(ValueError):  # which `address_problem` describes
            target = urljoin(here, target)
        problem = address_problem(target)
        if urlsplit(here).scheme == "https" and urlsplit(target).scheme == "http":
            problem = "is not encrypted"
        if problem:
            raise InputError(f"{here} redirects to {target}, which {problem}; {REMEDY}")
        here = target
    raise InputError(f"{address} has more than {MAX_REDIRECTS} redirects; {REMEDY}")


def blocks(response: Response) -> Iterator[bytes]:
    """The body of a response in blocks; `PassingError` if the connection is dropped."""
    body = response.iter_content(BLOCK_BYTES)
    while True:
        with _explained(response.url):
            block = next(body, None)
        if block is None:
            return
        yield block


def _checked(response: Response) -> Response:
    status = f"{response.status_code} {response.reason or ''}".strip()
    if response.status_code in (200, 206, 416):
        return response
    response.close()
    if response.status_code in PASSING_STATUS:
        wait = re.fullmatch(r"[0-9]{1,9}", response.headers.get("Retry-After", ""))
        raise PassingError(f"the server answers {status}", int(wait[0]) if wait else None)
    raise InputError(f"{response.url} answers {status}; {REMEDY}")


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn errors of requests (all OSErrors, mostly long) into ours."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        what = f"no safe connection to {address} ({_innermost(error)})"
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            raise PassingError(what) from error
        remedy = "if your network has its own certificates, set REQUESTS_CA_BUNDLE to their file"
        raise InputError(f"{what}; {remedy}") from error
    except requests.exceptions.Timeout as error:
        raise PassingError(f"no answer in {SECONDS_WITHOUT_ANSWER} s") from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise PassingError("the connection was dropped") from error
    except requests.exceptions.ConnectionError as error:
        raise PassingError(f"no connection ({_innermost(error)})") from error
    except OSError as error:  # others of requests, and a missing REQUESTS_CA_BUNDLE
        raise InputError(f"{address} cannot be fetched ({in_one_line(error)})") from error


def _innermost(error: requests.RequestException) -> str:
    """The innermost message of a nested network error, without its number."""
    layer = error.args[-1] if error.args else ""
    while isinstance(layer, Exception) and not isinstance(layer, OSError):  # urllib3's
        layer = getattr(layer, "reason", None) or (layer.args[-1] if layer.args else "")
    return re.sub(r"\[[^]]*\] ", "", in_one_line(layer)).rpartition(": ")[2]

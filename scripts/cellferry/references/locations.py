"""Where a reference's file is: a path, or an address in the web.

Zenodo and Hugging Face have lasting addresses for a file of a record or of a revision, so nothing is asked of
their programming interfaces.
"""

import ipaddress
import re
from urllib.parse import quote, urlsplit

ZENODO = re.compile(r"zenodo:(?P<record>[0-9]+)/(?P<file>[^/?#]+)")
HUGGING_FACE = re.compile(
    r"hf:(?P<kind>datasets/)?(?P<repository>[\w.-]+/[\w.-]+)/(?P<file>[^@?#]+)@(?P<revision>[^@?#]+)"
)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
FORMS = "a path, https://…, zenodo:RECORD/FILE or hf:OWNER/REPOSITORY/FILE@REVISION"


def address_of(location: str) -> str | None:
    """The https address of a location; None for a path.

    Raises
    ------
    ValueError
        If it is neither, with what is wrong about it.
    """
    if found := ZENODO.fullmatch(location):
        return f"https://zenodo.org/records/{found['record']}/files/{quote(found['file'])}?download=1"
    if found := HUGGING_FACE.fullmatch(location):
        of_file = f"resolve/{quote(found['revision'], safe='')}/{quote(found['file'])}"
        return f"https://huggingface.co/{found['kind'] or ''}{found['repository']}/{of_file}"
    if not SCHEME.match(location):
        return None
    if not location.lower().startswith(("https:", "http:")):
        raise ValueError(f"is not {FORMS}")
    if problem := address_problem(location):
        raise ValueError(problem)
    return location


def address_problem(address: str) -> str | None:
    """What keeps an address from being connected to; None if nothing does.

    Plain http is for this machine alone, where a tunnel may end: elsewhere others can read what goes over it,
    and change it, which the checksum would notice only when all has come.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a valid address ({error})"
    if not host or parts.scheme not in ("https", "http"):
        return "is not a valid address"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password, which would end up in logs"
    if parts.scheme == "http" and not _is_this_machine(host):
        return "is not encrypted: https is needed, and http is for this machine (localhost) only"
    return None


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

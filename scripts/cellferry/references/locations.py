"""Location of a reference's file: a path or a web address.

Zenodo and Hugging Face have permanent addresses for a file of a record or revision; their APIs are not used.
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
        If it is neither; the message contains the problem.
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
    """The problem of an address, if any.

    Plain http is allowed for this machine only, the end of a possible tunnel: elsewhere others can read and
    change the data, which the checksum detects only at the end.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return f"is not a valid address ({error})"
    if not host or parts.scheme not in ("https", "http"):
        return "is not a valid address"
    if parts.username is not None or parts.password is not None:
        return "contains a user name or password, which would be written to logs"
    if parts.scheme == "http" and not _is_this_machine(host):
        return "is not encrypted: use https; http is for this machine (localhost) only"
    return None


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

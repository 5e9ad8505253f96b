"""The finding of a check, and its printed form."""

import textwrap
from typing import NamedTuple

WIDTH = 100


class Finding(NamedTuple):
    """The finding of a check: `status` is ok, note or FAILS; `remedy` is the action."""

    status: str
    subject: str
    text: str
    remedy: str = ""


def lines_of(finding: Finding) -> list:
    """Format a finding in lines of at most 100 columns, the remedy on its own line."""
    indent = " " * 22
    head = f"{finding.status:<6} {finding.subject:<14} "
    if len(head) > len(indent):
        head = head.rstrip() + "  "
    settings = {"width": WIDTH, "break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(finding.text, initial_indent=head, subsequent_indent=indent, **settings)
    if finding.remedy:
        lines += textwrap.wrap(
            finding.remedy, initial_indent=indent + "-> ", subsequent_indent=indent + "   ", **settings
        )
    return lines

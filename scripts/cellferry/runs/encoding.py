"""Names with letters that the shell's locale lacks; Python uses UTF-8 under LANG=C only.

Imported by the Snakefile: standard library only.
"""

import os
import sys
from typing import Any

from ..errors import InputError


def check_encoding(config: dict[str, Any]) -> None:
    """Make jobs use UTF-8 in any locale, and check that this process can encode the user's paths.

    Raises
    ------
    InputError
        If the locale cannot encode names in the configuration.
    """
    # Labels can be any text; printing them must not end a run.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = sys.getfilesystemencoding()
    if encoding.lower().replace("_", "-") == "utf-8":
        return
    os.environ["PYTHONUTF8"] = "1"
    try:
        os.fsencode(str(config))
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 20) : error.end + 20]
        raise InputError(
            f"the encoding of this shell's locale, {encoding}, lacks letters of names in the configuration "
            f"(... {around} ...); start again with PYTHONUTF8=1 or LANG=C.UTF-8 before snakemake"
        ) from None

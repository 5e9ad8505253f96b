"""Names in other scripts where the shell's locale knows none: Python takes UTF-8 under LANG=C, not under all.

Imported by the Snakefile: standard library only.
"""

import os
import sys
from typing import Any

from ..errors import InputError


def check_encoding(config: dict[str, Any]) -> None:
    """Have jobs take UTF-8 whatever the locale, and check that this process can name the user's files.

    Raises
    ------
    InputError
        If the configuration holds names that the locale has no letters for.
    """
    # Labels may be anything, and what is printed about them must not end a run.
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
            f"the locale of this shell writes names in {encoding}, which has no letters for the "
            f"configuration's (... {around} ...); start again with PYTHONUTF8=1 or LANG=C.UTF-8 before "
            "snakemake"
        ) from None

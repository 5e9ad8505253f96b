"""Commands beside the workflow: `make new`, `make doctor`, `make fetch` and `make references`."""

import sys

from ..core.project import IS_INSTALLED, PROJECT

# They import scripts, which lie beside the package in a checkout.
if IS_INSTALLED:
    sys.path.append(str(PROJECT / "scripts"))

"""Commands around the workflow: `make new`, `make doctor`, `make pack`, `make compare` and others."""

import sys

from ..core.project import IS_INSTALLED, PROJECT

# They import scripts, which are beside the package in a checkout.
if IS_INSTALLED:
    sys.path.append(str(PROJECT / "scripts"))

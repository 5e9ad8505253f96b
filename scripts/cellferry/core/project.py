"""Files of the project that the package reads: schemas, tables, environment files.

Written for Python 3.6, since `make doctor` reads it on a login node.
"""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]

INSIDE = PACKAGE / "project"
"""Their folder in a wheel (`[tool.setuptools]` in pyproject.toml), laid out as the project."""

IS_INSTALLED = INSIDE.is_dir()
"""Whether the package lies in a wheel's place and not in a checkout."""

PROJECT = INSIDE if IS_INSTALLED else PACKAGE.parents[1]
"""The project's folder, or its counterpart in a wheel."""

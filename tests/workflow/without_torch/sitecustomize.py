"""Python without packages for training; read by every process with this folder in PYTHONPATH."""

import sys

LACKING = ("anndata", "annbatch", "lightning", "scanpy", "scvi", "skmisc", "torch")


class Lacking:
    """Finder of missing packages."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in LACKING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Lacking())

"""A small configuration with its files, and the problems of a wrong one."""

import pytest
from cellferry.config.checks import check
from cellferry.errors import InputError


def small_config(folder):
    """A reference with an annotation table, and a query, with files in a folder."""
    for name in ("reference.csv", "query.csv"):
        (folder / name).write_text("cell,gene\n")
    obs = folder / "obs.csv"
    obs.write_text("cell,cell_type,donor\na,T,1\n")
    return {
        "datasets": {
            "atlas": {
                "role": "reference",
                "path": str(folder / "reference.csv"),
                "obs": str(obs),
                "label": "cell_type",
            },
            "patients": {"role": "query", "path": str(folder / "query.csv")},
        }
    }


def problems(config, *files):
    """The message about a refused configuration."""
    with pytest.raises(InputError) as raised:
        check(config, config_files=list(files))
    return str(raised.value)

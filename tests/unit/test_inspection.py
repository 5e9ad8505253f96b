"""inspection: results of inspections, and those with problems."""

import subprocess
import sys
from pathlib import Path

from cellferry.artifacts.inspection import InspectedChannel, InspectedRounding, Inspection, with_problems
from cellferry.artifacts.json_files import read_artifact
from cellferry.cytometry.value_kind import ValueKind
from example_artifacts import hierarchy_of, inspection_of, write_inspection

SCRIPTS = Path(__file__).parents[2] / "scripts"


def test_every_field_is_read_back(tmp_path):
    found = {
        "channels": [
            InspectedChannel("CD3", "marker", "141Pr_CD3"),
            InspectedChannel("Time", "time", "Time"),
        ],
        "intensities": ValueKind("raw", "mass", "simulated"),
        "rounding": InspectedRounding(5, 10.5, 10.0),
        "hierarchy": hierarchy_of(["CD4 T", "mast"], {"lineage": {"CD4 T": "T cell"}}),
        "named": {"labels.rename": {"B": True}},
        "path": {"a": "a.fcs", "b": "b.fcs"},
    }
    path = write_inspection(tmp_path, "atlas", "reference", **found)
    assert read_artifact(Inspection, path) == inspection_of("atlas", "reference", **found)
    assert read_artifact(Inspection, path).markers == ["CD3"]


def test_inspections_with_problems(tmp_path):
    paths = [write_inspection(tmp_path, "whole"), write_inspection(tmp_path, "broken", problems=["empty"])]
    (tmp_path / "old.json").write_text('{"problems": ["empty"]}')
    (tmp_path / "cut.json").write_text('{"problems": ["emp')
    paths += [str(tmp_path / name) for name in ("old.json", "cut.json", "missing.json")]
    assert with_problems(paths) == [str(tmp_path / "broken.json")]


def test_a_login_node_can_read_inspections():
    """Snakemake's environment has neither numpy nor pandas."""
    code = "import sys, cellferry.artifacts.inspection; sys.exit(bool({'numpy', 'pandas'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=SCRIPTS)

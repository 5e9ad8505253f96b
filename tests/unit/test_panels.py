"""Panels of several datasets: the joint markers, and the backbone that all datasets have."""

import pytest
from cellferry.cytometry.panels import check_backbone, check_share, joint_panels
from cellferry.errors import InputError


def test_panels_of_two_references_and_a_query():
    panels = joint_panels(
        {
            "atlas": ["CD3", "CD45RA", "CD8", "CD19"],
            "second": ["cd3", "CD45_RA", "CD8", "CD56"],
            "patients": ["139La_CD45RA", "CD3", "CD19", "CD14"],
        },
        ["atlas", "second"],
    )
    assert panels.markers == ["CD3", "CD45RA", "CD8", "CD19", "CD56"]
    assert panels.backbone == ["CD3", "CD45RA"]
    assert panels.names["second"] == ["CD3", "CD45RA", "CD8", "CD56"]
    assert panels.names["patients"] == ["CD45RA", "CD3", "CD19", "CD14"]
    check_backbone(panels, ["atlas", "second"], 0.5)
    with pytest.raises(InputError, match=r"only 2 of the references' 4 markers are in all datasets"):
        check_backbone(panels, ["atlas", "second"], 0.6)


FORTY = [f"CD{number}" for number in range(1, 41)]


def test_three_of_forty_markers():
    panels = joint_panels({"atlas": FORTY, "patients": ["CD1", "CD2", "CD3", "Foo"]}, ["atlas"])
    with pytest.raises(InputError) as raised:
        check_backbone(panels, ["atlas"], 0.3)
    said = str(raised.value)
    assert "only 3 of the references' 40 markers are in all datasets (atlas 40, patients 4 markers)" in said
    assert "genes.min_common is 0.3. 'patients' lacks CD4, CD5" in said
    assert (
        "and has CD1, CD2, CD3, Foo: if some of these have other names, add them to cytometry.markers" in said
    )
    with pytest.raises(InputError) as raised:
        check_share("patients", ["cd1", "CD-2", "CD3", "Foo"], FORTY, 0.3)
    said = str(raised.value)
    assert said.startswith("datasets.patients: has 3 of the model's 40 input markers, and genes.min_comm")
    assert "it lacks CD4, CD5" in said
    assert ", … and has cd1, CD-2, CD3, Foo" in said
    check_share("patients", ["cd1", "CD-2", "CD3"], FORTY, 3 / 40)
    with pytest.raises(InputError, match="has 0 of the model's 40 input markers"):
        check_share("patients", ["Foo"], FORTY, 0.0)


def test_one_marker_is_no_backbone():
    panels = joint_panels({"atlas": ["CD3", "CD4"], "second": ["CD3", "CD8"]}, ["atlas", "second"])
    with pytest.raises(InputError, match="only 1 of the references' 2 markers"):
        check_backbone(panels, ["atlas", "second"], 0.0)

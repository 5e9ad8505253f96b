"""Kinds of intensities: raw, transformed or scaled values, of mass cytometry or fluorescence."""

import numpy as np
import pandas as pd
import pytest
from cellferry.cytometry.channels import channel_kind
from cellferry.cytometry.marker_names import CHANNEL, DETECTOR, KIND
from cellferry.cytometry.value_detection import detect_values


def channels(*names, detectors=None):
    var = pd.DataFrame({KIND: list(map(channel_kind, names)), CHANNEL: names}, index=names)
    return var if detectors is None else var.assign(**{DETECTOR: detectors})


PANEL = channels("CD3", "CD19", "CD56")


def seen(values, var=PANEL, *, technology="auto", transformed="auto", machine=""):
    values = np.asarray(values, dtype=np.float32)
    return detect_values(values, var, technology=technology, transformed=transformed, machine=machine)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([[0, 12, 300]], "raw"),
        ([[-80, 12, 20.1]], "raw"),
        ([[0, 3, 8.2]], "transformed"),
        ([[-2.5, 3, 19]], "transformed"),
        ([[-500, 3, 4]], "raw"),
        ([[0, 0.5, 1]], "scaled"),
        ([[-0.005, 0.5, 1.005]], "scaled"),
        ([[-0.5, 0.5, 1]], "transformed"),
        ([[0, 300, np.nan]], "raw"),
        ([[0, 8, np.inf]], "transformed"),
        (np.empty((0, 3)), "scaled"),
    ],
)
def test_what_values_are_is_told_by_their_size(values, kind):
    found = seen(values)
    assert found.values == kind
    if np.size(values):
        assert found.why.startswith("values lie between ")


@pytest.mark.parametrize(
    ("values", "transformed", "kind"),
    [
        ([[0, 3, 8.2]], False, "raw"),
        ([[0, 0.5, 1]], False, "raw"),
        ([[0, 12, 300]], True, "transformed"),
        ([[0, 0.5, 1]], True, "scaled"),
    ],
)
def test_what_the_user_says_stands_above_that(values, transformed, kind):
    found = seen(values, transformed=transformed)
    assert found.values == kind


@pytest.mark.parametrize(
    ("var", "values", "machine", "technology", "why"),
    [
        (PANEL, [[0, 3, 500]], "DVSSCIENCES-CYTOF-6.0.626", "mass", "the instrument is DVSS"),
        (channels("FSC-A", "CD3"), [[0]], "Helios", "mass", "the instrument is Helios"),
        (channels("139La_CD3", "CD4"), [[0]], "", "mass", "channels are named after metals"),
        (channels("CD3", "CD4", detectors=["La139Di", "Nd142Di"]), [[0]], "", "mass", "named after metals"),
        (channels("FSC-A", "DAPI", "CD3"), [[0]], "", "fluorescence", "there are scatter channels"),
        (channels("FSC-A", "DNA", "CD3"), [[0]], "FACSCanto", "fluorescence", "there are scatter channels"),
        (channels("DNA1", "CD3"), [[0]], "", "mass", "there are DNA channels"),
        (channels("CD3", "CD110"), [[-500, 4]], "", "fluorescence", "in the range of fluorescence"),
        (PANEL, [[0, 12, 200_000]], "", "fluorescence", "in the range of fluorescence"),
        (PANEL, [[np.nan, 12, 200_000]], "", "fluorescence", "in the range of fluorescence"),
        (PANEL, [[0, 12, 2000]], "", "mass", "no sign of fluorescence"),
        (PANEL, [[-18, 1, 5000]], "", "mass", "no sign of fluorescence"),
    ],
)
def test_technology(var, values, machine, technology, why):
    found = seen(values, var, machine=machine)
    assert found.technology == technology
    assert why in found.why


def test_technology_that_is_given():
    found = seen([[0, 3, 500]], channels("139La_CD3"), technology="fluorescence", machine="Helios")
    assert found.technology == "fluorescence"
    assert found.why.endswith("technology is given")

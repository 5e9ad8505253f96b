"""inspect_dataset: channels and intensities of cytometry."""

import numpy as np
import pandas as pd
import pytest
from cellferry.artifacts.inspection import InspectedChannel
from inspecting import inspect, only_problem
from scipy import sparse
from simulate import simulate_events, write_samples


def inspect_events(path, **config):
    return inspect(path, **{"modality": "cytometry", "markers": {}, **config})


@pytest.fixture
def write_fcs(tmp_path):
    """Change events, and write them as an FCS file."""

    def write(events, name="blood", **columns):
        events = events.copy()
        values = events.X.toarray()
        for channel, column in columns.items():
            values[:, events.var_names.get_loc(channel)] = column
        events.X = sparse.csr_matrix(values)
        events.obs["sample"] = pd.Categorical([name] * len(events))
        write_samples(tmp_path, events)
        return tmp_path / f"{name}.fcs"

    return write


def renamed(events, **names):
    events.var["channel"] = [names.get(name, name) for name in events.var["channel"]]
    return events


def test_channels_and_values_of_events(write_fcs):
    events = simulate_events(300)
    found = inspect_events(write_fcs(events))
    assert found.problems == found.warnings == []
    assert (found.cells, found.genes, found.format) == (300, 12, "fcs")
    assert found.channels == [
        InspectedChannel("Time", "time", "Time"),
        *(InspectedChannel(marker, "marker", marker) for marker in events.var_names[1:-1]),
        InspectedChannel("DNA1", "dna", "DNA1"),
    ]
    assert found.intensities.values == "raw"
    assert found.intensities.technology == "mass"
    assert "there are DNA channels" in found.intensities.why


def test_what_the_user_says_of_values_and_markers(write_fcs):
    path = write_fcs(simulate_events(300))
    found = inspect_events(
        path, technology="fluorescence", transformed=True, markers={"CD8": None, "cd-3": "TCR"}
    )
    assert found.intensities.values == "transformed"
    assert found.intensities.technology == "fluorescence"
    assert found.channels[1] == InspectedChannel("TCR", "marker", "CD3")
    assert InspectedChannel("CD8", "other", "CD8") in found.channels


@pytest.mark.parametrize(
    ("change", "kind"), [(lambda x: np.arcsinh(x / 5), "transformed"), (lambda x: x / 1e9 + 0.1, "scaled")]
)
def test_values_that_are_transformed_already(write_fcs, change, kind):
    events = simulate_events(300)
    markers = events.var_names[1:-1]
    values = {name: change(events[:, name].X.toarray().ravel()) for name in markers}
    found = inspect_events(write_fcs(events, **values))
    assert found.intensities.values == kind
    assert "already" in found.intensities.why


def test_a_time_among_the_markers(write_fcs):
    """Detected by its rising values, if its name does not contain time."""
    path = write_fcs(renamed(simulate_events(300), Time="Zeit"))
    problem = only_problem(inspect_events(path))
    assert problem.startswith(f"{path}: 'Zeit' rises from event to event, as a time or a number does")
    assert (
        "cytometry.markers to null if it is not a marker ('Zeit': null), else to its name ('Zeit': Zeit)"
        in problem
    )
    for markers in ({"Zeit": None}, {"Zeit": "Zeit"}, {"D0": None}):
        assert inspect_events(path, markers=markers).problems == []
    events = simulate_events(300)
    alike = write_fcs(events, "alike", CD3=7)  # a constant channel is another problem
    assert inspect_events(alike).problems == []
    few = write_fcs(renamed(simulate_events(99), Time="Zeit"), "few")
    assert inspect_events(few).problems == []


def test_a_time_in_the_second_file(write_fcs, tmp_path):
    events = simulate_events(300)
    write_fcs(events, "a", CD14=events.X[:, 0].toarray()[::-1].ravel())
    write_fcs(events, "b", CD14=np.arange(300))
    found = inspect_events(tmp_path / "blood", files=str(tmp_path / "*.fcs"))
    assert only_problem(found).startswith(f"{tmp_path}/b.fcs: 'CD14' rises from event to event")


def test_huge_and_negative_values(write_fcs):
    events = simulate_events(300)
    huge = events[:, "CD3"].X.toarray().ravel()
    huge[[3, 7]] = 3e38, -2e9
    found = inspect_events(write_fcs(events, CD3=huge))
    assert found.problems == []
    (warning,) = found.warnings
    assert "blood.fcs: there are values beyond 1e+08 (CD3); they are clipped to the reference's" in warning
    negative = inspect_events(write_fcs(events, "negative", CD3=-np.abs(huge.clip(-2e5, 2e5))))
    assert negative.problems == negative.warnings == []
    assert negative.intensities.values == "raw"


@pytest.mark.parametrize(("value", "said"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("channel", ["CD4", "Time"])
def test_values_that_are_no_numbers(write_fcs, value, said, channel):
    events = simulate_events(300)
    column = events[:, channel].X.toarray().ravel()
    column[5] = value
    problem = only_problem(inspect_events(write_fcs(events, **{channel: column})))
    assert f"does not hold intensities: {said} in cell 'event6', channel '{channel}'; values are" in problem
    assert problem.endswith("intensities are needed: export the file with them")


def test_values_that_are_no_numbers_in_the_second_file(write_fcs, tmp_path):
    events = simulate_events(300)
    column = events[:, "CD4"].X.toarray().ravel()
    column[5] = np.nan
    write_fcs(events, "a")
    write_fcs(events, "b", CD4=column)
    problem = only_problem(inspect_events(tmp_path / "blood", files=str(tmp_path / "*.fcs")))
    assert problem.startswith(f"{tmp_path}/b.fcs: ")
    assert "nan in cell 'b_event6', channel 'CD4'" in problem


def test_files_of_different_kinds_of_values(write_fcs, tmp_path):
    events = simulate_events(300)
    markers = events.var_names[1:-1]
    write_fcs(events, "a")
    write_fcs(events, "b", **{name: np.arcsinh(events[:, name].X.toarray().ravel() / 5) for name in markers})
    found = inspect_events(tmp_path / "blood", files=str(tmp_path / "*.fcs"))
    problem = only_problem(found)
    assert problem.startswith(f"{tmp_path}/b.fcs: holds transformed values (values lie between")
    assert f"but {tmp_path}/a.fcs raw ones" in problem
    assert "datasets.blood.transformed" in problem
    assert inspect_events(tmp_path / "blood", files=str(tmp_path / "*.fcs"), transformed=False).problems == []


def test_channels_without_a_name_and_of_one_name(tmp_path):
    (tmp_path / "blood.csv").write_text("CD3,,CD4\n1.5,2,-3\n")
    assert "channel 2 of 3 has no name; name it, or" in only_problem(inspect_events(tmp_path / "blood.csv"))
    (tmp_path / "blood.csv").write_text("CD45RA,CD4,cd45-ra\n1.5,2,-3\n")
    problem = only_problem(inspect_events(tmp_path / "blood.csv"))
    assert "'CD45RA' and 'cd45-ra' are both called cd45-ra; rename one of them in the file" in problem
    (tmp_path / "blood.csv").write_text("Time,FSC-A\n1.5,2\n")
    assert "none of its channels is a marker's" in only_problem(inspect_events(tmp_path / "blood.csv"))


def test_events_that_are_not_in_order(tmp_path):
    """Channels × events: with few channels, the first events are read quickly."""
    events = simulate_events(300)
    frame = pd.DataFrame(events.X.toarray().T, index=events.var_names, columns=events.obs_names)
    frame.to_csv(tmp_path / "blood.csv")
    found = inspect_events(tmp_path / "blood.csv", orientation="genes")
    assert found.problems == []
    assert not found.in_order
    assert found.markers == list(events.var_names[1:-1])
    assert found.intensities.values == "raw"


def test_events_of_a_matrix_whose_order_ends_late(tmp_path, monkeypatch):
    """It looks sorted by event, and is not."""
    monkeypatch.setattr("cellferry.formats.tenx_mtx.PREVIEW_BYTES", 100)
    events = simulate_events(50)
    counts = sparse.coo_matrix(events.X)
    order = np.argsort(counts.row, kind="stable")
    order = np.append(order[1:], order[0])
    folder = tmp_path / "blood"
    folder.mkdir()
    lines = ["%%MatrixMarket matrix coordinate real general", f"12 50 {counts.nnz}"]
    lines += [f"{counts.col[i] + 1} {counts.row[i] + 1} {counts.data[i]}" for i in order]
    (folder / "matrix.mtx").write_text("\n".join(lines) + "\n")
    (folder / "genes.tsv").write_text("".join(f"{name}\t{name}\n" for name in events.var_names))
    (folder / "barcodes.tsv").write_text("".join(f"{name}\n" for name in events.obs_names))
    found = inspect_events(folder)
    assert found.problems == []
    assert found.intensities.values == "raw"


def test_labels_by_order(write_fcs, tmp_path):
    path = write_fcs(simulate_events(300))
    config = {"obs_by": "order", "label": "population", "role": "reference"}
    found = inspect_events(path, obs=tmp_path / "blood.csv", **config)
    assert found.problems == []
    assert found.labels == {"T cell": 100, "B cell": 100, "NK": 100}
    text = (tmp_path / "blood.csv").read_text()
    (tmp_path / "blood.csv").write_text(text.removeprefix("population\n").removeprefix("population\r\n"))
    found = inspect_events(path, obs=tmp_path / "blood.csv", **config)
    assert "has no obs column 'population'; it has: T cell, Time, DNA1" in found.problems[0]
    said = found.problems[-1]
    assert "has 299 lines after its header, but" in said
    assert "300 cells; datasets.blood.obs_by is `order`, which needs a header and one line per" in said
    assert said.endswith("is 'T cell' the first cell's, and no header?")


def test_real_events(test_data, tmp_path):
    """Biexponential values between -1 and 5, as a program exported them."""
    path = tmp_path / "ff.fcs"
    path.write_bytes((test_data / "formats/fcs/ff.fcs").read_bytes())
    found = inspect_events(path)
    assert found.problems == found.warnings == []
    assert found.intensities.values == "transformed"
    assert found.intensities.technology == "fluorescence"
    assert {"CD3", "CD19", "TCRyd", "NK1/1"} < set(found.markers)
    assert not {"Time", "FSC-A", "l/d"} & set(found.markers)
    labels = {"obs_by": "order", "label": "population", "role": "reference"}
    gates = (test_data / "formats/fcs/gating_result.csv").read_text()
    (tmp_path / "gates.csv").write_text(gates)
    said = inspect_events(path, obs=tmp_path / "gates.csv", **labels).problems[-1]
    assert said.endswith("is 'CD4 T cells' the first cell's, and no header?")
    (tmp_path / "gates.csv").write_text("population\n" + gates)
    found = inspect_events(path, obs=tmp_path / "gates.csv", **labels)
    assert found.problems == []
    assert sum(found.labels.values()) + found.unlabeled_cells == 19225


@pytest.mark.parametrize("name", ["Levine_H1.fcs", "ref_H1_dense.h5ad", "Levine_32dim_H1_unlabelled_raw.csv"])
def test_real_mass_cytometry(test_data, tmp_path, name):
    found = inspect_events(tmp_path / "blood", files=str(test_data / "levine32_cytof" / name))
    assert found.problems == found.warnings == []
    assert found.intensities.values == "raw"
    assert found.intensities.technology == "mass"
    assert len(found.markers) == 32

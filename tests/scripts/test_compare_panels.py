"""compare_panels: the fate of every channel of every dataset, and the missing markers."""

import pandas as pd
import pytest
from cellferry.artifacts.json_files import write_artifact
from compare_panels import compare_panels
from simulate import describe_events, simulate_events


@pytest.fixture
def compare(tmp_path):
    def run(datasets, backbone, decoded=()):
        paths = []
        for name, panel in datasets.items():
            paths.append(str(tmp_path / f"{name}.json"))
            events = simulate_events(3, panel=panel)
            write_artifact(describe_events(events, name), tmp_path / f"{name}.json")
        genes = pd.DataFrame({"gene": [*backbone, *decoded]})
        genes["backbone"] = genes["gene"].isin(backbone)
        genes.to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
        compare_panels(paths, str(tmp_path / "genes.tsv"), str(tmp_path / "panel.tsv"))
        return pd.read_csv(tmp_path / "panel.tsv", sep="\t", keep_default_na=False)

    return run


def of(table, dataset):
    own = table[table["dataset"] == dataset]
    return list(own[["channel", "marker", "kind", "use"]].itertuples(index=False, name=None))


def test_every_channel_and_every_missing_marker_has_a_line(compare, capsys):
    datasets = {
        "atlas": ("CD3", "CD45RA", "HLA-DR"),
        "second": ("141Pr_cd3", "CD45_RA", "NA"),
        "patients": ("Comp-PE-A :: CD3", "CD99"),
    }
    table = compare(datasets, backbone=["CD3", "CD45RA"], decoded=["HLA-DR", "NA"])
    assert list(table.columns) == ["dataset", "channel", "marker", "kind", "use"]
    assert of(table, "atlas") == [
        ("Time", "", "time", "dropped"),
        ("CD3", "CD3", "marker", "backbone"),
        ("CD45RA", "CD45RA", "marker", "backbone"),
        ("HLA-DR", "HLA-DR", "marker", "decoded"),
        ("DNA1", "", "dna", "dropped"),
        ("", "NA", "marker", "missing"),
    ]
    assert of(table, "second") == [
        ("Time", "", "time", "dropped"),
        ("141Pr_cd3", "CD3", "marker", "backbone"),
        ("CD45_RA", "CD45RA", "marker", "backbone"),
        ("NA", "NA", "marker", "decoded"),
        ("DNA1", "", "dna", "dropped"),
        ("", "HLA-DR", "marker", "missing"),
    ]
    assert of(table, "patients") == [
        ("Time", "", "time", "dropped"),
        ("Comp-PE-A :: CD3", "CD3", "marker", "backbone"),
        ("CD99", "CD99", "marker", "not in the model"),
        ("DNA1", "", "dna", "dropped"),
        ("", "CD45RA", "marker", "missing"),
        ("", "HLA-DR", "marker", "missing"),
        ("", "NA", "marker", "missing"),
    ]
    said = capsys.readouterr().out
    assert "patients  dropped             2" in said
    assert "missing             3" in said


def test_a_reference_trained_before_is_not_among_the_datasets(compare):
    table = compare({"patients": ("CD3", "CD4")}, backbone=["CD3", "CD4"])
    assert table["use"].tolist() == ["dropped", "backbone", "backbone", "dropped"]

"""Genes of datasets, compared before anything is converted: what would be refused later, and nothing else."""

import pandas as pd
import pytest
from cellferry.artifacts.inspection import Inspection
from cellferry.errors import InputError
from cellferry.features.gene_check import GeneCheck, gene_problems
from example_artifacts import inspection_of, write_features

HUMAN = ["CD3E", "MS4A1", "NKG7", "LYZ", "GNLY", "CD14", "FCGR3A", "PPBP", "CD8A", "CST3"]
MOUSE = [gene.capitalize() for gene in HUMAN]
HUMAN_IDS = [f"ENSG{number:011d}" for number in range(10)]
MOUSE_IDS = [f"ENSMUSG{number:011d}.2" for number in range(10)]


def dataset(name, role, genes, **columns):
    names = {"index": genes, **columns}
    return inspection_of(
        name,
        role,
        genes=len(genes),
        gene_names={column: "\n".join(ids) for column, ids in names.items()},
        gene_id_columns=dict.fromkeys(columns, "symbol"),
    )


def problems(*datasets, gene_ids=None, sources=None, min_common=0.3, n_variable=4000, **tables):
    check = GeneCheck(
        gene_ids=dict.fromkeys([each.dataset for each in datasets], "auto") | (gene_ids or {}),
        sources=[each.dataset for each in datasets] if sources is None else sources,
        min_common=min_common,
        n_variable=n_variable,
        **tables,
    )
    return list(map(str, gene_problems(datasets, check)))


@pytest.fixture
def atlas():
    return dataset("atlas", "reference", HUMAN)


@pytest.fixture
def orthologs(tmp_path):
    """Pairs of all genes but two, which share a partner."""
    path = tmp_path / "pairs.csv"
    rows = [*zip(HUMAN[:8], MOUSE[:8], strict=True), ("CD8A", "Both"), ("CST3", "Both")]
    path.write_text("".join(f"{human},{mouse}\n" for human, mouse in rows))
    return str(path)


def test_datasets_that_share_genes_are_none_of_its_business(atlas):
    assert problems(atlas, dataset("blood", "query", HUMAN[:4])) == []


def test_repeated_names_and_missing_ids_are_no_hindrance(atlas):
    blood = dataset("blood", "query", [*HUMAN[:4], HUMAN[0]], ids=[*HUMAN_IDS[:4], ""])
    assert problems(atlas, blood) == []
    assert problems(dataset("atlas", "reference", HUMAN_IDS), blood) == []


def test_a_query_of_another_species_is_named_with_the_remedy(atlas):
    (problem,) = problems(atlas, dataset("blood", "query", HUMAN), dataset("mice", "query", MOUSE))
    assert problem == (
        "datasets.mice: shares 0 of its 10 genes with atlas, fewer than genes.min_common allows (0.3); "
        "it has mouse or rat symbols (Cd3e, Ms4a1, Nkg7, ...), atlas has human symbols (CD3E, MS4A1, NKG7, "
        "...); set genes: {orthologs: human-mouse}"
    )


def test_ids_are_recognized_in_any_column(atlas):
    (problem,) = problems(
        dataset("atlas", "reference", HUMAN_IDS), dataset("mice", "query", MOUSE, gene_ids=MOUSE_IDS)
    )
    assert "set genes: {orthologs: human-mouse}" in problem
    assert "atlas has human Ensembl ids (ENSG00000000000, " in problem


def test_with_orthologs_there_is_no_problem(atlas, orthologs):
    assert problems(atlas, dataset("mice", "query", MOUSE), orthologs=orthologs) == []
    assert problems(atlas, dataset("mice", "query", MOUSE), orthologs=orthologs, min_common=1.0) == []


def test_species_that_no_table_comes_along_for(atlas):
    fish = ["cd3e", "ms4a17a.8", "nkg7", "lyz", "cd4-1"]
    (problem,) = problems(atlas, dataset("fish", "query", fish))
    assert "it has zebrafish symbols" in problem
    assert problem.endswith("name a table of their orthologs in genes.orthologs")


def test_a_table_of_other_species_is_named(atlas, tmp_path):
    (tmp_path / "fish.csv").write_text("cd3e,PTPRC\ncd4-1,CD4\n")
    (problem,) = problems(atlas, dataset("mice", "query", MOUSE), orthologs=str(tmp_path / "fish.csv"))
    assert "fish.csv pairs 0 genes of mice; name a table of these two species in genes.orthologs" in problem


def test_names_of_one_species_get_the_remedies_for_ids(atlas):
    (problem,) = problems(atlas, dataset("blood", "query", HUMAN_IDS))
    assert "name the right var column in datasets.blood.gene_id, translate its ids with genes.map" in problem


def test_a_table_of_ids_is_considered(atlas, tmp_path):
    rows = "".join(f"{ensembl},{symbol}\n" for ensembl, symbol in zip(HUMAN_IDS, HUMAN, strict=True))
    (tmp_path / "map.csv").write_text(rows)
    assert problems(atlas, dataset("blood", "query", HUMAN_IDS), gene_map=str(tmp_path / "map.csv")) == []


def test_the_column_that_is_named_is_the_only_one(atlas):
    blood = dataset("blood", "query", [f"g{n}" for n in range(10)], symbol=HUMAN)
    assert problems(atlas, blood) == []
    (problem,) = problems(atlas, blood, gene_ids={"blood": "index"})
    assert problem.startswith("datasets.blood: shares 0 of its 10 genes")
    with pytest.raises(InputError, match=r"datasets\.blood\.gene_id: there is no var column 'name'"):
        problems(atlas, blood, gene_ids={"blood": "name"})


def test_what_only_all_together_lack_is_reported_as_later(atlas):
    """Each query shares half of the genes with the reference, and another half."""
    (problem,) = problems(atlas, dataset("a", "query", HUMAN[:5]), dataset("b", "query", HUMAN[5:]))
    assert "the datasets have no gene in common" in problem


def test_queries_of_a_model_with_genes_of_its_own(atlas):
    """Its genes are some of the reference's: two of at least four are enough for a half, one is not."""
    given = {"sources": ["atlas"], "n_variable": 4, "min_common": 0.5}
    assert problems(atlas, dataset("blood", "query", HUMAN[:2]), **given) == []
    (problem,) = problems(atlas, dataset("blood", "query", [HUMAN[0], "X1", "X2"]), **given)
    assert "datasets.blood: has 1 of the 10 genes of atlas (10%), fewer than" in problem
    (problem,) = problems(atlas, dataset("mice", "query", MOUSE), **given)
    assert problem.endswith("set genes: {orthologs: human-mouse}")


def test_queries_of_a_model_that_was_trained_before(tmp_path, orthologs):
    write_features(tmp_path / "genes.json", ("atlas", "index"))
    pd.DataFrame({"gene": HUMAN[4:]}).to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    model = {"model_genes": str(tmp_path / "genes.tsv"), "model_report": str(tmp_path / "genes.json")}
    mice = dataset("mice", "query", MOUSE)
    (problem,) = problems(mice, **model)
    assert problem.startswith("datasets.mice: has 0 of the 6 genes of the model (0%), fewer than")
    assert problem.endswith("set genes: {orthologs: human-mouse}")
    assert problems(mice, orthologs=orthologs, min_common=4 / 6, **model) == []
    (problem,) = problems(mice, orthologs=orthologs, min_common=0.7, **model)
    assert "has 4 of the 6 genes" in problem
    # The table is the right one, so another one would not help.
    assert "pairs 8 genes of mice; train on genes that both have" in problem


def test_a_second_reference_of_another_species(atlas, orthologs):
    mice = dataset("mice", "reference", MOUSE)
    (problem,) = problems(atlas, mice)
    assert problem.startswith("datasets.mice: shares 0")
    assert problems(atlas, mice, dataset("blood", "query", HUMAN), orthologs=orthologs) == []


def test_datasets_whose_names_are_not_known_are_left_to_later_jobs(atlas):
    assert problems(atlas, Inspection(dataset="blood", role="query", path="blood.h5ad")) == []
    few = dataset("blood", "query", MOUSE)
    few = Inspection(**vars(few) | {"gene_id_columns": {"feature_type": "symbol"}})
    assert problems(atlas, few, gene_ids={"blood": "feature_type"}) == []

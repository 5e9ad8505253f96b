"""Changes of keys, alone and in pairs, and the jobs that they repeat, compared with the docs."""

import itertools
import os
import re
import shutil
import sys
from contextlib import chdir
from types import SimpleNamespace

import h5py
import pytest
from cellferry.core.run_record import RECORD, unregister_run
from cellferry.resources.rules import RULES
from cellferry.runs.changes import OTHERWISE, STAGES, describe_changes
from cellferry.runs.methods import METHOD_VERSIONS
from cellferry.runs.takeover import supersede_other_runs
from changed_keys import CHANGES, CONFIGS, RENAMED, changed
from key_table import key_table
from placeholders import write_earlier_run, write_placeholders
from planned import finish, jobs_to_run, named, planned
from running import ROOT, finished
from simulate import simulate_cells

KEYS = re.findall(r"^\| `([^`]+)`", key_table(), re.M)
# They locate a file, and results depend on the file.
FINDING = ("references.registries", "references.cache", "references.mirror")
# Without --software-deployment-method apptainer it has no effect.
DEPLOYED = "container"
ROW = re.compile(r"^\| (`[^|]+`) \| (`[^|]+`) \|([^|]*)\|$", re.M)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Empty files in the place of the results of runs of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    cells = simulate_cells(60)
    for column in ("finer", "lineage", "donor"):
        cells.obs[column] = "a"
    made = {}
    for kind, config in CONFIGS.items():
        own = folder / kind
        own.mkdir()
        for name in "abcd":
            cells.write_h5ad(own / f"{name}.h5ad")
        for name in ("obs.csv", "latents.csv", "other_latents.csv"):
            (own / name).write_text("cell,cell_type,finer,donor\na,b,c,d\n")
        (own / "names.tsv").write_text("ENSG00000000001\tGENE1\n")
        (own / "scaling.csv").write_text("marker,low,high\nCD3,0,5\n")
        write_placeholders(config, own)
        for name in ("vae", "other_vae"):
            (own / name).mkdir(exist_ok=True)
            (own / name / "model.pt").touch()
        for earlier in ("earlier", "another"):
            write_earlier_run(own / earlier / "results")
        # It has other genes.
        (own / "another" / "results" / "genes.tsv").write_text("other")
        for path in own.rglob("*"):
            os.utime(path, (1_600_000_000, 1_600_000_000))
        finish(own, config)
        made[kind] = SimpleNamespace(folder=own, config=config, plans={})
    return made


@pytest.fixture
def copied(runs, tmp_path):
    """A copy of the files of a run of a kind, which a test may change."""

    def copy_of(kind):
        folder = tmp_path / kind
        shutil.copytree(runs[kind].folder, folder, copy_function=shutil.copy2, symlinks=True)
        return folder, runs[kind].config

    return copy_of


def plan(run, **changes):
    """Jobs of the changed configuration, and those that a run would do."""
    key = str(sorted(changes.items()))
    if key not in run.plans:
        with planned(run.folder, changed(run.config, changes)) as dag:
            to_do = {named(job) for job in dag.needrun_jobs(exclude_finished=False)} - {("all",)}
            needed = [job for job in dag.needrun_jobs(exclude_finished=False) if job.output]
            firsts = {job.rule.name for job in needed if not set(dag.dependencies[job]).intersection(needed)}
            said = describe_changes(dag, dag.workflow.persistence, dag.workflow.globals["config"])
            run.plans[key] = SimpleNamespace(
                jobs={named(job) for job in dag.jobs}, to_do=to_do, firsts=firsts, said=said
            )
    return run.plans[key]


@pytest.mark.parametrize("kind", CONFIGS)
def test_nothing_is_planned_after_a_finished_run(runs, kind):
    assert plan(runs[kind]).to_do == set()
    assert plan(runs[kind]).said is None


def test_every_key_is_tried():
    tried = {re.sub(r"^datasets\.\w+\.", "datasets.NAME.", key) for keys in CHANGES.values() for key in keys}
    # Modalities have different files: no result of one is kept for the other.
    assert set(KEYS) - {"modality", DEPLOYED, *FINDING} == tried


def rows(kind):
    """A table of docs/rerunning.md by key: rules that run first, stages that are kept."""
    text = (ROOT / "docs" / "rerunning.md").read_text(encoding="utf-8")
    default, _, own_genes = text.partition("\n## Models that do not depend on queries\n")
    return {
        key: (set(re.findall("`([^`]+)`", rules)), set(re.findall(r"\w+", kept)))
        for keys, rules, kept in ROW.findall(own_genes if kind == "own genes" else default)
        for key in re.findall("`([^`]+)`", keys)
    }


@pytest.mark.parametrize(("kind", "key"), [(kind, key) for kind, keys in CHANGES.items() for key in keys])
def test_the_table_of_the_docs_says_what_a_change_makes_again(runs, kind, key):
    found = plan(runs[kind], **{key: CHANGES[kind][key]})
    made = {job[0] for job in found.to_do}
    there = {job[0] for job in found.jobs}
    kept = {stage for stage, rules in STAGES.items() if made.isdisjoint(rules) and there.intersection(rules)}
    assert (found.firsts, kept) == rows(kind)[re.sub(r"^datasets\.\w+\.", "datasets.NAME.", key)]
    assert "report" in made
    assert found.said.startswith("Changed: ")
    assert f"{key} (" in found.said or f"{key}." in found.said, found.said


def pairs(kind):
    """Each section with each other, and each key with keys of the checks of all datasets."""
    keys = CHANGES[kind]
    by_section = {}
    for key in keys:
        by_section.setdefault(".".join(key.split(".")[: 2 if key.startswith("datasets") else 1]), []).append(
            key
        )
    chosen = [(a[0], b[-1]) for a, b in itertools.combinations(by_section.values(), 2)]
    gates = [key for key in ("genes.min_common", "datasets.patients.batch") if key in keys]
    chosen += [(key, gate) for key in keys for gate in gates if key != gate]
    return list(dict.fromkeys(tuple(sorted(pair)) for pair in chosen))


@pytest.mark.parametrize("kind", CONFIGS)
def test_two_changes_make_again_what_each_does(runs, kind):
    run, values = runs[kind], CHANGES[kind]
    for first, second in pairs(kind):
        if {first, second} == {"labels.parents", "datasets.atlas.levels"}:
            continue  # one or the other
        one, other = (plan(run, **{key: values[key]}) for key in (first, second))
        both = plan(run, **{key: values[key] for key in (first, second)})
        expected = (one.to_do | other.to_do) & both.jobs
        known = one.jobs | other.jobs
        assert both.to_do & known == expected, (first, second)


def test_a_query_that_is_added_with_another_change_hides_nothing(runs):
    run = runs["own genes"]
    more = {"datasets.more": {"role": "query", "path": "d.h5ad", "chunks": 1}}
    with_query, with_both = plan(run, **more), plan(run, **more, **{"model.n_latent": 10})
    rules = {job[0] for job in with_query.to_do}
    assert {"inspect_dataset", "check_datasets", "convert_to_chunks", "map_query", "report"} <= rules
    assert not {"train_reference_model", "select_genes", "train_classifier"} & rules
    assert ("convert_to_chunks", "more", "0") in with_query.to_do
    assert [job for job in with_query.to_do if job[0] == "convert_to_chunks"] == [
        ("convert_to_chunks", "more", "0")
    ]
    assert with_both.to_do == with_query.to_do | plan(run, **{"model.n_latent": 10}).to_do
    assert with_query.said.startswith("Changed: datasets.more (new). Made again: ")
    assert with_query.said.endswith("Kept: chunks, genes, model, latents, classifiers, labels.")


def test_values_that_keys_swap_are_seen(runs):
    run = runs["rna"]
    finished = {"model.n_hidden": 128, "model.batch_size": 512}
    assert plan(run, **finished).to_do == set()
    swapped = plan(run, **{"model.n_hidden": 512, "model.batch_size": 128})
    assert "train_reference_model" in {job[0] for job in swapped.to_do}


def test_what_means_the_same_makes_nothing_again(runs):
    """Another order of keys or names, a default written out, a whole number for a fraction or the reverse."""
    run = runs["rna"]
    same = {"datasets.patients.format": "auto", "genes.min_common": 0.30, "datasets.patients.chunks": 2.0}
    config = changed(run.config, same)
    config["datasets"]["atlas"] = dict(reversed(config["datasets"]["atlas"].items()))
    config["labels"] = {"rename": dict(reversed(RENAMED.items()))}
    config["prediction"] = {"min_p": 0.005, "min_counts": "auto"}
    assert jobs_to_run(run.folder, config) == set()


def test_where_references_are_found_makes_nothing_again(runs):
    run = runs["earlier"]
    (run.folder / "more.yaml").write_text("references: []\n")
    (run.folder / "mirror").mkdir()
    values = (["more.yaml"], "cache", "mirror")
    config = changed(run.config, dict(zip(FINDING, values, strict=True)))
    assert jobs_to_run(run.folder, config) == set()


def test_an_image_that_jobs_do_not_run_in_makes_nothing_again(runs):
    run = runs["rna"]
    assert jobs_to_run(run.folder, changed(run.config, {DEPLOYED: "cellferry.sif"})) == set()


def test_all_of_a_version_of_a_method_is_made_again(runs, monkeypatch):
    run = runs["rna"]
    # The Snakefile imports the package under another name than the tests do.
    from scripts.cellferry.runs import provenance

    version = provenance.METHOD_VERSIONS["train_classifier"]
    monkeypatch.setitem(provenance.METHOD_VERSIONS, "train_classifier", version + 1)
    with planned(run.folder, run.config) as dag:
        again = {named(job)[0] for job in dag.needrun_jobs(exclude_finished=False)}
        said = describe_changes(dag, dag.workflow.persistence, dag.workflow.globals["config"])
    assert {"train_classifier", "calibrate_classifier", "predict_labels", "report"} <= again
    assert not {"convert_to_chunks", "train_reference_model", "map_query"} & again
    assert said.startswith(
        f"Changed: the method of train_classifier ({version} → {version + 1}). "
        "Made again: train_classifier and all after"
    )


def test_another_file_in_the_place_of_one_is_seen_though_it_is_older(copied):
    folder, config = copied("rna")
    assert jobs_to_run(folder, config) == set()
    shutil.copy2(folder / "b.h5ad", folder / "kept.h5ad")
    simulate_cells(61, seed=5).write_h5ad(folder / "b.h5ad")
    os.utime(folder / "b.h5ad", (1_500_000_000, 1_500_000_000))
    to_do = jobs_to_run(folder, config)
    assert ("inspect_dataset", "patients") in to_do
    assert ("inspect_dataset", "atlas") not in to_do
    shutil.copy2(folder / "kept.h5ad", folder / "b.h5ad")
    assert jobs_to_run(folder, config) == set()


@pytest.mark.parametrize("follow_links", [True, False])
def test_another_file_that_a_file_points_to(copied, follow_links):
    folder, config = copied("rna")
    config = changed(config, {"datasets.patients.follow_links": follow_links})
    for name, value in (("linked.h5", 1), ("other.h5", 2)):
        with h5py.File(folder / name, "w") as file:
            file["x"] = value
    with h5py.File(folder / "b.h5ad", "r+") as file:
        file["uns/x"] = h5py.ExternalLink("linked.h5", "/x")
    for name in ("linked.h5", "other.h5", "b.h5ad"):
        os.utime(folder / name, (1_600_000_000, 1_600_000_000))
    finish(folder, config)
    assert jobs_to_run(folder, config) == set()
    shutil.copy2(folder / "other.h5", folder / "linked.h5")
    to_do = jobs_to_run(folder, config)
    assert (("inspect_dataset", "patients") in to_do) == follow_links
    assert ("inspect_dataset", "atlas") not in to_do


@pytest.mark.parametrize("is_removed", [True, False])
def test_after_a_failed_job_what_comes_after_it_is_made_again(copied, monkeypatch, is_removed):
    """Snakemake records a failed job's params as those of its results.

    It removes these, except if it could not submit the job.
    """
    folder, config = copied("own genes")
    config = changed(config, {"surgery.epochs": 5})
    before = jobs_to_run(folder, config)
    with planned(folder, config) as dag, chdir(folder):
        monkeypatch.delenv(RECORD, raising=False)
        dag._finished.clear()  # a dry run counts all jobs as finished
        supersede_other_runs(dag.workflow, "new", "anything")
        (job,) = (job for job in dag.jobs if named(job) == ("fit_query_model", "patients"))
        if is_removed:
            shutil.rmtree(job.output[0])
        dag.workflow.async_run(dag.workflow.persistence.finished(job))
        unregister_run()
    assert jobs_to_run(folder, config) == before


def test_what_is_made_again_without_a_change_is_said(copied):
    folder, config = copied("rna")
    (folder / "results" / "report.html").unlink()
    with planned(folder, config) as dag:
        said = describe_changes(dag, dag.workflow.persistence, dag.workflow.globals["config"])
    assert said == (
        f"Changed: {OTHERWISE}. Made again: report ({said.partition('(')[2].partition(')')[0]}). "
        "Kept: chunks, genes, model, latents, classifiers, labels."
    )
    assert "(1 of " in said


def test_every_file_of_the_users_tells_a_run_from_others(copied):
    """Results of a killed run are kept only if they were made from the same inputs."""
    folder, config = copied("rna")
    (folder / "parents.tsv").write_text("T cell\tlymphoid\n")
    config = changed(config, {"labels.parents": "parents.tsv", "genes.map": "names.tsv"})
    seen = set()
    for path in ("a.h5ad", "parents.tsv", "names.tsv"):
        os.utime(folder / path, (1_550_000_000, 1_550_000_000))
        with open(folder / path, "a") as file:
            file.write("\n")
        with planned(folder, config) as dag:
            seen.add(dag.workflow.globals["MADE_FROM"])
    folder, config = copied("earlier")
    for path in ("genes.tsv", "reference/classifier/labels.json", "mapped/reference/0.parquet"):
        (folder / "earlier" / "results" / path).write_text("[]")
        with planned(folder, config) as dag:
            seen.add(dag.workflow.globals["MADE_FROM"])
    assert len(seen) == 6


@pytest.mark.parametrize("changed_file", ["X/data/0", "layers/.zarray", "barcodes.tsv"])
def test_a_file_deep_in_a_folder_or_beside_a_matrix_is_seen(copied, changed_file):
    folder, config = copied("rna")
    for path in ("s.zarr/X/data/0", "s.zarr/layers/.zarray", "barcodes.tsv", "m.mtx", "genes.tsv.gz"):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    for path in [*folder.glob("*"), *(folder / "s.zarr").rglob("*")]:
        os.utime(path, (1_600_000_000, 1_600_000_000))
    config = changed(config, {"datasets.atlas.path": "s.zarr", "datasets.patients.path": "m.mtx"})
    finish(folder, config)
    assert jobs_to_run(folder, config) == set()
    path, dataset = folder / changed_file, "patients"
    if not path.exists():
        path, dataset = folder / "s.zarr" / changed_file, "atlas"
    path.write_text("other")
    os.utime(path, (1_550_000_000, 1_550_000_000))
    assert ("inspect_dataset", dataset) in jobs_to_run(folder, config)


def test_a_clone_makes_nothing_again(runs, tmp_path):
    run = runs["rna"]
    clone = tmp_path / "clone"
    for part in ("rules", "scripts", "envs", "config", "profiles", "report"):
        # Unlike copy2, with the present time.
        shutil.copytree(ROOT / part, clone / part, copy_function=shutil.copy)
    shutil.copy(ROOT / "Snakefile", clone)
    shutil.copytree(run.folder, tmp_path / "run", copy_function=shutil.copy2)
    arguments = ["-n", "--profile", "profiles/local", "--directory", tmp_path / "run"]
    for project in (ROOT, clone):
        command = [sys.executable, "-m", "snakemake", *arguments]
        result = finished([*command, "--configfile", tmp_path / "run" / "config.yaml"], cwd=project)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Nothing to be done" in result.stdout + result.stderr


def test_methods_are_those_of_the_rules():
    rules = re.findall(
        r"^rule (\w+):", "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk")), re.M
    )
    assert set(METHOD_VERSIONS) <= set(rules)
    assert min(METHOD_VERSIONS.values()) > 1


def test_the_page_on_upgrading_has_every_version_of_a_method():
    text = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
    versions = {}
    for release, raised in reversed(re.findall(r"^\| (\d+\.\d+\.\d+) \| ([^|]*) \|", text, re.M)):
        assert re.search(rf"^## \[{re.escape(release)}\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
        versions |= {rule: int(version) for rule, version in re.findall(r"`(\w+)`: (\d+)", raised)}
    # Older rows name removed rules.
    assert {rule: version for rule, version in versions.items() if rule in RULES} == METHOD_VERSIONS

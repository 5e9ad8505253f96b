"""Write the report of an unfinished run: available results, and a list of missing ones."""

from pathlib import Path

from cellferry.core.job import job
from cellferry.report.page import write_page
from cellferry.report.run_files import RunFiles, RunSettings

MISSING = {
    "evaluations": "the scores of {name}",
    "predictions": "the labels of {name}",
    "mapped": "{n} of {of} chunks of mapped cells of {name}",
    "gene_loss": "the loss of {name} by its missing genes",
    "raised": "the thresholds of {name}",
    "label_genes": "the genes behind the labels of {name}",
    "shifted_genes": "the genes that shifted in {name}",
    "inspected": "what {name} holds",
    "common": "the counts of {name}",
    "labeled": "the labeled file of {name}",
    "panel": "the panels",
    "datasets": "the list of datasets",
    "labels": "the reference's labels and its parts",
    "left_out": "predictions for labels left out of the reference",
    "decision": "the calibrated classifiers",
    "genes": "the genes of the model",
    "history": "the trained model",
    "packed": "the metadata of the packed reference",
    "label_agreement": "the label agreement of the references",
}
"""Description of a missing input of the report, by its name."""
BY_FOLDER = ("mapped", "gene_loss", "raised", "label_genes", "shifted_genes")
"""Inputs whose files lie in a folder that has the dataset's name."""
MANY = ("evaluations", "predictions", "inspected", "common", "labeled", *BY_FOLDER)


def what_is_there(files: dict[str, str | list[str]]) -> tuple[dict[str, str | list[str] | None], list[str]]:
    """Split the report's inputs into present and missing ones.

    Parameters
    ----------
    files
        Path or paths by name, as the rule `report` takes them.

    Returns
    -------
    The present ones (None or an empty list if missing), and descriptions of the missing ones. A part with
    missing chunks loses all of them: its cells would differ from those of its predictions.
    """
    there, missing = {}, []
    for name, paths in files.items():
        paths = [paths] if isinstance(paths, str) else list(paths)
        by_part: dict[str, list[str]] = {}
        for path in paths:
            part = Path(path).parent.name if name in BY_FOLDER else Path(path).stem
            by_part.setdefault(part, []).append(path)
        present = []
        for part, of_part in by_part.items():
            lacking = [path for path in of_part if not Path(path).exists()]
            if lacking:
                missing.append(MISSING[name].format(name=part, n=len(lacking), of=len(of_part)))
            else:
                present += of_part
        there[name] = present if name in MANY else next(iter(present), None)
    return there, missing


if __name__ == "__main__":
    with job(snakemake):
        params = snakemake.params
        there, missing = what_is_there(params.files)
        write_page(
            RunFiles(**there), RunSettings.of(params), page=params.page, drawn=params.drawn, missing=missing
        )
        print(f"{params.page}: {len(missing)} parts are missing")

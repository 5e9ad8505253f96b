"""The reference's model for the batches of a query, as the rules make it."""

from cellferry.config.settings import SurgerySettings
from cellferry.resources.budget import Budget
from copy_reference_model import copy_reference_model
from fit_query_model import fit_query_model
from simulate import settings_like


def fit_to(common, reference, folder, *, fit, batch_size):
    """Fit the model in a folder to a file's batches for two epochs, or copy it."""
    if not fit:
        copy_reference_model(str(common), str(reference), str(folder))
        return folder
    fit_query_model(
        str(common),
        str(reference),
        str(folder),
        settings=settings_like(SurgerySettings, epochs=2, sketch_cells=200),
        batch_size=batch_size,
        seed=0,
        budget=Budget(4000),
        threads=1,
        gpu=0,
    )
    return folder

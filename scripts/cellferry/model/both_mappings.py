"""Two ways to map a query: by the model fitted to its batches, and by the reference's model as it is."""

from dataclasses import replace

from scvi.model.base import BaseModelClass

from ..config.settings import SurgerySettings
from .encoder import Encoder
from .scvi_models import mean_batch_weights
from .surgery import QuerySketch, model_for_query

FITTED, UNFITTED = "fitted", "unfitted"


def both_encoders(
    used: BaseModelClass,
    reference_model: str,
    sketch: QuerySketch | None,
    settings: SurgerySettings,
    *,
    batch_size: int,
    accelerator: str,
) -> dict[str, Encoder]:
    """Encoders of both ways, that of the model in use first.

    Parameters
    ----------
    used
        The model that maps the query, fitted if `settings.fit`.
    reference_model
        Folder of the reference's model that it was made of.
    sketch
        Cells to fit a model to where the one in use was not; None where the query has no batch to fit to.
    settings, batch_size, accelerator
        How the model is fitted, cells per minibatch, and where to compute.
    """
    if settings.fit:
        return {FITTED: Encoder(used), UNFITTED: Encoder(mean_batch_weights(used, reference_model))}
    unfitted = fitted = Encoder(used)
    if sketch is not None:
        settings = replace(settings, fit=True)
        fitted = Encoder(
            model_for_query(sketch, reference_model, settings, batch_size=batch_size, accelerator=accelerator)
        )
    return {UNFITTED: unfitted, FITTED: fitted}

"""Two ways to map a query: by the model fitted to its batches, and by the reference's model as it is."""

from dataclasses import dataclass

from scvi.model.base import BaseModelClass

from .encoder import Encoder
from .scvi_models import mean_batch_weights
from .surgery import QuerySketch, model_for_query

FITTED, UNFITTED = "fitted", "unfitted"


@dataclass(frozen=True)
class Fitting:
    """How a model is fitted to a query.

    Parameters
    ----------
    fit, epochs, sketch_cells
        As in the configuration's section `surgery`.
    batch_size
        Cells per minibatch.
    """

    fit: bool
    epochs: int | str
    sketch_cells: int
    batch_size: int


def both_encoders(
    used: BaseModelClass,
    reference_model: str,
    sketch: QuerySketch | None,
    fitting: Fitting,
    *,
    accelerator: str,
) -> dict[str, Encoder]:
    """Encoders of both ways, that of the model in use first.

    Parameters
    ----------
    used
        The model that maps the query, fitted if `fitting.fit`.
    reference_model
        Folder of the reference's model that it was made of.
    sketch
        Cells to fit a model to where the one in use was not; None where the query has no batch to fit to.
    fitting, accelerator
        How the model is fitted, and where.
    """
    if fitting.fit:
        return {FITTED: Encoder(used), UNFITTED: Encoder(mean_batch_weights(used, reference_model))}
    unfitted = fitted = Encoder(used)
    if sketch is not None:
        how = {"epochs": fitting.epochs, "batch_size": fitting.batch_size, "accelerator": accelerator}
        fitted = Encoder(model_for_query(sketch, reference_model, fit=True, **how))
    return {UNFITTED: unfitted, FITTED: fitted}

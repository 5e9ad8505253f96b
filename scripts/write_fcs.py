"""Write a query's events with their labels and latents as FCS files, one per sample, to gate on them."""

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from cellferry.artifacts.aligned import iter_aligned
from cellferry.artifacts.h5ad_layout import BYTES_PER_CELL
from cellferry.artifacts.h5ad_reader import H5adReader
from cellferry.artifacts.latents import latent_columns, matrix, read_values
from cellferry.core.atomic import complete
from cellferry.core.job import job
from cellferry.core.progress import Progress
from cellferry.core.text import each_once
from cellferry.cytometry.fcs_writer import Channel, FcsWriter
from cellferry.labels.vocabulary import UNKNOWN
from cellferry.resources.budget import Budget
from cellferry.resources.memory import MEMORY_MODELS

CODED = {"label_code": "label", "best_label_code": "best_label"}
"""Channels with a label as a number, and the predictions' columns with its name."""

NUMBERS = ["probability", "ood_pvalue"]
"""Columns of the predictions that become channels unchanged."""

MAX_OPEN = 200
"""Files written at once: the usual limit of a process is 1024 open files."""

NAME_BYTES = 200
"""Most file systems allow names of 255 bytes; unfinished files have longer ones."""


def write_fcs(
    merged: str, predictions: str, mapped: list[str], fcs: str, *, query: str, budget: Budget
) -> None:
    """Write `{sample}.fcs` for every batch of a query, and `labels.csv`.

    Parameters
    ----------
    merged
        The query's merged file: linear intensities of all channels.
    predictions, mapped
        Its predictions, and the files of its mapped cells.
    fcs
        The folder to write.
    query
        The query's name, the prefix of its batches' names.
    budget
        Memory of the job.

    Raises
    ------
    RuntimeError
        If the cells of predictions or mapped files are not those of `merged`, in its order.
    """
    codes = label_codes(predictions)
    latents = latent_columns(mapped)
    with H5adReader(merged) as reader, complete(fcs) as folder:
        folder.mkdir()
        write_table(folder / "labels.csv", codes)
        channels = all_channels(reader, latents, n_codes=len(codes))
        # An event's values as read, joined, and of one sample; its name three times.
        an_event = 12 * len(channels) + 400
        block = budget.block_bytes(MEMORY_MODELS["write_fcs"])
        max_bytes = block * BYTES_PER_CELL // (BYTES_PER_CELL + an_event)
        names = [batch.removeprefix(f"{query}/") for batch in reader.categories("batch")]
        samples = [
            Sample(code, name, folder / f"{file}.fcs")
            for code, (name, file) in enumerate(zip(names, file_names(names), strict=True))
        ]
        for first in range(0, len(samples), MAX_OPEN):
            if len(samples) > MAX_OPEN:
                print(f"samples {first + 1} to {min(first + MAX_OPEN, len(samples))} of {len(samples)}")
            blocks = events(reader, predictions, mapped, codes, max_bytes=max_bytes)
            write_samples(blocks, samples[first : first + MAX_OPEN], channels, codes)


class Sample(NamedTuple):
    """A batch of the query: its code in the merged file, its name, and its file."""

    code: int
    name: str
    path: Path


def label_codes(predictions: str) -> dict[str, int]:
    """Codes by label: 0 is `unknown`, the others follow in the order of their names."""
    labels = read_values([predictions], "label") | read_values([predictions], "best_label")
    return {label: code for code, label in enumerate([UNKNOWN, *sorted(labels - {UNKNOWN})])}


def write_table(path: Path, codes: dict[str, int]) -> None:
    """Write the labels of the codes."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["code", "label"])
        rows.writerows((code, label) for label, code in codes.items())


def all_channels(reader: H5adReader, latents: list[str], *, n_codes: int) -> list[Channel]:
    """The query's channels and the added ones.

    A query's channel with the name of an added one gets the suffix `_input`; duplicates get
    numbers.
    """
    added = [Channel(name, most=n_codes) for name in CODED]
    added += [Channel(name, most=1) for name in NUMBERS]
    added += [Channel(name) for name in latents]
    taken = [channel.name for channel in added]
    names = [name.strip().replace(",", ".") for name in reader.var["channel"]]
    names = each_once([*taken, *(f"{name}_input" if name in taken else name for name in names)])[len(taken) :]
    markers = ["" if marker == name else marker for marker, name in zip(reader.var.index, names, strict=True)]
    return [*map(Channel, names, markers), *added]


def file_names(samples: Sequence[str]) -> list[str]:
    """File names by sample, unique also on case-insensitive file systems."""
    names = [re.sub(r"[^\w.+-]+", "_", sample).lstrip(".") or "_" for sample in samples]
    return each_once([name.encode()[:NAME_BYTES].decode(errors="ignore") for name in names], ignore_case=True)


def events(
    reader: H5adReader, predictions: str, mapped: list[str], codes: dict[str, int], *, max_bytes: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All events in blocks: codes of their batches, and events × channels (float32)."""
    latents = latent_columns(mapped)
    ranges = list(reader.ranges(max_bytes))
    progress = Progress("read", reader.n_cells, "events")
    for (start, stop, intensities), predicted, places in zip(
        reader.blocks(max_bytes),
        iter_aligned([predictions], [*CODED.values(), *NUMBERS], reader, ranges),
        iter_aligned(mapped, latents, reader, ranges),
        strict=True,
    ):
        labels = [coded(predicted.column(column), codes) for column in CODED.values()]
        values = [intensities.toarray(), *labels, matrix(predicted, NUMBERS), matrix(places, latents)]
        yield reader.codes("batch", start, stop), np.hstack(values)
        progress.add(stop - start)


def coded(labels: pa.ChunkedArray, codes: dict[str, int]) -> np.ndarray:
    """A column of labels as their codes: cells × 1, float32; without a label 0."""
    encoded = labels.combine_chunks().dictionary_encode()
    # One entry more than names: a null becomes -1, which indexes the last.
    values = np.array([codes[name] for name in encoded.dictionary.to_pylist()] + [0], dtype=np.float32)
    return values[encoded.indices.fill_null(-1).to_numpy()][:, None]


def write_samples(
    blocks: Iterator[tuple[np.ndarray, np.ndarray]],
    samples: list[Sample],
    channels: list[Channel],
    codes: dict[str, int],
) -> None:
    """Write the events of the given samples and skip the others."""
    labels = {f"CELLFERRY_LABEL_{code}": label for label, code in codes.items()}
    writers: dict[int, FcsWriter] = {}
    with ExitStack() as closing:
        for batches, values in blocks:
            met = set(np.unique(batches).tolist())
            for sample in (sample for sample in samples if sample.code in met):
                # Opened at its first event: an FCS file needs one.
                if sample.code not in writers:
                    keywords = {"$FIL": sample.path.name, "$SMNO": sample.name}
                    writer = FcsWriter(sample.path, channels, keywords | labels)
                    writers[sample.code] = closing.enter_context(writer)
                writers[sample.code].append(values[batches == sample.code])
    for sample in (sample for sample in samples if sample.code in writers):
        print(f"{sample.path.name}: {writers[sample.code].n_events} events of sample {sample.name}")


if __name__ == "__main__":
    with job(snakemake):
        write_fcs(
            snakemake.input.merged,
            snakemake.input.predictions,
            list(snakemake.input.mapped),
            snakemake.output.fcs,
            query=snakemake.wildcards.query,
            budget=Budget.of(snakemake.resources),
        )

# Validates the configuration, then names what the rules share.
#
# Reads:   the configuration; in the main process also the headers of the datasets
# Defines: DATASETS, REFERENCE, QUERIES, HELD_BACK, SCORED, wildcard constraints, input functions

import json
from math import ceil
from pathlib import Path

from scripts.cellferry.config import check, fill_defaults

if workflow.is_main_process:
    check(config, config_files=workflow.configfiles, made_by_rules="resources/demo")
fill_defaults(config)

DATASETS = list(config["datasets"])
REFERENCE = next(name for name in DATASETS if config["datasets"][name]["role"] == "reference")
QUERIES = [name for name in DATASETS if name != REFERENCE]
# Parts of the reference that its model never meets: mapped and predicted like any query.
HELD_BACK = ["validation", "test"]
# Queries whose truth is known.
SCORED = ["test", *(name for name in QUERIES if config["datasets"][name]["label"])]


wildcard_constraints:
    dataset="|".join(DATASETS),
    part="|".join([*DATASETS, *HELD_BACK]),
    query="|".join([*QUERIES, *HELD_BACK]),
    chunk=r"\d+",


def dataset(key):
    """Input or param function: the value of `key` in the wildcard's dataset; [] where it is not set."""

    def value(wildcards):
        found = config["datasets"][wildcards.dataset][key]
        return [] if found is None else found

    return value


def source_of(part):
    """The dataset that a part was cut from: the reference for its held-back parts, itself otherwise."""
    return REFERENCE if part in HELD_BACK else part


def chunk_numbers(part):
    """Numbers of the chunks that a part is mapped in; a held-back part has its share of the reference's."""
    chunks = config["datasets"][source_of(part)]["chunks"]
    return range(ceil(chunks * config["split"][part]) if part in HELD_BACK else chunks)


def rising(base):
    """Resource function: `base`, and that much more with every attempt."""

    def amount(wildcards, attempt):
        return base * attempt

    return amount

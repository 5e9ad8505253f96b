"""Results of a run with a pre-trained model, as needed for a packed reference."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ...config.pretrained import pretrained_problems
from ...config.schema import fill_defaults
from ...core.logs import (
    INPUT_ERROR,
    INPUT_ERROR_EXIT_CODE,
    NO_SPACE,
    RETRYABLE_ERROR,
    RETRYABLE_ERROR_EXIT_CODE,
)
from ...core.problems import Problems
from ...core.project import PROJECT
from ...errors import InputError
from .found import Found
from .job import STEPS, WITHOUT_LATENTS, Paths

ATTEMPTS = 3
"""Attempts per step, each with more memory, like the retries of profiles."""

SCRIPTS = PROJECT / "scripts"


def configuration(found: Found, more: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run with a pre-trained model, with defaults.

    Parameters
    ----------
    found
        The model and its cells.
    more
        Further keys of `pretrained`.

    Raises
    ------
    InputError
        If such a run would not start.
    """
    config: dict[str, Any] = {
        "modality": found.registered.modality,
        "datasets": {},
        "pretrained": {**found.pretrained, **more},
    }
    fill_defaults(config)
    config["labels"]["missing"] += found.unlabeled
    if problems := pretrained_problems(config):
        raise InputError(Problems(f"the model has {len(problems)} problem(s)", tuple(problems)))
    return config


def make_results(config: dict[str, Any], found: Found, folder: Path) -> Path:
    """Run the steps of a run's rules, from the model to the left-out labels.

    Parameters
    ----------
    config, found
        The configuration, and the model with its cells.
    folder
        An empty folder for results and logs.

    Returns
    -------
    The folder of the results.

    Raises
    ------
    InputError
        If the model or its cells cannot be used, or there is too little memory.
    """
    results, given = folder / "results", folder / "config.json"
    made = found.latents.counts is not None
    if made:
        config = _of_counted_cells(config, found, Paths(results))
    given.write_text(json.dumps(config), encoding="utf-8")
    (results / "reference").mkdir(parents=True)
    for rule in STEPS:
        if rule in WITHOUT_LATENTS and not made:
            continue
        log = folder / f"{rule}.log"
        print(f"{rule} ...", flush=True)
        for attempt in range(1, ATTEMPTS + 1):
            ended = _run(rule, attempt, given, results, log)
            if ended.returncode != RETRYABLE_ERROR_EXIT_CODE:
                break
        _check(rule, ended, log)
    return results


def _of_counted_cells(config: dict[str, Any], found: Found, paths: Paths) -> dict[str, Any]:
    """The configuration with the latents that the model will compute, and their counts."""
    cells = {
        "path": str(found.latents.path),
        "place": found.latents.counts,
        "n_latent": found.registered.n_latent,
        "label": found.label,
        "batch": found.batch,
        "model_batch": found.registered.batch,
    }
    made = {
        "latents": str(paths.made_latents),
        "key": None,
        "label": "label",
        "batch": found.batch and "batch",
    }
    return config | {"pretrained": config["pretrained"] | made, "cells": cells}


def _run(rule: str, attempt: int, config: Path, results: Path, log: Path) -> subprocess.CompletedProcess:
    module = f"{__package__}.job"
    command = [sys.executable, "-W", "ignore", "-m", module, rule, attempt, config, results, log]
    path = os.pathsep.join(filter(None, [str(SCRIPTS), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        list(map(str, command)),
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def _check(rule: str, ended: subprocess.CompletedProcess, log: Path) -> None:
    """Raise the error of a failed step."""
    said = ended.stderr.strip()
    if ended.returncode == 0:
        return
    if ended.returncode == INPUT_ERROR_EXIT_CODE:
        raise InputError(said.removeprefix(INPUT_ERROR))
    if ended.returncode == RETRYABLE_ERROR_EXIT_CODE:
        why = said.removeprefix(RETRYABLE_ERROR).split(";")[0]
        raise InputError(
            f"{rule}: {why} (last of {ATTEMPTS} attempts); use the model in a run with `pretrained`, whose "
            "profile can request more memory, and pack its results (make pack)"
        )
    if ended.returncode < 0:
        raise InputError(
            f"{rule} was killed (signal {-ended.returncode}), most likely because this machine is out of "
            "memory; run it on a machine with more"
        )
    if NO_SPACE in said:
        raise InputError(f"{rule}: {NO_SPACE}; free some space, or set TMPDIR to a folder on another disk")
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    raise RuntimeError(f"{rule} ended with {ended.returncode}:\n{text}{said}")

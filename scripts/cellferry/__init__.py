"""Shared vocabulary of the cellferry scripts; imports no library: a data rule never pays for torch."""

import os

# Read by OpenMP when torch or XGBoost is loaded, so it must be set before: on a node shared with other
# jobs, threads that spin while they wait made training several times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

"""An environment of the rules: complete, or refused with the missing packages and both remedies."""

import pytest
from cellferry.cluster import environments
from cellferry.errors import InputError


def test_an_environment_that_holds_everything_is_fine():
    environments.check_environments()


def test_what_is_missing_is_told_with_both_ways_out(monkeypatch):
    monkeypatch.setattr(environments, "_is_installed", lambda name: name not in ("xgboost", "scvi-tools"))
    with pytest.raises(InputError, match=r"it lacks scvi-tools, xgboost\. .*conda on the PATH.*make demo"):
        environments.check_environments()

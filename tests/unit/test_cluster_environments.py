"""An environment of the rules: complete, or refused with the missing packages and both remedies."""

import pytest
from cellferry.cluster import environments
from cellferry.errors import InputError

FILES = ("../envs/data.yaml", "../envs/model.yaml", "../envs/predict.yaml")


@pytest.fixture
def without(monkeypatch):
    def take_away(*names):
        monkeypatch.setattr(environments, "_is_installed", lambda name: name not in names)

    return take_away


def test_an_environment_that_holds_everything_is_fine():
    environments.check_environments(FILES)


def test_what_is_missing_is_told_with_both_ways_out(without):
    without("xgboost", "scvi-tools")
    with pytest.raises(InputError, match=r"which lacks scvi-tools, xgboost\. .*make demo.*conda on the PATH"):
        environments.check_environments(FILES)


def test_what_no_job_imports_may_be_missing(without):
    without("torch", "scvi-tools", "scanpy", "anndata")
    environments.check_environments(["../envs/data.yaml", "../envs/predict.yaml", "../envs/report.yaml"])

"""`make doctor`: the values at the top of a profile, read without a YAML parser."""

import yaml
from cellferry.commands.doctor.profile import profile_values
from machines import PROFILE, failing, profile_with


def test_values_are_read_without_yaml(tmp_path):
    values, problems = profile_values(PROFILE)
    # yte evaluates the rest of the file.
    head = (PROFILE / "config.yaml").read_text().partition("__definitions__")[0]
    assert values == yaml.load(head, yaml.BaseLoader)["__variables__"]
    assert problems == []
    path = profile_with(tmp_path, account="'my lab # 1'", gpu_kind='"a100"', scratch="/scratch/$USER")
    values, _ = profile_values(path)
    assert (values["account"], values["gpu_kind"], values["scratch"]) == (
        "my lab # 1",
        "a100",
        "/scratch/$USER",
    )


def test_a_profile_that_is_missing_or_wrong(tmp_path):
    assert "No such file" in failing(profile_values(tmp_path / "nothing")[1]).text
    finding = failing(profile_values(profile_with(tmp_path, max_mem_mb="180 GB"))[1])
    assert "max_mem_mb is '180 GB', not a whole number" in finding.text
    finding = failing(profile_values(profile_with(tmp_path, request_memory="none"))[1])
    assert "request_memory is 'none', not true or false" in finding.text

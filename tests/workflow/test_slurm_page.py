"""docs/slurm.md names the rules tested with faults on a cluster, and those that run locally."""

import re

from running import ROOT

PAGE = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
ONLY_ON_REQUEST = {"plan", "report_so_far"}
"""No rule depends on them."""


def rules():
    return {
        name
        for path in (ROOT / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), re.M)
    }


def test_the_table_of_faults_names_rules_of_today():
    tried = re.findall(r"^\| `(\w+)` \|(?: \d+/\d+ \|)+$", PAGE, re.M)
    assert tried
    assert set(tried) <= rules()


def test_rules_that_run_where_snakemake_does_are_named():
    local = {
        name
        for path in (ROOT / "rules").glob("*.smk")
        for name, rest in re.findall(
            r"^rule (\w+):\n((?:(?!rule ).*\n)*)", path.read_text(encoding="utf-8"), re.M
        )
        if "localrule: True" in rest
    }
    (sentence,) = re.findall(r"(`all`[^.]*) run where snakemake does\.", PAGE)
    assert set(re.findall(r"`(\w+)`", sentence)) == local - ONLY_ON_REQUEST | {"all"}

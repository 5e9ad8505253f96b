"""docs/slurm.md lists for every rule whether it was tried on a cluster with faults."""

import re

from running import ROOT

PAGE = (ROOT / "docs" / "slurm.md").read_text(encoding="utf-8")
ONLY_ON_REQUEST = {"plan", "report_so_far"}
"""Nothing depends on them."""


def rules():
    return {
        name
        for path in (ROOT / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", path.read_text(encoding="utf-8"), re.M)
    }


def test_every_rule_is_in_the_table_of_faults_or_said_not_to_be():
    tried = set(re.findall(r"^\| `(\w+)` \|(?: \d+/\d+ \|)+$", PAGE, re.M))
    (paragraph,) = re.findall(r"^Not tried there (.*?)\n\n", PAGE, re.M | re.S)
    not_tried = set(re.findall(r"`(\w+)`", paragraph.replace("(a part of `subset_common_genes` then)", "")))
    assert not tried & not_tried
    assert tried | not_tried == rules()


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

"""docs/rulegraph.svg, drawn by `make rulegraph`, shows the present rules and their order."""

import re
from xml.etree import ElementTree

import pytest
from running import ROOT, command_line, finished

SVG = "{http://www.w3.org/2000/svg}"


def closure(nodes, edges):
    """All pairs of names in which the second depends on the first, directly or not."""
    after = {name: set() for name in nodes.values()}
    for first, second in edges:
        after[nodes[first]].add(nodes[second])
    while True:
        further = {name: later.union(*(after[one] for one in later)) for name, later in after.items()}
        if further == after:
            return {(name, later) for name, all_later in after.items() for later in all_later}
        after = further


@pytest.fixture(scope="module")
def drawn():
    """Rules by node, and edges between nodes, of the committed picture."""
    groups = list(ElementTree.parse(ROOT / "docs" / "rulegraph.svg").iter(f"{SVG}g"))
    titles = {kind: [g for g in groups if g.get("class") == kind] for kind in ("node", "edge")}
    nodes = {g.findtext(f"{SVG}title"): g.findtext(f"{SVG}text") for g in titles["node"]}
    return nodes, [tuple(g.findtext(f"{SVG}title").split("->")) for g in titles["edge"]]


@pytest.fixture(scope="module")
def today(tmp_path_factory):
    """The same of the graph that snakemake makes of the demo's configuration."""
    arguments = ["--rulegraph", "--cores", "1", "--configfile", ROOT / "config" / "config.yaml"]
    command = command_line(tmp_path_factory.mktemp("graph"), *arguments)
    result = finished(command)
    assert result.returncode == 0, result.stderr
    graph = result.stdout
    nodes = dict(re.findall(r'^\s*(\d+)\[label = "(\w+)"', graph, re.M))
    return nodes, re.findall(r"^\s*(\d+) -> (\d+)$", graph, re.M)


def test_the_picture_has_todays_rules(drawn, today):
    assert set(drawn[0].values()) == set(today[0].values()), "run make rulegraph"


def test_the_picture_has_todays_order(drawn, today):
    assert closure(*drawn) == closure(*today), "run make rulegraph"
    assert len(drawn[1]) < len(today[1])  # redundant edges are left out

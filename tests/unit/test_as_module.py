"""Functions for the workflow as a module of another one, without Snakemake."""

from types import SimpleNamespace

import pytest
from cellferry.errors import InputError
from cellferry.runs.as_module import check_module, mark_own_rules, own_rules, run_handlers, section_of


def modifier(rename=None, prefix=None, replaced=None, within=None):
    paths = SimpleNamespace(prefix=prefix, _prefix_replacements=replaced, inner_modifier=within)
    return SimpleNamespace(resolved_rulename_modifier=rename, path_modifier=paths)


def test_names_as_they_are_pass():
    check_module(modifier())
    check_module(modifier(rename=lambda name: name, within=modifier().path_modifier))


@pytest.mark.parametrize(
    ("of", "problem"),
    [
        (modifier(rename="x_{}".format), r"^use rule \.\.\. as x_\*: .*take `as` out"),
        (modifier(prefix="x/"), "^module: `prefix`"),
        (modifier(replaced={"results": "x"}), "^module: `prefix`"),
        (modifier(within=modifier(prefix="x/").path_modifier), "^module: `prefix`"),
    ],
)
def test_other_names_are_refused(of, problem):
    with pytest.raises(InputError, match=problem):
        check_module(of)


def test_where_a_configuration_stands():
    config = {"datasets": {}}
    assert section_of(config, config) == ()
    assert section_of(config, {"a": {"datasets": {}}, "b": {1: config}}) == ("b", 1)
    assert section_of(config, {"a": {"datasets": {}}}) is None  # the same values, given otherwise


def test_rules_of_another_workflow_are_left_alone():
    mine, others, excluded, changed = (SimpleNamespace(name=name) for name in "aaba")
    workflow = SimpleNamespace(rules=[others, mine])
    assert mark_own_rules(SimpleNamespace(rules=[mine, excluded])) == [mine, excluded]
    assert own_rules(workflow)[0] is mine
    assert len(own_rules(workflow)) == 1
    # `use rule ... with` replaces a rule.
    workflow.rules = [others, changed]
    assert not own_rules(workflow)
    mark_own_rules(SimpleNamespace(rules=[changed]))
    assert own_rules(workflow)[0] is changed


class Workflow:
    """Snakemake's workflow, with handlers only."""

    def __init__(self):
        self.ran = []
        self._onstart = self._onsuccess = self._onerror = lambda log: None

    def onstart(self, handler):
        self._onstart = handler

    onsuccess = onerror = None

    def handler(self, name):
        return SimpleNamespace(func=lambda log: self.ran.append(name + log))


@pytest.mark.parametrize("own_come_first", [True, False])
def test_handlers_of_both_run_once(own_come_first):
    workflow = Workflow()
    own = workflow.handler("own ").func
    if own_come_first:
        workflow.onstart(own)
    run_handlers(workflow, [workflow.handler(name) for name in ("start ", "success ", "error ")])
    run_handlers(workflow, [workflow.handler(name) for name in ("again ", "success ", "error ")])
    if not own_come_first:
        workflow.onstart(own)
    workflow._onstart("x")
    workflow._onerror("y")
    assert workflow.ran == ["own x", "again x", "error y"]

"""json_files: artifacts are read back unchanged, and files of another version are refused."""

import json
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
from cellferry.artifacts.json_files import read_artifact, write_artifact
from cellferry.errors import InputError


@dataclass(frozen=True)
class Inner:
    name: str
    share: float | None = None


@dataclass(frozen=True)
class Outer:
    VERSION: ClassVar[int] = 3

    cells: int
    labels: dict[str, int]
    one: Inner | None = None
    several: list[Inner] = field(default_factory=list)
    by_name: dict[str, Inner] = field(default_factory=dict)
    path: str | list[str] | dict[str, str] = ""
    both: tuple[Inner, ...] = ()


WHOLE = Outer(
    5, {"γδ T": 2}, Inner("a", 0.5), [Inner("b")], {"c": Inner("c", 1.0)}, {"x": "y"}, (Inner("d"),)
)


@pytest.mark.parametrize("artifact", [WHOLE, Outer(0, {})])
def test_an_artifact_is_read_as_it_was_written(tmp_path, artifact):
    write_artifact(artifact, tmp_path / "new folder" / "a.json")
    assert read_artifact(Outer, tmp_path / "new folder" / "a.json") == artifact
    assert json.loads((tmp_path / "new folder" / "a.json").read_text())["version"] == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 2}, "its version is 2"),
        ({"version": None}, "it has no version"),
        ({"more": 1}, "it has the unknown more"),
        ({"one": {"name": "a"}}, "it lacks share"),
        ({"several": None}, "not iterable"),
        ({"several": [1]}, "'int' object"),
    ],
)
def test_other_content_is_refused(tmp_path, changes, why):
    path = tmp_path / "a.json"
    write_artifact(WHOLE, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError) as raised:
        read_artifact(Outer, path)
    said = str(raised.value)
    assert said.startswith(f"{path}: was written by another version of the workflow (")
    assert why in said


def test_a_result_of_this_run_is_made_again_and_one_of_an_earlier_run_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("results/reference/a.json", "earlier/results/reference/a.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text('{"version": 2}')
    with pytest.raises(InputError, match=r"version is 2\); delete it and run snakemake again$"):
        read_artifact(Outer, "results/reference/a.json")
    with pytest.raises(
        InputError, match=r"\); run the earlier run again with this version, or continue with"
    ):
        read_artifact(Outer, "earlier/results/reference/a.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"version": 3}', b"\xff"])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=r"a\.json: was written by another version of the workflow"):
        read_artifact(Outer, tmp_path / "a.json")

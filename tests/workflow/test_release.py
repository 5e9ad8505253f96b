"""The release workflow's text from the changelog, by the commands that it runs."""

import os
import re
import subprocess
import tomllib

import pytest
import yaml
from running import ROOT

CHANGELOG = """# Changelog

## [0.2.0] - 2027-01-02

### Added

- **New**: of 0.2.0.

## [0.1.0] - 2026-12-01

- of 0.1.0
"""


def write_notes(folder, tag):
    """Run the commands of the release workflow, with a gh that writes its arguments to a file."""
    release = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))
    script = next(step["run"] for step in release["jobs"]["release"]["steps"] if "run" in step)
    stand_in = "gh() { printf '%s\\n' \"$@\" > arguments; }\n"
    return subprocess.run(
        ["bash", "-e", "-c", stand_in + script],
        cwd=folder,
        env=os.environ | {"GITHUB_REF_NAME": tag},
        capture_output=True,
        text=True,
        check=False,
    )


def test_notes_are_the_versions_section(tmp_path):
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    assert write_notes(tmp_path, "v0.2.0").returncode == 0
    assert (tmp_path / "notes.md").read_text().strip() == "### Added\n\n- **New**: of 0.2.0."
    arguments = (tmp_path / "arguments").read_text().split()
    assert arguments == ["release", "create", "v0.2.0", "--title", "v0.2.0", "--notes-file", "notes.md"]
    assert write_notes(tmp_path, "v0.1.0").returncode == 0
    assert (tmp_path / "notes.md").read_text().strip() == "- of 0.1.0"


@pytest.mark.parametrize("tag", ["v0.3.0", "v0.1"])
def test_a_version_without_a_section_is_not_released(tmp_path, tag):
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    assert write_notes(tmp_path, tag).returncode != 0
    assert not (tmp_path / "arguments").exists()


def test_the_changelog_has_notes_for_the_projects_version(tmp_path):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (tmp_path / "CHANGELOG.md").write_text((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert write_notes(tmp_path, f"v{version}").returncode == 0
    assert re.search(r"^- ", (tmp_path / "notes.md").read_text(encoding="utf-8"), re.M)

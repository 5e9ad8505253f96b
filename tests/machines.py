"""Profiles and cluster answers for tests of `make doctor`, and its findings."""

from cellferry.commands.doctor.system import PROJECT

PROFILE = PROJECT / "profiles" / "slurm"
SINFO = "cpu|64000|16|(null)|2-00:00:00\ngpu|64000|16|gpu:a100:4(S:0-1)|1-00:00:00"


def profile_with(tmp_path, **values):
    text = (PROFILE / "config.yaml").read_text()
    for name, value in values.items():
        before = next(line for line in text.splitlines() if line.startswith(f"  {name}:"))
        text = text.replace(before, f"  {name}: {value}   # filled in")
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def worst(findings):
    """The one finding that is not ok."""
    (finding,) = [finding for finding in findings if finding.status != "ok"]
    return finding


def failing(findings):
    finding = worst(findings)
    assert finding.status == "FAILS"
    assert finding.remedy
    return finding

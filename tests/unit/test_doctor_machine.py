"""`make doctor`: cores and memory within the limits of control groups."""

import pytest
from cellferry.commands.doctor import machine
from cellferry.commands.doctor.system import PROJECT
from machines import PROFILE


def groups(monkeypatch, tmp_path, own, files):
    monkeypatch.setattr(machine, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "OWN_CGROUPS", tmp_path / "own")
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("own", "files"),
    [
        (
            "0::/user/me\n",
            {"user/memory.max": "1048576000", "user/me/memory.max": "max", "user/cpu.max": "150000 100000"},
        ),
        (
            "4:memory:/user/me\n2:cpu,cpuacct:/not/there\n",
            {
                "memory/user/memory.limit_in_bytes": "1048576000",
                "memory/user/me/memory.limit_in_bytes": "9223372036854771712",
                "cpu/cpu.cfs_quota_us": "150000",
                "cpu/cpu.cfs_period_us": "100000",
            },
        ),
    ],
)
def test_limits_of_a_control_group(monkeypatch, programs, tmp_path, own, files):
    groups(monkeypatch, tmp_path, own, files)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 64)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(8)))
    cores, memory = machine.check_machine(PROJECT / "profiles" / "local")
    assert cores.text == "1 of the machine's 64 are usable here"
    assert memory.status == "note"
    assert memory.text.startswith("1000 MB of the machine's")
    assert "--resources mem_mb=900" in memory.remedy


def test_no_limits(monkeypatch, programs, tmp_path):
    groups(monkeypatch, tmp_path, "0::/\n", {"cpu.max": "max 100000", "memory.max": "max"})
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(8)))
    assert machine.check_machine(PROFILE)[0].text == "8"

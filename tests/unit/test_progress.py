"""Progress: a few lines in a log for any number of steps, and a bar on a terminal."""

import itertools
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cellferry.core.progress import Progress, timed

SCRIPTS = Path(__file__).parents[2] / "scripts"

SLOW_SCRIPT = """
import sys, time
from cellferry.core import progress
from cellferry.core.logs import logged
progress.SECONDS_BETWEEN_BARS = 0
with logged(sys.argv[1]):
    step = progress.Progress("mapped", 1000)
    for _ in range(20):
        step.add(50)
        time.sleep(0.02)
    time.sleep(float(sys.argv[2]))
"""


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_a_line_tells_share_rate_and_time_left(clock, capsys):
    progress = Progress("mapped", 10_000_000, clock=clock)
    clock.now += 200
    progress.add(1_250_000)
    assert lines(capsys) == ["mapped 1,250,000 of 10,000,000 cells (12.5 %), 6,250 cells/s, 23 min left"]


def test_ten_thousand_steps_an_hour_are_a_line_every_half_minute(clock, capsys):
    progress = Progress("mapped", 10_000, clock=clock)
    for _ in range(10_000):
        clock.now += 0.36
        progress.add(1)
    found = lines(capsys)
    assert 110 <= len(found) <= 122
    assert found[0].startswith("mapped 1 of 10,000 cells (0.0 %)")
    assert found[-1] == "mapped 10,000 cells in 60 min, 2.78 cells/s"


def test_a_step_of_one_piece_is_one_line(clock, capsys):
    progress = Progress("mapped", 500, clock=clock)
    clock.now += 2
    progress.add(500)
    progress.end()
    assert lines(capsys) == ["mapped 500 cells in 2.0 s, 250 cells/s"]


def test_nothing_to_do_is_said_and_takes_no_time(clock, capsys):
    Progress("mapped", 0, clock=clock).end()
    assert lines(capsys) == ["mapped 0 cells in 0.0 s, 0 cells/s"]


def test_a_step_that_may_end_early_promises_nothing(clock, capsys):
    progress = Progress("trained on", 1000, at_most=True, clock=clock)
    clock.now += 10
    progress.add(100, "loss 5.0")
    clock.now += 40
    progress.add(400)
    clock.now += 10
    progress.end()
    assert lines(capsys) == [
        "trained on 100 of at most 1,000 cells (10.0 %), 10 cells/s, at most 2 min left; loss 5.0",
        "trained on 500 of at most 1,000 cells (50.0 %), 10 cells/s, at most 50.0 s left; loss 5.0",
        "trained on 500 cells in 1 min, 8.33 cells/s; loss 5.0",
    ]


def test_what_an_earlier_job_did_is_no_merit_of_this_one(clock, capsys):
    progress = Progress("trained on", 1000, already=800, clock=clock)
    clock.now += 10
    progress.reach(900)
    assert lines(capsys) == ["trained on 900 of 1,000 cells (90.0 %), 10 cells/s, 10.0 s left"]


@pytest.mark.parametrize("total", [None, 5])
def test_without_a_total_or_beyond_a_wrong_one_only_the_rate_is_known(clock, capsys, total):
    progress = Progress("sorted", total, "values", at_most=True, clock=clock)
    clock.now += 2
    progress.add(10)
    assert lines(capsys) == ["sorted 10 values, 5 values/s"]


def test_of_steps_that_may_be_thousands_only_long_ones_are_told(clock, capsys):
    for seconds in (5, 10):
        progress = Progress("sorted", 100, "values", only_if_long=True, clock=clock)
        for _ in range(4):
            clock.now += seconds
            progress.add(25)
        told = lines(capsys)
        assert [line.split(",")[0] for line in told] == (
            [] if seconds == 5 else ["sorted 75 of 100 values (75.0 %)", "sorted 100 values in 40.0 s"]
        )


def test_a_step_without_parts_tells_its_time(capsys):
    with timed("linear model"):
        pass
    assert lines(capsys) == ["linear model", "linear model: 0.0 s"]


COMMAND = """
from cellferry.core import progress
progress.SECONDS_BETWEEN_BARS = 0
with progress.watched(2, "logs/lung@1.0.log"):
    step = progress.Progress("fetched", 10, "MB")
    step.add(4)
    step.add(1)
    progress.print_line("dropped")
"""


def start(folder, terminal, *, number=0, seconds=0.0, term="xterm"):
    """A script whose stderr is a terminal, as Snakemake starts it."""
    log = f"logs/map_query/patients/{number}.log"
    (folder / log).parent.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-c", SLOW_SCRIPT, log, str(seconds)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS), "TERM": term},
        stderr=terminal,
    )


def shown(folder, **how):
    """The output of a script on its terminal."""
    reader, terminal = pty.openpty()
    script = start(folder, terminal, **how)
    script.wait()
    os.close(terminal)
    text = b""
    while True:
        try:
            text += os.read(reader, 1 << 16)
        except OSError:  # the other end is closed
            break
    os.close(reader)
    return text.decode()


def test_a_terminal_gets_a_bar_that_is_gone_at_the_end(tmp_path):
    text = shown(tmp_path)
    assert re.search(
        r"\rmap_query/patients/0 \[#{10}\.{10}\] 50 %, 0\.\d s left, [\d,]+ cells/s\x1b\[K\r", text
    )
    assert "\n" not in text
    assert text.endswith("\r\x1b[K")
    log = (tmp_path / "logs/map_query/patients/0.log").read_text()
    assert "#" not in log
    assert len(log.splitlines()) == 3  # first, last, memory
    assert re.search(r"^mapped 1,000 cells in 0\.\d s, [\d,]+ cells/s$", log, re.M)


def test_a_bar_is_no_wider_than_the_terminal(tmp_path):
    # The width of a new pseudo-terminal is 0; 80 is used.
    bars = re.findall(r"\r([^\r\x1b]+)\x1b\[K", shown(tmp_path))
    assert bars
    assert max(map(len, bars)) <= 79


def test_a_terminal_that_cannot_move_its_cursor_gets_none(tmp_path):
    assert shown(tmp_path, term="dumb") == ""


def test_of_several_jobs_one_at_a_time_draws(tmp_path):
    reader, terminal = pty.openpty()
    scripts = [start(tmp_path, terminal, number=number) for number in range(3)]
    for script in scripts:
        assert script.wait() == 0
    os.close(terminal)
    text = os.read(reader, 1 << 20).decode()
    os.close(reader)
    owners = re.findall(r"patients/(\d) \[", text)
    changes = sum(owner != following for owner, following in itertools.pairwise(owners))
    assert changes == len(set(owners)) - 1


def test_lines_of_a_command_wipe_its_bar_away():
    """A command has no log: lines and bar are on one terminal."""
    reader, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "TERM": "xterm"}
    subprocess.run(
        [sys.executable, "-c", COMMAND], env=environment, stdout=terminal, stderr=terminal, check=True
    )
    os.close(terminal)
    text = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert "\rlung@1.0 [##########..........] 50 %, " in text
    assert "\x1b[K\rdropped\x1b[K\r\n" in text

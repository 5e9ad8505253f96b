"""Progress of a long step in a log."""

import re


def tells_progress(log: str, done: str) -> bool:
    """True if a log has a step's progress, speed and remaining time, and a line at its end."""
    on_the_way = (
        rf"^{done} [\d,]+ of (at most )?[\d,]+ [\w ]+ \(\d+\.\d %\), "
        r"[\d,.]+ [\w ]+/s, (at most )?\d[\w. ]* left"
    )
    at_the_end = rf"^{done} [\d,]+ [\w ]+ in \d[\w. ]*, [\d,.]+ [\w ]+/s"
    return bool(re.search(on_the_way, log, re.M) and re.search(at_the_end, log, re.M))

"""What a log must tell of a long step."""

import re


def tells_progress(log: str, done: str) -> bool:
    """Whether a log tells how far a step is, how fast it goes and what is left, and the same at the end."""
    on_the_way = (
        rf"^{done} [\d,]+ of (at most )?[\d,]+ [\w ]+ \(\d+\.\d %\), "
        r"[\d,.]+ [\w ]+/s, (at most )?\d[\w. ]* left"
    )
    at_the_end = rf"^{done} [\d,]+ [\w ]+ in \d[\w. ]*, [\d,.]+ [\w ]+/s"
    return bool(re.search(on_the_way, log, re.M) and re.search(at_the_end, log, re.M))

"""Names in the configuration that match nothing in the data, so that their keys have no effect."""

from collections.abc import Iterable

from ..labels.names import closest

MAX_SAID = 10


def unused_names(
    named: dict[str, bool], *, key: str, what: str, known: Iterable[str] = ()
) -> tuple[list[str], list[str]]:
    """Problems and warnings of names that match nothing.

    Parameters
    ----------
    named
        The configured names, each with whether it was found.
    key
        Configuration key of the names.
    what
        Noun for messages: the kind of thing named, such as `label of a dataset`.
    known
        Existing names, for suggestions.

    Returns
    -------
    Problems (one if all names are unused) and warnings (one if some are).
    """
    unused = [name for name, is_found in named.items() if not is_found]
    if not unused:
        return [], []
    known = list(known)
    listed = [_with_hint(name, known) for name in unused[:MAX_SAID]]
    if len(unused) > MAX_SAID:
        listed.append(f"{len(unused) - MAX_SAID} more")
    if len(unused) < len(named):
        return [], [f"{key}: {len(unused)} of {len(named)} names fit no {what}: {', '.join(listed)}"]
    return [f"{key}: fits no {what}: {', '.join(listed)}; correct it or take it out"], []


def _with_hint(name: str, known: list[str]) -> str:
    like = closest(name, known)
    return f"'{name}' (did you mean '{like}'?)" if like and like != name else f"'{name}'"

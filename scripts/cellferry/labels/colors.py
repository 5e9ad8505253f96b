"""One color per label, the same in every figure and in every file of a reference's queries.

Okabe and Ito's colors (2008), then Paul Tol's, chosen for color-blind readers. Further labels get lighter and
darker shades of the same colors.
"""

from .hierarchy import LabelHierarchy
from .vocabulary import UNKNOWN

PALETTE = [
    "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#332288", "#999933",
    "#882255", "#44AA99", "#B8A400", "#AA4499", "#117733", "#661100", "#6699CC", "#DDAA99",
    "#004488", "#88CC66", "#AA7744", "#BB5566",
]  # fmt: skip
SHADES = [0.0, 0.45, -0.4, 0.7, -0.65]
"""Share of white mixed in, or of black where negative, round by round of the palette."""
UNKNOWN_COLOR = "#222222"
REFERENCE_COLOR = "#B5B5B5"


def colors_of(sizes: dict[str, int], hierarchy: LabelHierarchy) -> dict[str, str]:
    """Color (`#RRGGBB`) by label of any level, and of `unknown`.

    Parameters
    ----------
    sizes
        Number of cells of each label of the reference. Those of most cells come first, the coarser ones last;
        queries have no influence, so that colors are the same for all of them.
    hierarchy
        The coarser labels above them.
    """
    ordered = _by_size(sizes)
    for level in hierarchy.levels:
        coarser: dict[str, int] = {}
        for label in hierarchy.nodes:
            node = hierarchy.node(label, level)
            coarser[node] = coarser.get(node, 0) + sizes.get(label, 0)
        ordered += [label for label in _by_size(coarser) if label not in ordered]
    return assign_colors(ordered) | {UNKNOWN: UNKNOWN_COLOR}


def assign_colors(names: list[str]) -> dict[str, str]:
    """Colors by name, the first of the palette to the first of `names`."""
    return {
        name: _shade(PALETTE[n % len(PALETTE)], SHADES[n // len(PALETTE) % len(SHADES)])
        for n, name in enumerate(names)
    }


def _by_size(sizes: dict[str, int]) -> list[str]:
    return sorted(sizes, key=lambda name: (-sizes[name], name))


def _shade(color: str, share: float) -> str:
    towards = 255 if share > 0 else 0
    channels = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    mixed = (round(channel + (towards - channel) * abs(share)) for channel in channels)
    return "#" + "".join(f"{channel:02X}" for channel in mixed)

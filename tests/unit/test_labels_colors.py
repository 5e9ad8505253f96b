"""Colors of labels: the largest first, and a color of its own for each."""

from cellferry.labels.colors import PALETTE, UNKNOWN_COLOR, assign_colors, colors_of
from example_artifacts import hierarchy_of


def test_the_largest_label_of_the_reference_gets_the_first_color():
    colors = colors_of({"B": 10, "T": 200, "NK": 10}, hierarchy_of(["B", "NK", "T"]))
    assert colors == {"T": PALETTE[0], "B": PALETTE[1], "NK": PALETTE[2], "unknown": UNKNOWN_COLOR}


def test_coarser_labels_follow_and_keep_the_color_of_a_finer_one_of_the_same_name():
    levels = {"level_1": {"CD4": "T", "CD8": "T", "B": "B"}}
    colors = colors_of({"CD4": 3, "CD8": 2, "B": 1}, hierarchy_of(["B", "CD4", "CD8"], levels))
    assert list(colors) == ["CD4", "CD8", "B", "T", "unknown"]


def test_a_hundred_labels_have_colors_of_their_own():
    colors = assign_colors([str(n) for n in range(100)])
    assert len(set(colors.values())) == 100
    assert all(len(color) == 7 and int(color[1:], 16) >= 0 for color in colors.values())

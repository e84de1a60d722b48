"""The bones of a figure, and which hangs from which."""

BONES = (
    "pelvis",
    "chest",
    "neck",
    "head",
    "left_arm",
    "right_arm",
    "left_forearm",
    "right_forearm",
    "left_hand",
    "right_hand",
    "left_thigh",
    "right_thigh",
    "left_shin",
    "right_shin",
    "left_foot",
    "right_foot",
    "tail",
)
"""Bones from the root outwards: a parent always comes before its children."""

PARENT = (-1, 0, 1, 2, 1, 1, 4, 5, 6, 7, 0, 0, 10, 11, 12, 13, 0)

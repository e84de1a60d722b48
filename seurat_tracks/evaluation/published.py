"""Rows that the paper prints, to stand beside ours.

*Seurat: From Moving Points to Depth*, CVPR 2025, arXiv 2504.14687; TAPVid-3D minival.
"""

from __future__ import annotations

from typing import NamedTuple

PAPER = "Seurat, CVPR 2025, arXiv 2504.14687"
FACTOR = 3.0
"""The paper's 3D-AJ over that of its density formula: 18.0 / 6.0 (Table 4)."""


class Published(NamedTuple):
    """One printed row.

    Attributes
    ----------
    table, depth, tracker
        Where it stands, and what was combined.
    aria, drivetrack, pstudio, average
        "3D-AJ / APD / TC", the first two in per cent; a dash is one that is not given.
    """

    table: str
    depth: str
    tracker: str
    aria: str
    drivetrack: str
    pstudio: str
    average: str


def _rows(table: str, text: str) -> list[Published]:
    """Read lines of depth | tracker | four times AJ/APD/TC."""
    rows = []
    for line in text.strip().splitlines():
        depth, tracker, *scores = (part.strip() for part in line.split("|"))
        rows.append(
            Published(table, depth, tracker, *(s.replace("/", " / ") for s in scores))
        )
    return rows


PER_TRAJECTORY = _rows(
    "Table 1",
    """
    oracle depth|CoTracker|55.9/70.3/–|53.2/71.7/–|46.9/65.0/–|52.0/69.0/–
    TAPIR-3D|–|8.5/14.9/–|10.2/17.0/–|7.2/13.1/–|8.6/15.0/–
    ZoeDepth|oracle|19.1/28.6/.05|10.8/17.4/1.27|15.5/24.3/.05|15.1/23.4/.46
    ZoeDepth|CoTracker|16.5/25.5/.06|9.5/16.2/1.34|11.8/20.4/.05|12.6/20.7/.48
    ZoeDepth|LocoTrack|15.7/25.4/.06|10.0/16.3/1.33|11.8/20.1/.04|12.5/20.6/.48
    Depth Pro|oracle|13.4/21.3/.14|6.7/12.0/3.72|8.9/15.3/.16|9.7/16.2/1.34
    Depth Pro|CoTracker|11.3/18.7/.16|5.4/10.5/3.87|6.7/12.7/.16|7.8/14.0/1.40
    Depth Pro|LocoTrack|10.8/18.6/.15|5.6/10.3/4.18|6.7/12.5/.17|7.7/13.8/1.50
    DepthCrafter|oracle|17.5/27.1/.02|9.8/16.4/.75|13.8/22.6/.03|13.7/22.0/.26
    DepthCrafter|CoTracker|15.1/24.3/.04|8.4/15.2/.98|11.1/19.5/.03|11.5/19.7/.35
    DepthCrafter|LocoTrack|13.9/23.5/.03|8.8/15.1/.95|11.0/19.3/.03|11.2/19.3/.34
    ChronoDepth|oracle|12.3/18.7/.22|7.1/12.7/3.94|3.5/6.5/.33|7.6/12.6/1.50
    ChronoDepth|CoTracker|11.0/17.8/2.37|6.1/11.7/7.43|3.0/5.9/.37|6.7/11.8/3.39
    ChronoDepth|LocoTrack|10.5/17.6/.23|6.4/11.6/1.49|3.0/5.9/.38|6.6/11.7/.70
    Seurat|CoTracker|25.1/36.9/.01|11.6/20.4/.15|17.3/28.5/.01|18.0/28.6/.05
    Seurat|LocoTrack|24.1/34.6/.08|12.7/20.4/.55|17.4/27.6/.07|18.1/27.4/.23
    """,
) + _rows(
    "Table 4",
    """
    density formula|CoTracker|8.6/15.2/–|5.3/10.4/–|4.2/8.1/–|6.0/11.2/–
    """,
)
"""One factor a track; Table 4 is read as of the same protocol, as its Seurat row is."""

AFFINE = _rows(
    "Table 2",
    """
    DepthCrafter|oracle|9.5/15.1/.016|9.6/15.2/.484|13.4/21.1/.015|10.8/17.1/.172
    DepthCrafter|CoTracker|7.4/12.2/.041|7.2/12.3/.594|9.3/16.4/.015|8.0/13.6/.217
    DepthCrafter|LocoTrack|6.7/12.2/.030|7.0/11.5/.584|8.2/14.5/.017|7.3/12.7/.210
    ChronoDepth|oracle|12.3/18.7/.033|8.0/13.3/.913|11.8/18.9/.020|10.7/17.0/.322
    ChronoDepth|CoTracker|10.1/15.9/.045|6.7/11.9/.895|8.6/15.4/.020|8.5/14.4/.320
    ChronoDepth|LocoTrack|9.4/15.7/.044|6.2/10.7/.888|8.3/14.7/.022|8.0/13.7/.318
Seurat + ZoeDepth|CoTracker|11.3/18.0/.012|7.5/12.9/.244|11.4/19.2/.012|10.1/16.7/.089
Seurat + ZoeDepth|LocoTrack|10.7/16.7/.086|7.6/12.3/.567|10.4/16.8/.069|9.6/15.3/.241
Seurat + Depth Pro|CoTracker|15.1/22.5/.012|8.4/13.9/.219|12.5/20.5/.013|12.0/19.0/.081
Seurat + Depth Pro|LocoTrack|14.5/21.4/.086|8.7/13.5/.551|12.0/18.8/.070|11.7/17.9/.236
    """,
)
"""One factor and one shift of depth a video."""

SMOOTHING = _rows(
    "Table 6",
    """
    ZoeDepth|CoTracker|9.8/15.8/–|7.2/12.3/–|10.2/17.9/–|–
    ZoeDepth, smoothed once|CoTracker|4.8/8.6/–|6.3/11.1/–|7.7/14.1/–|–
    ZoeDepth, smoothed three times|CoTracker|4.4/8.0/–|6.0/10.7/–|7.4/13.6/–|–
    Seurat|CoTracker|14.6/21.9/–|6.9/11.8/–|12.7/20.7/–|–
    """,
)
"""The paper does not say how Table 6 is scaled; it fits neither of the other two."""

BY_SCALING = {"per_trajectory": PER_TRAJECTORY, "affine": AFFINE, "median": SMOOTHING}
"""What to show beside a scaling of ours. Table 6 beside the median is a guess."""

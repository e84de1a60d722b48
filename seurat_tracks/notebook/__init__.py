"""Pictures of tracks for notebooks, papers and the command line."""

from __future__ import annotations

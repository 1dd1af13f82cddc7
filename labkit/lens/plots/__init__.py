"""Figures for lessons: legible on a projector, told apart by colour-blind readers, with a text beside them.

Each function returns a Drawing, which a cell shows as a picture and, where there are no pictures, as text.
The text is the figure's alternative for who cannot see it, and what a strict comparison of notebooks
compares: it holds no measured times. Matplotlib is loaded when something is drawn, and without its window
machinery.
"""

from labkit.lens.plots.cascade import waterfall
from labkit.lens.plots.drawing import PALETTE, Drawing
from labkit.lens.plots.graph import Topology, topology
from labkit.lens.plots.history import history
from labkit.lens.plots.levels import levels
from labkit.lens.plots.measured import comparison, latencies, requests_along_time, throughput
from labkit.lens.plots.slider import slider
from labkit.lens.plots.squares import outcomes
from labkit.lens.plots.timeline import bars, states

__all__ = [
    "PALETTE",
    "Drawing",
    "Topology",
    "bars",
    "comparison",
    "history",
    "latencies",
    "levels",
    "outcomes",
    "requests_along_time",
    "slider",
    "states",
    "throughput",
    "topology",
    "waterfall",
]

"""A running system made visible: its calls observed, its answers under load, and figures."""

from labkit.lens import plots

__all__ = ["plots"]

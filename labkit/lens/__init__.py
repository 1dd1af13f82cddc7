"""What makes a running system visible: figures that lessons draw from what was measured."""

from labkit.lens import plots

__all__ = ["plots"]

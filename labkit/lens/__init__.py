"""What makes a running system visible: its calls observed, its answers under load, and figures of both."""

from labkit.lens import plots

__all__ = ["plots"]

"""The notebook's face of labkit: with %load_ext labkit, cells of any Flask or aiohttp tutorial just run."""

from __future__ import annotations

from labkit.kernel.extension import load, unload

__all__ = ["load", "unload"]

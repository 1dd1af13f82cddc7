"""Headings' anchors, in a module of their own: Sphinx's settings may name a function and not hold it."""


def as_in_jupyterlab(title: str) -> str:
    """Return the anchor that JupyterLab gives a heading: links within a lesson are written for it."""
    return title.replace(" ", "-")

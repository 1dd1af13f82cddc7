"""labkit: servers that live in the background of a notebook's kernel."""

"""Look at a notebook: run it in JupyterLab and take pictures of it from top to bottom.

    python tests/browser/shot.py notebooks/01_service_discovery.ipynb out_dir [--as-is]

`--as-is` shows the outputs that are in the file and runs nothing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from lab import FOR_PICTURES, NO_NEWS, Lab, browser_context, errors_in, find_chromium, jupyterlab, not_run


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--as-is", action="store_true")
    parser.add_argument("--width", type=int, default=1100)
    options = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        print("no Chromium or Chrome found", file=sys.stderr)
        return 1
    if not options.notebook.is_file():
        parser.error(f"no such notebook: {options.notebook}")
    options.out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name, "work")
        # The whole folder, as a notebook may read what lies beside it, and a copy, as running it may write.
        shutil.copytree(options.notebook.resolve().parent, work)
        with (
            jupyterlab(work, Path(name, "home"), NO_NEWS | FOR_PICTURES) as address,
            browser_context(chromium, width=options.width, height=1000) as browser,
        ):
            lab = Lab(browser.new_page(), address)
            lab.open(options.notebook.name, alone=True)
            if not options.as_is:
                lab.run_all(timeout=180)
            for shot in lab.scroll_through(options.out_dir, options.notebook.stem):
                print(shot)
            cells = lab.cells()
            wrong = errors_in(cells) + [f"cell {number} did not run" for number in not_run(cells)]
            print(*wrong, sep="\n", file=sys.stderr)
            return bool(wrong and not options.as_is)


if __name__ == "__main__":
    sys.exit(main())

# lab · test · build · bench · lint. Works with GNU make 3.81 (macOS) and any POSIX shell.
#
# A first run makes .venv and installs the versions that constraints.txt names; the stamp .venv/.ready says
# that this is done, so that every later run needs no network.

READY := .venv/.ready
PEERS := .venv/peers
PY := .venv/bin/python
ARGS ?=

# The stamp holds the folder it was made in: an editable install points at that folder by name, so a project
# that was moved or copied together with its .venv has to be installed anew.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

.PHONY: help lab test build bench lint constraints clean

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*##\(.*\)/make \1	\2/p' Makefile

lab: $(READY)  ## open the course in JupyterLab (ARGS="--no-browser --port=8899" passes on)
	$(PY) -m labkit lab $(ARGS)

test: $(READY)  ## unit tests, every notebook cell by cell, JupyterLab in a browser (ARGS="-k journal")
	$(PY) -m pytest tests notebooks --nbval --nbval-current-env --nbval-cell-timeout=60 \
	    --nbval-sanitize-with=tests/sanitize.cfg $(ARGS)

build: $(READY)  ## execute the masters, make and execute the learner edition (ARGS="00_inicio" for one)
	$(PY) -m labkit build $(ARGS)

bench: $(READY) $(PEERS)/.ready  ## measure against peers, side by side (ARGS="peers" for one section)
	$(PY) tests/bench/run.py $(ARGS)

lint: $(READY)  ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

constraints:  ## compile constraints.txt anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --upgrade --no-annotate --no-header \
	    --quiet --output-file constraints.txt

clean:  ## remove .venv and what the tools leave behind
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The candidates are asked for their version, not trusted by their name: a shim may exist and fail.
$(READY): pyproject.toml constraints.txt
	@set -e; suits() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then uv=yes; else uv=; fi; \
	if ! suits $(PY); then \
	    python=; \
	    for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3 python python3.14; do \
	        if suits "$$candidate"; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "No Python 3.11 or newer found. Install one from python.org or with your system's" \
	            "packages, or name it: make $(firstword $(MAKECMDGOALS) lab) PYTHON=/path/to/python3" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making .venv with $$("$$python" --version)"; \
	    rm -rf .venv; \
	    if [ -n "$$uv" ]; then uv venv --quiet --seed --no-python-downloads --python \
	        "$$("$$python" -c 'import sys; print(sys.executable)')" .venv; \
	    elif ! "$$python" -m venv .venv; then \
	        rm -rf .venv; \
	        echo "This Python cannot make a virtual environment." \
	            "On Debian and Ubuntu: sudo apt install python3-venv" >&2; \
	        exit 1; \
	    fi; \
	fi; \
	echo "Installing the versions of constraints.txt: a few minutes, once; later runs need no network"; \
	if [ -n "$$uv" ]; then uv pip install --quiet --python $(PY) -c constraints.txt -e '.[course,dev]'; \
	else $(PY) -m pip install --quiet -c constraints.txt -e '.[course,dev]'; fi
	@echo '$(CURDIR)' > $(READY)

# The extra `bench` alone, beside the environment and not in it. Without a network the bench runs all the same and
# says who is missing.
$(PEERS)/.ready: pyproject.toml constraints.txt | $(READY)
	@peers=$$($(PY) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    print(*project["optional-dependencies"]["bench"])'); \
	echo "Installing the peers of the bench: $$peers"; \
	rm -rf $(PEERS); \
	if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then \
	    uv pip install --quiet --python $(PY) --target $(PEERS) -c constraints.txt $$peers; \
	else $(PY) -m pip install --quiet --target $(PEERS) -c constraints.txt $$peers; fi \
	&& touch $@ || echo "They could not be installed" >&2

# lab · hub · test · soak · lowest · mutants · build · site · bench · package · lint. Works with GNU make 3.81
# (macOS) and any POSIX shell.
#
# A first run makes .venv and installs the versions that constraints.txt names: the course alone for `lab`, what
# tests need besides for all else. The stamps .venv/.course and .venv/.ready say that this is done, so that every
# later run needs no network. Where .venv is of another version than the PYTHON that is named, .venv-3.12 (or so)
# is made beside it.

VENV := .venv
ifdef PYTHON
VERSION := $(shell $(PYTHON) -c 'import sys; sys.version_info < (3, 11) or print("%d.%d" % sys.version_info[:2])')
ifeq ($(VERSION),)
$(error PYTHON=$(PYTHON) is not a Python 3.11 or newer that runs)
endif
OWN := $(shell $(VENV)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifneq ($(OWN),)
ifneq ($(OWN),$(VERSION))
VENV := .venv-$(VERSION)
endif
endif
endif

COURSE := $(VENV)/.course
READY := $(VENV)/.ready
PEERS := $(VENV)/peers
GRADING := $(VENV)/grading
SITE := $(VENV)/site
HUB := $(VENV)/hub
PY := $(VENV)/bin/python
TESTS ?= tests notebooks
CLASS ?= ../clase
ARGS ?=
UV := $(shell uv --version 2>/dev/null)
install = $(if $(UV),uv pip install --quiet --python $(1),$(1) -m pip install --quiet) -c constraints.txt
INSTALL := $(call install,$(PY))

# The stamp holds the folder it was made in: an editable install points at that folder by name, so a project
# that was moved or copied together with its .venv has to be installed anew.
ifneq ($(shell cat $(COURSE) 2>/dev/null),$(CURDIR))
.PHONY: $(COURSE)
endif

.PHONY: help lab hub test soak lowest mutants build site bench package lint constraints clean

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*##\(.*\)/make \1	\2/p' Makefile

lab: $(COURSE)  ## open the course in JupyterLab (ARGS="--no-browser --port=8899" passes on)
	$(PY) -m labkit lab $(ARGS)

hub: $(HUB)/.ready  ## JupyterHub for a class (CLASS: the folder that has estudiantes.txt; docs/hub.md)
	cd $(CLASS) && $(CURDIR)/$(HUB)/bin/jupyterhub -f $(CURDIR)/deploy/hub/jupyterhub_config.py $(ARGS)

test: $(READY)  ## unit tests, every notebook cell by cell, JupyterLab in a browser (ARGS="-k journal")
	$(PY) -m pytest $(TESTS) -m "not soak" -n 4 --dist loadfile --no-loadscope-reorder \
	    --nbval --nbval-current-env --nbval-cell-timeout=60 --nbval-sanitize-with=tests/sanitize.cfg $(ARGS)

soak: $(READY) $(GRADING)/.ready $(SITE)/.ready $(HUB)/.ready  ## endurance at full length: a quarter of an hour
	$(PY) -m pytest tests -m soak -n 2 --maxschedchunk=1 $(ARGS)

lowest: $(COURSE)  ## unit tests with the lowest versions that pyproject.toml declares (needs uv)
	uv venv --quiet --clear --python $(PY) $(VENV)/lowest
	uv pip install --quiet --python $(VENV)/lowest/bin/python --resolution lowest-direct -e '.[course,dev]'
	$(VENV)/lowest/bin/python -m pytest tests/servers tests/kernel tests/lens tests/exercises tests/patterns \
	    -m "not soak" -n 2 --dist loadfile $(ARGS)

mutants: $(READY)  ## change every small thing of each model answer, and see it refused (ARGS="BH-7" for one)
	$(PY) tests/mutants.py $(ARGS)

build: $(READY)  ## execute the masters, make and execute the learner edition (ARGS="00_inicio" for one)
	$(PY) -m labkit build $(ARGS)

site: $(SITE)/.ready  ## make the web site of the executed lessons, in build/site (needs Chromium or Chrome)
	$(SITE)/bin/python docs/site/build.py build/site $(ARGS)

bench: $(READY) $(PEERS)/.ready  ## measure against peers, side by side (ARGS="peers" for one section)
	$(PY) tests/bench/run.py $(ARGS)

package: $(READY)  ## make labkit's wheel and source archive, in dist
	$(PY) -m hatchling build $(ARGS)

lint: $(READY)  ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

constraints:  ## compile constraints.txt anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras --universal --upgrade --no-annotate --no-header \
	    --quiet --output-file constraints.txt

clean:  ## remove .venv and what the tools leave behind
	rm -rf .venv .venv-3* .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The candidates are asked for their version, not trusted by their name: a shim may exist and fail.
$(COURSE): pyproject.toml constraints.txt
	@set -e; suits() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }; \
	uv="$(UV)"; if ! suits $(PY); then \
	    python=; \
	    for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3 python python3.14; do \
	        if suits "$$candidate"; then python=$$candidate; break; fi; \
	    done; \
	    if [ -z "$$python" ]; then \
	        echo "No Python 3.11 or newer found. Install one from python.org or with your system's" \
	            "packages, or name it: make $(firstword $(MAKECMDGOALS) lab) PYTHON=/path/to/python3" >&2; \
	        exit 1; \
	    fi; \
	    echo "Making $(VENV) with $$("$$python" --version)"; \
	    rm -rf $(VENV); \
	    if [ -n "$$uv" ]; then uv venv --quiet --seed --no-python-downloads --python \
	        "$$("$$python" -c 'import sys; print(sys.executable)')" $(VENV); \
	    elif ! "$$python" -m venv $(VENV); then \
	        rm -rf $(VENV); \
	        echo "This Python cannot make a virtual environment." \
	            "On Debian and Ubuntu: sudo apt install python3-venv" >&2; \
	        exit 1; \
	    fi; \
	fi; \
	echo "Installing the versions of constraints.txt: a few minutes, once; later runs need no network"; \
	$(INSTALL) -e '.[course]'
	@echo '$(CURDIR)' > $(COURSE)

$(READY): $(COURSE)
	@echo "Installing what the tests need besides"
	@$(INSTALL) -e '.[course,dev]'
	@touch $(READY)

# Without a network the other tests run all the same.
$(GRADING)/.ready: $(COURSE)
	@echo "Installing nbgrader"; rm -rf $(GRADING); \
	$(if $(UV),uv venv --quiet --python $(PY),$(PY) -m venv) $(GRADING) && \
	$(call install,$(GRADING)/bin/python) -e '.[course,grading]' && touch $@ || echo "It could not be installed" >&2

$(SITE)/.ready: $(COURSE)
	@echo "Installing Sphinx"; rm -rf $(SITE); \
	$(if $(UV),uv venv --quiet --python $(PY),$(PY) -m venv) $(SITE) && \
	$(call install,$(SITE)/bin/python) -e '.[course,site]' && touch $@ || echo "It could not be installed" >&2

# JupyterHub's proxy is a package of npm's; without npm the other tests run all the same.
$(HUB)/.ready: $(COURSE)
	@echo "Installing JupyterHub and its proxy"; rm -rf $(HUB); \
	$(if $(UV),uv venv --quiet --python $(PY),$(PY) -m venv) $(HUB) && \
	$(call install,$(HUB)/bin/python) -e '.[course,hub]' && \
	npm install --silent --no-audit --no-fund --prefix $(HUB) configurable-http-proxy@5.3.0 && \
	touch $@ || echo "It could not be installed" >&2

# The extra `bench` alone, beside the environment and not in it. Without a network the bench runs all the same and
# says who is missing.
$(PEERS)/.ready: pyproject.toml constraints.txt | $(READY)
	@peers=$$($(PY) -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	    print(*project["optional-dependencies"]["bench"])'); \
	echo "Installing the peers of the bench: $$peers"; \
	rm -rf $(PEERS); \
	$(INSTALL) --target $(PEERS) $$peers \
	&& touch $@ || echo "They could not be installed" >&2

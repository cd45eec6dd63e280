# Each target is enough by itself on a fresh machine with Python 3.10 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Two files at a time, for many tests wait more than they work; in the order of tests/conftest.py, in
# which the longest come first.
# tests/conftest.py brings nbval, two seconds faster.
PARALLEL := -p no:nbval --numprocesses=2 --dist=loadfile --no-loadscope-reorder
# What the group `test` is enough for.
TEST_GROUP := -m pytest --nbval -m "not dev" $(PARALLEL)
# Three at a time, or it would be at work when all other runs have ended.
EVERYTHING = --nbval $(PARALLEL) --numprocesses=3 tests notebooks --ignore $(CLIENTS_NOTEBOOK)
# What a version of Python may change shows in the quick tests of these: threads and loops, how
# a fork and an interpreter end, sockets, tracebacks and warnings, syntax trees and tokens, patterns and
# streams, argparse, paths, pickles, terminals, and how little an import brings. All else is the same
# Python in each of them, and is tried by test-main.
EVERY_PYTHON := -m pytest --nbval -m "not dev and not slow" $(PARALLEL)
VERSIONS_TESTS := tests/bulk/test_meetings.py tests/notebook/test_samples_cells.py \
	tests/notebook/test_samples_untouched.py tests/redaction/test_masking.py \
	tests/audit/test_corpus.py tests/audit/test_files.py tests/bridge/test_broker.py \
	tests/bridge/test_http1.py tests/bridge/test_http2.py tests/bulk/test_saving.py \
	tests/client/test_aio_channel.py tests/client/test_auth_warnings.py tests/client/test_ownership.py \
	tests/client/test_threads.py tests/notebook/test_after_the_end.py tests/notebook/test_arguments.py \
	tests/notebook/test_exposure.py tests/notebook/test_magics.py tests/notebook/test_samples.py \
	tests/notebook/test_samples_show.py tests/notebook/test_xmode.py tests/redaction/test_guard.py \
	tests/redaction/test_leaks.py tests/sandbox/test_end.py tests/sandbox/test_server.py \
	tests/test_logging.py tests/test_overlay.py tests/test_package.py tests/test_terminals.py \
	notebooks/quickstart.ipynb
VERSIONS_PROCESSES := tests/processes/test_forks.py tests/processes/test_workers.py
CLIENTS_NOTEBOOK := notebooks/clients.ipynb
# Those of docs/words.txt that are more than a word, the longest of each beginning first.
PHRASES = $(shell sed -n 's/\(.* .*\)->.*/\1/p' docs/words.txt | sort -r | sed 's/.*/\\b&\\b/' | paste -sd'|' -)
# What depends on the versions of IPython, ipykernel, ipywidgets or gRPC.
COLAB_TESTS := tests/colab tests/client/test_aio_channel.py tests/client/test_auth_warnings.py \
	tests/client/test_channel.py tests/credentials/sources/test_chain.py \
	tests/credentials/sources/test_hosted.py tests/credentials/sources/test_keyring.py tests/notebook/test_form.py \
	tests/notebook/test_kernel.py tests/notebook/test_magics.py tests/notebook/test_samples.py \
	tests/notebook/test_terminal.py tests/redaction/test_guard.py tests/redaction/test_leaks.py \
	tests/test_package.py \
	notebooks/colab.ipynb notebooks/quickstart.ipynb notebooks/troubleshooting.ipynb
# That each layer is needed, and that each REST client is known; one version of IPython shows it.
ONLY_HERE := tests/redaction/test_leaks.py::test_without_a_layer_its_places_show_the_key \
	tests/notebook/test_samples.py::test_rest_samples_reach_the_sessions_deployment
# What depends on the versions of everything else that is installed with the package.
OLDEST_TESTS := tests/client/test_aio_channel.py tests/client/test_auth_warnings.py \
	tests/client/test_channel.py tests/client/test_retries.py tests/client/test_session.py \
	tests/test_package.py notebooks/quickstart.ipynb

# Where tests of hosts or engines are.
HOSTS := $(if $(wildcard tests/hosts/test_*.py),test-hosts)
ENGINES := $(if $(wildcard tests/engines/test_*.py),test-engines)

define ABOUT_TEST
make test runs everything, two targets at a time, and shows what each says once it has ended:
all tests here; forks and processes; other people's clients; with what Colab
ships; with the oldest dependencies; other scanners$(and $(HOSTS),; hosts of notebooks)$(and $(ENGINES),; clusters).
It takes about 10 minutes on two cores. The first time pip installs 2 GB into .venv and .venv-*, which
takes ten more. `make quick` tells in a minute whether something is broken.
endef
ifneq ($(filter test,$(MAKECMDGOALS)),)
$(info $(ABOUT_TEST))
$(if $(wildcard /usr/bin/chromium),,$(info Chromium is missing, and with it the tests in a browser: see .ci/packages.))
$(info )
endif

.PHONY: demo test quick coverage test-main test-processes test-clients test-colab test-engines test-hosts \
	test-oldest test-scanners test-versions lint docs dist dependencies prereleases troubleshooting \
	screenshots bench lab clean
.SECONDARY:  # an environment made on the way to another target is kept

# The runs of the tests, and what is asked for beside them, go two at a time.
ifneq ($(filter test test-versions,$(MAKECMDGOALS)),)
MAKEFLAGS += --jobs=2 --output-sync
endif

# .ci/run tells how long each target took.
ifdef TIMES
SHELL := .ci/timed
.SHELLFLAGS = $@ -c
endif

demo: .venv/demo  ## sign a real kernel in to the sandbox and print the quickstart cell by cell
	$(BIN)/python notebooks/run.py notebooks/quickstart.ipynb

# Those that take longest first.
test: test-main $(HOSTS) $(ENGINES) test-clients test-colab test-processes test-scanners test-oldest  ## everything

test-main: .venv/dev
	$(BIN)/python -m pytest $(EVERYTHING)

# Takes twice as long as test-main, so it has a target of its own.
coverage: .venv/dev  ## what test-main covers; fails below the share in pyproject.toml
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(EVERYTHING)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

quick: .venv/dev  ## in a minute, whether something is broken
	$(BIN)/python -m pytest -m "not slow" $(PARALLEL)

test-processes: .venv/dev
	$(BIN)/python -m pytest $(PARALLEL) tests/processes

# Whatever else users call Clarifai with.
test-clients: .venv-clients/clients
	.venv-clients/bin/python -m pytest --nbval $(PARALLEL) tests/clients $(CLIENTS_NOTEBOOK)

# Every place where notebooks live: JupyterLab is in tests/browser, the others are here.
test-hosts: .venv-hosts/hosts
	.venv-hosts/bin/python -m pytest $(PARALLEL) tests/hosts

# Whatever spreads a map over a cluster.
test-engines: .venv-engines/engines
	.venv-engines/bin/python -m pytest $(PARALLEL) tests/engines

test-colab: .venv-colab/test
	.venv-colab/bin/python $(TEST_GROUP) $(COLAB_TESTS) $(addprefix --deselect ,$(ONLY_HERE))

test-oldest: .venv-oldest/test
	.venv-oldest/bin/python $(TEST_GROUP) $(OLDEST_TESTS)

test-scanners: .venv/dev .venv-scanners/scanners  ## the rules for other scanners, with those themselves
	$(BIN)/python -m pytest tests/scanners

test-versions: .venv/pip  ## on every other Python of 3.10 to 3.13 that is on PATH or pyenv's
	$(MAKE) .venv/pip $(addprefix test-,$(shell $(BIN)/python tests/pythons.py))

test-3.%: .venv-3.%/test
	$(<D)/bin/python $(EVERY_PYTHON) $(VERSIONS_TESTS) -o cache_dir=$(<D)/.pytest_cache
	$(<D)/bin/python $(EVERY_PYTHON) $(VERSIONS_PROCESSES) -o cache_dir=$(<D)/.pytest_cache

lint: .venv/dev  ## types, style, the direction of imports, and wording
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell --regex "(?i)anyone who|$(PHRASES)|[\w'’-]+"

# Without --quiet, which hides warnings from --strict too.
docs: .venv-docs/docs .venv/dev  ## the site in build/site, read in a browser; a warning is an error
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict
	$(BIN)/python -m pytest tests/site

dist: .venv/dev  ## the sdist and the wheel
	rm -rf dist
	$(BIN)/python -m build --quiet

troubleshooting: .venv/dev  ## docs/troubleshooting.md, from what really happens
	$(BIN)/python tests/faults.py

dependencies: .venv/dev  ## docs/dependencies.md, from what is installed
	$(BIN)/python tests/dependencies.py

# Fails where a pre-release of a dependency breaks something; .ci/run leaves it out.
prereleases: .venv-prereleases/test  ## the tests of the package with pre-releases of all dependencies
	.venv-prereleases/bin/python $(TEST_GROUP) $(OLDEST_TESTS) tests/notebook tests/credentials tests/redaction

screenshots: .venv/dev .venv-hosts/hosts  ## docs/images, from the real thing in a browser
	$(BIN)/python docs/screenshots.py
	$(BIN)/python docs/screenshots.py film
	.venv-hosts/bin/python docs/screenshots.py marimo vscode jupyterhub
	.venv-hosts/bin/python docs/screenshots_hosts.py

bench: .venv/dev  ## docs/performance.md, measured; fails if a budget is missed
	$(BIN)/python benchmarks/run.py

lab: .venv-clients/lab  ## JupyterLab on the quickstart, with what any of the notebooks needs
	.venv-clients/bin/jupyter lab notebooks/quickstart.ipynb

clean:
	rm -rf .venv .venv-* build dist

.venv/pip $(addprefix .venv-,$(addsuffix /pip,clients colab docs engines hosts oldest prereleases scanners)):
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --upgrade pip
	touch $@

.venv-3.%/pip:
	"$$($(PYTHON) tests/pythons.py 3.$*)" -m venv $(@D)
	$(@D)/bin/pip install --quiet --upgrade pip
	touch $@

.venv/dev: | .venv/demo  # or pip would be at work on one environment twice at a time

.venv-docs/docs: pyproject.toml | .venv-docs/pip
	.venv-docs/bin/pip install --quiet --editable . --group docs
	touch $@

.venv-clients/lab: | .venv-clients/clients  # or pip would be at work on it twice at a time

.venv-clients/%: pyproject.toml | .venv-clients/pip
	.venv-clients/bin/pip install --quiet --editable . --group $*
	touch $@

.venv-hosts/%: pyproject.toml | .venv-hosts/pip
	.venv-hosts/bin/pip install --quiet --editable . --group $*
	touch $@

.venv-engines/%: pyproject.toml | .venv-engines/pip
	.venv-engines/bin/pip install --quiet --editable . --group $*
	touch $@

.venv-scanners/scanners: pyproject.toml | .venv-scanners/pip
	.venv-scanners/bin/pip install --quiet --group scanners
	touch $@

.venv-3.%/test: pyproject.toml | .venv-3.%/pip
	$(@D)/bin/pip install --quiet --editable . --group test
	touch $@

.venv/%: pyproject.toml | .venv/pip  ## an environment with the dependency group of that name
	$(BIN)/pip install --quiet --editable . --group $*
	touch $@

.venv-colab/test: pyproject.toml tests/colab/constraints.txt | .venv-colab/pip
	.venv-colab/bin/pip install --quiet --editable . --group test -c tests/colab/constraints.txt
	touch $@

.venv-oldest/test: pyproject.toml tests/oldest.py | .venv-oldest/pip .venv/dev
	$(BIN)/python tests/oldest.py > $(@D)/constraints.txt
	.venv-oldest/bin/pip install --quiet --editable . --group test -c $(@D)/constraints.txt
	touch $@

# Again each time, for there are new ones every day.
.PHONY: .venv-prereleases/test
.venv-prereleases/test: | .venv-prereleases/pip
	$(@D)/bin/pip install --quiet --pre --upgrade --upgrade-strategy eager --editable . --group test

# Each target is enough by itself on a fresh machine with Python 3.10 or newer.
PYTHON ?= python3
BIN := .venv/bin
# What depends on the versions of IPython, ipykernel, ipywidgets or gRPC.
COLAB_TESTS := tests/colab tests/sources/test_chain.py tests/sources/test_hosted.py \
	tests/sources/test_system_keyring.py tests/test_aio_channel.py tests/test_channel.py \
	tests/test_form.py \
	tests/test_guard.py tests/test_kernel.py tests/test_leaks.py tests/test_magics.py \
	tests/test_package.py tests/test_refusals.py tests/test_samples.py tests/test_terminal.py \
	notebooks/colab.ipynb notebooks/quickstart.ipynb notebooks/troubleshooting.ipynb
# What depends on the versions of everything else that is installed with the package.
OLDEST_TESTS := tests/test_aio_channel.py tests/test_channel.py tests/test_package.py \
	tests/test_refusals.py tests/test_retries.py tests/test_session.py notebooks/quickstart.ipynb

.PHONY: demo test test-processes test-colab test-oldest lint docs dist troubleshooting screenshots bench lab clean

demo: .venv/demo  ## sign a real kernel in to the sandbox and print the quickstart cell by cell
	$(BIN)/python notebooks/run.py notebooks/quickstart.ipynb

test: .venv/dev .venv-colab/test .venv-oldest/test  ## here, as in Google Colab, with the oldest versions
	$(BIN)/python -m pytest --nbval tests notebooks
	$(MAKE) --jobs=2 --output-sync test-processes test-colab test-oldest

test-processes: .venv/dev
	$(BIN)/python -m pytest tests/processes

test-colab: .venv-colab/test
	.venv-colab/bin/python -m pytest --nbval $(COLAB_TESTS)

test-oldest: .venv-oldest/test
	.venv-oldest/bin/python -m pytest --nbval $(OLDEST_TESTS)

lint: .venv/dev  ## types and style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: .venv/docs  ## the site in build/site; a warning or a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

dist: .venv/dev  ## the sdist and the wheel
	rm -rf dist
	$(BIN)/python -m build --quiet

troubleshooting: .venv/dev  ## docs/troubleshooting.md, from what really happens
	$(BIN)/python tests/faults.py

screenshots: .venv/dev  ## docs/images, from the real thing in a browser
	$(BIN)/python docs/screenshots.py

bench: .venv/dev  ## docs/performance.md, measured; fails if a budget is missed
	$(BIN)/python benchmarks/run.py

lab: .venv/dev  ## JupyterLab on the quickstart
	$(BIN)/jupyter lab notebooks/quickstart.ipynb

clean:
	rm -rf .venv .venv-colab .venv-oldest build dist

.venv/pip .venv-colab/pip .venv-oldest/pip:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --upgrade pip
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

# `make demo` and `make test` install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test coverage system browser check slow soak mediapipe docs wheel clean

demo: $(READY)
	$(BIN)/python run_pipeline.py demo

# Two at a time, whose threads wait for each other without turning (which took three times as long).
test: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadgroup

# The same tests with line and branch coverage: reported, not gated. Processes that tests start are counted as well.
coverage: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report=term --cov-report=html:.cache/coverage

# What starts several processes, cameras or Ray sessions, one after another.
system: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -m system

# The console in a real browser (Debian: apt-get install chromium).
browser: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -m browser

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m evaluation.results --check

slow: $(READY)
	$(BIN)/python -m pytest -m slow

soak: $(READY)
	$(BIN)/python -m pytest -m soak -s

# Torch first and with what it depends on, which differs by platform; the rest exactly as locked. Without dependency
# resolution, because `trackers` names opencv-python, which needs a display's libraries; the headless build serves it as well.
$(READY): requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(READY)

# Its own dependencies, less the OpenCV builds that would replace the headless one.
mediapipe: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps mediapipe==1.2.2 absl-py flatbuffers sounddevice cffi pycparser

docs: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check "mkdocs-material>=9.8"
	$(BIN)/mkdocs build --strict --quiet

# A wheel in a virtual environment of its own: the script, the settings files and the weights are inside.
wheel: $(READY)
	rm -rf .cache/wheel
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation -w .cache/wheel .
	$(PYTHON) -m venv .cache/wheel/venv
	echo "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')" > $$(.cache/wheel/venv/bin/python -c 'import site; print(site.getsitepackages()[0])')/dependencies.pth
	.cache/wheel/venv/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall .cache/wheel/*.whl
	cd .cache/wheel && venv/bin/farsight --version && venv/bin/farsight doctor && venv/bin/farsight demo --engine inline --seconds 8 --out demo

clean:
	rm -rf .venv out .pytest_cache .mypy_cache .ruff_cache

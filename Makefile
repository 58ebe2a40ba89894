# `make demo` and `make test` install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check slow soak mediapipe clean

demo: $(READY)
	$(BIN)/python run_pipeline.py demo

# Two at a time, whose threads wait for each other without turning (which took three times as long).
test: $(READY)
	OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy

slow: $(READY)
	$(BIN)/python -m pytest -m slow

soak: $(READY)
	$(BIN)/python -m pytest -m soak -s

# Torch first and with what it depends on, which differs by platform; the rest exactly as locked. Without dependency
# resolution, because `trackers` names opencv-python, which needs a display's libraries; the headless build serves it as well.
$(READY): requirements.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "Python 3.11 to 3.13 is needed, this is %d.%d" % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	touch $(READY)

# Its own dependencies, less the OpenCV builds that would replace the headless one.
mediapipe: $(READY)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps mediapipe==1.2.2 absl-py flatbuffers sounddevice cffi pycparser

clean:
	rm -rf .venv out .pytest_cache .mypy_cache .ruff_cache

# Verbs for people. `make demo` and `make test` do all set-up on a fresh Debian or Ubuntu machine.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/mixworker

.PHONY: demo test lint unit bench soak setup dev packages clean

demo: setup
	$(RUN) demo --output out

# Everything the gate runs: lint, types, import rules, all tests. Those that need the machine for
# themselves, because they happen in real time or measure it, one after the other.
UNHURRIED := tests/e2e/test_full_disk.py tests/e2e/test_planted_secrets.py tests/e2e/test_soak.py
REAL_TIME := tests/rooms tests/testroom tests/engine/test_cost_of_offenders.py \
    $(filter-out $(UNHURRIED),$(wildcard tests/e2e/test_*.py))
test: packages lint
	$(BIN)/pytest -n 3 --dist loadfile $(REAL_TIME:%=--ignore=%)
	$(BIN)/pytest $(REAL_TIME)

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The quick part of the tests, without real browsers and long recordings.
unit: dev
	$(BIN)/pytest -n 2 --dist loadfile --ignore=tests/e2e --ignore=tests/rehearsals

# The peers are Debian's ffmpeg and GStreamer.
bench: dev
	deploy/packages.sh ffmpeg gstreamer1.0-tools gstreamer1.0-plugins-base \
	    gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav \
	    nginx-light libnginx-mod-rtmp
	$(BIN)/python benchmarks/live.py
	$(BIN)/python benchmarks/job.py
	$(BIN)/python benchmarks/compose.py
	$(BIN)/python benchmarks/receive.py
	$(BIN)/python benchmarks/sound.py
	$(BIN)/python benchmarks/peers.py --rounds 1
	$(BIN)/python benchmarks/fit.py
	$(BIN)/python benchmarks/hundred.py
	$(BIN)/python benchmarks/deliver.py
	$(BIN)/python benchmarks/rtmp.py
	$(BIN)/python benchmarks/api.py

# Long runs: minutes to hours.
soak: packages dev
	deploy/packages.sh debootstrap podman runc catatonit docker-compose systemd
	$(BIN)/pytest -m soak -o timeout=0

packages:
	deploy/packages.sh ffmpeg chromium fonts-dejavu-core coturn janus nftables iproute2 nginx-light libnginx-mod-rtmp \
	    postgresql docker.io

setup: $(VENV)/.worker
dev: $(VENV)/.dev

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || deploy/packages.sh python3
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || deploy/packages.sh python3-venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/.worker: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@ $(VENV)/.worker

clean:
	rm -rf $(VENV) out build *.egg-info

PYTHON ?= python3
BIN := .venv/bin

FAST := tests/domain tests/http_contract tests/stores tests/adapters tests/test_settings.py

.PHONY: serve test test-lowest test-latest check soak bench bench-scale lock format

serve: .venv/ready  ## Serve the API on the embedded default.
	$(BIN)/todo serve

test: .venv/ready tests/better_auth/node_modules  ## Every test.
	$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report=term-missing:skip-covered

test-lowest: .venv-lowest/ready  ## The fast tests with the lowest versions that pyproject.toml allows.
	.venv-lowest/bin/pytest -n 2 -q $(FAST)

test-latest: .venv-latest/ready  ## The fast tests with the newest versions, whatever pyproject.toml allows.
	.venv-latest/bin/pytest -n 2 -q $(FAST)

check: .venv/ready  ## Formatter, linter, types, architecture.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: .venv/ready  ## What takes long: a hundred kills, crowds, an hour (SOAK_SECONDS, SOAK_KILLS make it shorter).
	$(BIN)/pytest soak -s -v

bench: .venv/ready benchmarks/.venv/ready  ## What is promised in figures, measured. Takes ten minutes, wants wrk.
	$(BIN)/python -m benchmarks.side_by_side
	$(BIN)/python -m benchmarks.crowd
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.unknown_kids
	$(BIN)/python -m benchmarks.command_line

bench-scale: .venv/ready  ## The same with ten million tasks. Takes a quarter of an hour and 10 GB.
	$(BIN)/python -m benchmarks.scale

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/ready  ## Choose the newest versions anew. Wants uv.
	uv pip compile --universal --python-version 3.11 --generate-hashes --group dev --upgrade --no-header -o requirements.lock pyproject.toml

# A real Better Auth to test with, where Node.js is. Without it those tests are skipped, and in CI they fail.
tests/better_auth/node_modules: tests/better_auth/package-lock.json
	if command -v npm >/dev/null; then cd tests/better_auth && npm ci --loglevel=error && touch node_modules; fi

# The plan's own stack, to measure the service beside it.
benchmarks/.venv/ready: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	touch $@

# The lock names everything. Without --no-deps pip looks for newer releases of what a package asks for with an
# extra (coverage[toml]) and refuses them for want of a hash; the check after it is for what the lock might miss.
.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip --quiet check
	touch $@

.venv-lowest/ready: pyproject.toml tests/versions.py
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) tests/versions.py lowest > .venv-lowest/requirements.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -r .venv-lowest/requirements.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Never up to date: what is newest changes.
.PHONY: .venv-latest/ready
.venv-latest/ready:
	$(PYTHON) -m venv .venv-latest
	$(PYTHON) tests/versions.py latest > .venv-latest/requirements.txt
	.venv-latest/bin/pip install --quiet --disable-pip-version-check --upgrade -r .venv-latest/requirements.txt
	.venv-latest/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

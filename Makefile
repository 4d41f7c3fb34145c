PYTHON ?= python3
BIN := .venv/bin

FAST := tests/domain tests/http_contract tests/stores tests/adapters tests/test_settings.py

.PHONY: serve test test-lowest test-latest check soak bench bench-scale pictures lock format web screenshots

serve: .venv/ready  ## Serve the API, on SQLite unless DATABASE_URL says otherwise.
	$(BIN)/todo serve

test: .venv/ready tests/better_auth/node_modules tests/node_tools/node_modules  ## Run all tests, two at a time.
	$(BIN)/pytest -n 2 --dist worksteal --cov --cov-report=term-missing:skip-covered

test-lowest: .venv-lowest/ready  ## Run the fast tests with the lowest versions that pyproject.toml allows.
	.venv-lowest/bin/pytest -n 2 -q $(FAST)

test-latest: .venv-latest/ready  ## Run the fast tests with the newest versions, whatever pyproject.toml allows.
	.venv-latest/bin/pytest -n 2 -q $(FAST)

check: .venv/ready  ## Check formatting, lint, types and architecture.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: .venv/ready  ## Run the long tests: kills, crowds, an hour of load (SOAK_SECONDS and SOAK_KILLS shorten it).
	$(BIN)/pytest soak -s -v

bench: .venv/ready benchmarks/.venv/ready benchmarks/peers/node_modules  ## Measure what docs/performance.md promises. Takes a quarter of an hour, needs wrk, node and nginx.
	failed=; for name in side_by_side batches crowd workers copies unknown_kids command_line web_page costs model; do \
	  $(BIN)/python -m benchmarks.$$name || failed="$$failed $$name"; done; test -z "$$failed"

pictures: benchmarks/.venv/ready  ## Draw the pictures of docs/performance.md from what was measured last.
	benchmarks/.venv/bin/python benchmarks/pictures.py

bench-scale: .venv/ready  ## Measure with a million tasks and ten, and in partitions. Takes an hour and 20 GB.
	failed=; for options in "--tasks 1000000" "" "--partitions 8"; do \
	  $(BIN)/python -m benchmarks.scale $$options || failed="$$failed scale $$options"; done; test -z "$$failed"

format: .venv/ready  ## Format, and fix what the linter can fix.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

WEB := src/todo/entrypoints/http/static/web

web: tests/node_tools/node_modules  ## Compile the TypeScript client for the web page, which has a copy of it.
	tests/node_tools/node_modules/.bin/tsc -p clients/typescript --outDir clients/typescript/dist
	cp clients/typescript/dist/client.js clients/typescript/dist/sync.js $(WEB)

screenshots: .venv/ready  ## Take the screenshots of the web page again. Needs Chromium.
	$(BIN)/python -m tests.web.screenshots

COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header

lock: .venv/ready  ## Update the lock files (of the service, and with the tools of its developers) to the newest versions. Needs uv.
	$(COMPILE) --group dev --upgrade -o requirements-dev.lock
	$(COMPILE) --extra otel --constraint requirements-dev.lock -o requirements.lock

# A real Better Auth for the tests, if Node.js is installed. Without it those tests are skipped; in CI they fail.
tests/better_auth/node_modules: tests/better_auth/package-lock.json
	if command -v npm >/dev/null; then cd tests/better_auth && npm ci --loglevel=error && touch node_modules; fi

# Linters of the OpenAPI document, generators of clients, and tests of the page, in the same way.
tests/node_tools/node_modules: tests/node_tools/package-lock.json
	if command -v npm >/dev/null; then cd tests/node_tools && npm ci --loglevel=error && touch node_modules; fi

benchmarks/peers/node_modules: benchmarks/peers/package-lock.json
	cd benchmarks/peers && npm ci --loglevel=error && touch node_modules

# FastAPI with SQLModel, to compare the service with; and what draws pictures.
benchmarks/.venv/ready: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	touch $@

# The lock file lists everything. Without --no-deps, pip would look for newer releases of what a package requires with
# an extra (coverage[toml]), and reject them because they have no hash. pip check finds what the lock file might miss.
.venv/ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip --quiet check
	touch $@

.venv-lowest/ready: pyproject.toml tests/versions.py
	$(PYTHON) -m venv .venv-lowest
	$(PYTHON) tests/versions.py lowest > .venv-lowest/requirements.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -r .venv-lowest/requirements.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Always rebuilt, because the newest versions change.
.PHONY: .venv-latest/ready
.venv-latest/ready:
	$(PYTHON) -m venv .venv-latest
	$(PYTHON) tests/versions.py latest > .venv-latest/requirements.txt
	.venv-latest/bin/pip install --quiet --disable-pip-version-check --upgrade -r .venv-latest/requirements.txt
	.venv-latest/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .

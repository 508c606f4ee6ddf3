# The commands of the project. `make` alone lists them. Each does its own set-up first, and costs nothing the second time.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test check fmt release bench-engine soak fuzz bench-auth bench-gateway bench-chat bench-media setup migrate dev build up down logs shell

BINARY := target/release/tertulia
COMPOSE := docker compose

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  \033[1mmake %-13s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Settings come from the environment or from .env; .env.template lists them."

run: release ## Set up, build and serve on 127.0.0.1:8000
	@exec $(BINARY) serve

test: setup ## Run every test, with a real PostgreSQL and Redis beside them
	@scripts/test.sh

check: setup ## Format, lints, documentation, dependencies, architecture, scripts
	@scripts/install-tools.sh
	@scripts/check.sh

fmt: ## Format the code
	cargo fmt --all

release: setup ## Build target/release/tertulia
	cargo build --release --package tertulia

bench-engine: release ## Measure the engine beside its peers and write docs/PERFORMANCE.md
	@bench/engine.sh

soak: release ## Drive the server for SOAK_MINUTES (10) with a restless crowd, and check that nothing is left behind
	@python3 bench/soak.py

fuzz: ## Feed the parsers of strangers' files and words with nonsense, FUZZ_SECONDS (20) each
	@scripts/fuzz.sh

bench-auth: release ## Measure what sign-ins cost the other requests
	@cargo run --quiet --release --package tertulia --example bench_auth

bench-gateway: release ## Measure what a call costs more that is passed on to a provider
	@cargo run --quiet --release --package tertulia --example bench_gateway

bench-chat: release ## Measure the time to the first word in turns 1 to 10 of a growing conversation
	@cargo run --quiet --release --package tertulia --example bench_chat

bench-media: release ## Measure how fast speech is made, and whether memory stays flat over BENCH_MEDIA_REQUESTS (1000)
	@cargo run --quiet --release --package tertulia --example bench_media

setup: ## Fetch and check what a build needs (the other commands do this)
	@scripts/setup.sh

migrate: release ## Bring the database's tables up to date, without serving
	@$(BINARY) migrate

dev: setup ## Serve the unoptimised build, with debug logs
	LOG_LEVEL=$${LOG_LEVEL:-debug} cargo run --package tertulia -- serve

build: ## Build the container image
	$(COMPOSE) build

up: ## Start the container (with PostgreSQL: make up PROFILE=postgres)
ifeq ($(PROFILE),postgres)
	@grep -qs '^POSTGRES_PASSWORD=.' .env && grep -Eqs '^DATABASE_URL=.?postgres' .env || \
		{ echo "make up PROFILE=postgres: put POSTGRES_PASSWORD and DATABASE_URL into .env, as compose.yaml says" >&2; exit 1; }
endif
	$(COMPOSE) $(if $(PROFILE),--profile $(PROFILE)) up --detach

down: ## Stop the containers
	$(COMPOSE) --profile postgres down

logs: ## Follow the containers' logs
	$(COMPOSE) logs --follow

shell: ## Open a shell in the container
	$(COMPOSE) exec tertulia /bin/bash

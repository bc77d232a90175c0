# Thin on purpose: each target calls one command, which can be called by hand as well.

.DEFAULT_GOAL := help
.PHONY: help run dev build test check lint fmt bench sim soak plots snapshots screenshots

help: ## show this list
	@scripts/help $(MAKEFILE_LIST)

run: ## build web and server, start on http://localhost:7880
	@scripts/run

dev: ## the same with Vite in front on http://localhost:5173, which reloads the page at each edit
	@scripts/dev

build: ## leave target/release/konklave, complete
	@scripts/build release

test: ## everything: unit, property, simulation, fuzz, web, browsers, interop
	@scripts/test

check: ## the fast part, for every edit
	@scripts/check

lint: ## formatting, clippy, dependency edges, clocks, licences, web
	@scripts/lint

fmt: ## format everything
	@scripts/fmt

bench: ## measurements, as a table and as JSON in target/bench/
	@scripts/bench

sim: ## look for meetings on bad lines that go wrong: make sim SEEDS=1000
	@scripts/sim search $(or $(SEEDS),150)

soak: ## meetings of 200 people that agree on keys, and hundreds of random ones; takes minutes
	@cargo test -p e2ee --release --locked --test large --test random -- --ignored

plots: ## renew the plots of simulated meetings in docs/img
	@scripts/sim plot docs/img down 1005 up 1006 loss-10 1008

snapshots: ## renew the pictures that tests/e2e/snapshots compares every screen with
	@scripts/prepare-tests
	@scripts/screens snapshots

screenshots: ## renew the pictures in docs/img
	@scripts/prepare-tests
	@scripts/screens screenshots

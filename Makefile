# A thin front door: every target is one script, so a machine without make can call the script itself.
.DEFAULT_GOAL := help
.PHONY: help demo down build test bench lint fmt docs clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: ## Install what is missing, build, start the suite, load real data and show the main job
	@scripts/demo

down: ## Stop what demo started
	@scripts/down

build: ## Install what is missing and build everything into build/
	@scripts/build

test: ## Install, build and run every test
	@scripts/test

bench: ## Measure one area: make bench NAME=gateway
	@scripts/bench $(NAME)

lint: ## Check formatting, protos, scripts and clang-tidy (ALL=1: every file)
	@scripts/lint

fmt: ## Format the sources
	@scripts/fmt

docs: ## Write docs/reference from the binaries
	@scripts/docs

clean: ## Remove build outputs (keeps .local/)
	@rm -rf build build-*

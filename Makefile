.PHONY: build run test bench check lint

build: ## the one binary, ./forward
	CGO_ENABLED=0 go build -tags nomsgpack -trimpath -ldflags "-s -w" -o forward ./cmd/forward

run: ## the gateway, with .env of this directory
	go run ./cmd/forward

test: ## what the README promises
	go test ./...

bench: ## forward beside a bare gin + ReverseProxy, and what the rooms claim
	go test -run '^$$' -bench . -benchtime 1x ./internal/...

check: ## all of CI: installs what is missing, then every suite
	bash .ci/run

lint: ## needs golangci-lint
	golangci-lint run ./...

.PHONY: build test e2e bench lint check

build: ## the binary, as the image has it
	CGO_ENABLED=0 go build -tags nomsgpack -trimpath -o forward ./cmd/forward

test: ## unit tests
	go test ./...

e2e: ## the binary in a process of its own, with the official SDKs
	npm ci --prefix test/sdk
	go test -tags e2e -count=1 ./test/...

bench: ## forward against a bare gin and ReverseProxy
	go test -run='^$$' -bench=. ./internal/forward

lint: ## needs golangci-lint v2
	golangci-lint run --build-tags e2e ./...

check: ## all of CI
	.ci/run

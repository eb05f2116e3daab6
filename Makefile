.PHONY: build ui test agents e2e fault soak bench lint check

build: ## the binary, built as in the image
	CGO_ENABLED=0 go build -tags nomsgpack -trimpath -o forward ./cmd/forward

ui: ## the dashboard's pages in internal/dashboard/dist; needs node and npm
	npm ci --prefix internal/dashboard/ui --ignore-scripts --no-audit --no-fund --silent
	npm run build --prefix internal/dashboard/ui --silent

test: ## unit tests
	go test ./...

agents: ## the coding agents of npm; they take two gigabytes in test/agents/node_modules
	npm install --no-save --prefix test/agents --ignore-scripts --no-audit --no-fund --silent
	FORWARD_AGENTS_FULL=1 go test -tags agents -count=1 -parallel=4 -timeout=30m ./test/agents

e2e: ## the binary in a process of its own, with the official SDKs
	npm ci --prefix test/sdk
	go test -tags e2e -count=1 ./test/...

fault: ## the fault table against the binary, as root with the rows that need it; writes docs/FAULTS.md
	go test -tags fault -count=1 -timeout=20m ./test/fault -parallel=12 -run='^TestFaults(AsRoot)?$$' -report docs/FAULTS.md

soak: ## half an hour of mixed load with faults, watching memory, goroutines and descriptors; make soak DURATION=5m is shorter
	go test -tags fault -count=1 -timeout=0 ./test/fault -v -run='^TestSoak$$' -soak=$(or $(DURATION),30m)

bench: ## forward beside nginx, HAProxy, Caddy, gin and Portkey; writes bench/RESULTS.md. Needs nginx, haproxy, caddy, node and npm
	go run ./bench

lint: ## staticcheck
	go tool -modfile=tools/go.mod staticcheck -tags e2e,fault,agents -checks inherit,-SA4000,-ST1013 ./...

check: ## all of CI
	.ci/run

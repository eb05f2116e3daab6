package internal

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// packages lists the packages from top to bottom. A package may import only
// packages below it.
var packages = []string{
	"forward/cmd/forward",
	"forward/internal/control",
	"forward/internal/reload",
	"forward/internal/config",
	"forward/internal/forward",
	"forward/internal/upstream",
	"forward/internal/dashboard",
	"forward/internal/admin",
	"forward/internal/session",
	"forward/internal/audit",
	"forward/internal/clients",
	"forward/internal/chatlog",
	"forward/internal/ledger/sink",
	"forward/internal/ledger",
	"forward/internal/price",
	"forward/internal/keys",
	"forward/internal/cache",
	"forward/internal/limits",
	"forward/internal/queue",
	"forward/internal/redis",
	"forward/internal/tokens",
	"forward/internal/metrics",
	"forward/internal/dialects",
	"forward/internal/dialect/anthropic",
	"forward/internal/dialect/gemini",
	"forward/internal/dialect/ollama",
	"forward/internal/dialect/openai",
	"forward/internal/convert",
	"forward/internal/dialect",
	"forward/internal/form",
	"forward/internal/framing",
	"forward/internal/jsonscan",
	"forward/internal/backlog",
	"forward/internal/bounded",
	"forward/internal/clientip",
	"forward/internal/database",
	"forward/internal/duration",
	"forward/internal/glob",
	"forward/internal/live",
	"forward/internal/lockfile",
	"forward/internal/websocket",
	"forward/docs",
}

// aside are packages that the binary does not import: generators, and what only
// tests use.
var aside = []string{
	"forward/internal/upstreamtest/",
	"forward/internal/tokens/gen/",
	"forward/internal/price/gen/",
	"forward/internal/redis/redistest/",
}

// homes names the modules that only one package may import.
var homes = map[string]string{
	"github.com/gin-gonic/gin":      "forward/internal/forward",
	"github.com/dgraph-io/badger":   "forward/internal/cache",
	"github.com/ulule/limiter":      "forward/internal/limits",
	"github.com/pkoukk/tiktoken-go": "forward/internal/tokens",
	"github.com/joho/godotenv":      "forward/internal/config",
	"github.com/prometheus":         "forward/internal/metrics",
	"modernc.org/sqlite":            "forward/internal/database",
}

// TestImportsGoDownward keeps the package order of docs/design.md true.
func TestImportsGoDownward(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`,
		"forward/cmd/...", "forward/internal/...", "forward/docs").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		name, imports := fields[0], fields[1:]
		at := slices.Index(packages, name)
		if at < 0 {
			isAside := func(prefix string) bool { return strings.HasPrefix(name+"/", prefix) }
			if name != "forward/internal" && !slices.ContainsFunc(aside, isAside) {
				t.Errorf("%s is not in the package order", name)
			}
			continue
		}
		seen++
		for _, dep := range imports {
			if below := slices.Index(packages, dep); strings.HasPrefix(dep, "forward/") && below <= at {
				t.Errorf("%s imports %s, which is not below it", name, dep)
			}
			for module, home := range homes {
				if strings.HasPrefix(dep, module) && name != home {
					t.Errorf("%s imports %s, which only %s may import", name, dep, home)
				}
			}
		}
	}
	if seen != len(packages) {
		t.Errorf("%d of %d packages were checked", seen, len(packages))
	}
}

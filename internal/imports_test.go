package internal

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// floors lists the rooms from the top of the house to its ground. A room may import only rooms below it.
var floors = []string{
	"forward/cmd/forward", "forward/internal/config", "forward/internal/forward", "forward/internal/upstream", "forward/internal/admin",
	"forward/internal/chatlog",
	"forward/internal/ledger/sink", "forward/internal/ledger", "forward/internal/price",
	"forward/internal/keys", "forward/internal/cache", "forward/internal/limits",
	"forward/internal/tokens", "forward/internal/metrics", "forward/internal/dialect", "forward/internal/jsonscan",
}

// lodgers names modules that only one room may import.
var lodgers = map[string]string{
	"github.com/gin-gonic/gin":      "forward/internal/forward",
	"github.com/dgraph-io/badger":   "forward/internal/cache",
	"github.com/ulule/limiter":      "forward/internal/limits",
	"github.com/pkoukk/tiktoken-go": "forward/internal/tokens",
	"github.com/joho/godotenv":      "forward/internal/config",
	"github.com/prometheus":         "forward/internal/metrics",
	"modernc.org/sqlite":            "forward/cmd/forward",
}

// TestImportsGoDownward keeps the floor plan of docs/design.md true.
func TestImportsGoDownward(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "forward/cmd/...", "forward/internal/...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	seen := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		room, imports := fields[0], fields[1:]
		at := slices.Index(floors, room)
		if at < 0 {
			if !strings.HasPrefix(room, "forward/internal/upstreamtest") && !strings.HasPrefix(room, "forward/internal/tokens/") && !strings.HasPrefix(room, "forward/internal/price/") && room != "forward/internal" {
				t.Errorf("%s is not on the floor plan", room)
			}
			continue
		}
		seen++
		for _, dep := range imports {
			if below := slices.Index(floors, dep); strings.HasPrefix(dep, "forward/") && below <= at {
				t.Errorf("%s imports %s, which is not below it", room, dep)
			}
			for module, home := range lodgers {
				if strings.HasPrefix(dep, module) && room != home {
					t.Errorf("%s imports %s, which lives in %s", room, dep, home)
				}
			}
		}
	}
	if seen != len(floors) {
		t.Errorf("%d of %d rooms were looked at", seen, len(floors))
	}
}

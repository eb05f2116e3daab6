//go:build !race

package admin_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"forward/internal/price"
)

// 2,000 keys with budgets are read by a few queries: in 0.2 s of one core. The
// race detector makes times mean nothing.
func TestManyKeys(t *testing.T) {
	h := newFixture(t)
	for i := range 2000 {
		name := fmt.Sprintf("key%04d", i)
		h.add(name, map[string]string{"budget": "20usd/month,1mtokens/day", "tags": "t"})
		for j := range 3 {
			h.spend(fmt.Sprint(i, "-", j), name, "gpt-4o", now.Add(-time.Duration(j)*5*time.Hour), price.Dollar)
		}
	}
	if err := h.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	w := h.ask("GET", "/_/api/keys?details=true&limit=1000", "admin")
	took := time.Since(start)
	t.Log(took, w.Body.Len())
	if w.Code != http.StatusOK || strings.Count(w.Body.String(), `"reset"`) < 1900 || took > 3*time.Second {
		t.Errorf("%d after %v", w.Code, took)
	}
}

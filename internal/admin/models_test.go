package admin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"forward/internal/admin"
	"forward/internal/keys"
)

// A holder's models have its own last use and no fallbacks; the administrator
// asks for all.
func TestModels(t *testing.T) {
	var asked []string
	n := int64(2_500_000_000)
	h := newFixture(t, func(o *admin.Options) {
		o.Models = func(_ context.Context, k *keys.Key) []admin.Model {
			if k == nil {
				asked = append(asked, "")
			} else {
				asked = append(asked, k.Name)
			}
			return []admin.Model{{ID: "gpt-4o", Routes: []string{"/"}, Fallbacks: []string{"o1"}, Price: &admin.ModelPrice{Input: &n, Source: "forward.yaml"}}, {ID: "o1"}}
		}
	}).spent()
	type list struct {
		Models []struct {
			ID                         string
			Routes, Aliases, Fallbacks []string
			LastUsed                   *time.Time `json:"last_used"`
		}
	}
	all := get[list](h, "/_/api/models", "admin").Models
	if len(all) != 2 || len(all[0].Fallbacks) != 1 || !all[0].LastUsed.Equal(now.Add(-time.Hour)) || !all[1].LastUsed.Equal(now.Add(-2*time.Hour)) || all[1].Routes == nil || all[1].Aliases == nil {
		t.Errorf("%+v", all)
	}
	bobs := get[list](h, "/_/api/models", "bob").Models
	if len(bobs[0].Fallbacks) != 0 || bobs[0].LastUsed != nil || !bobs[1].LastUsed.Equal(now.Add(-2*time.Hour)) {
		t.Errorf("%+v", bobs)
	}
	if strings.Join(asked, ",") != ",bob" {
		t.Errorf("asked were %q", asked)
	}
	h.options.Ledger = nil
	h.rebuild()
	if without := get[list](h, "/_/api/models", "bob").Models; len(without) != 2 || without[1].LastUsed != nil {
		t.Errorf("without a ledger: %+v", without)
	}
}

// The recipes have the address at which the gateway was reached, and no other
// key than the placeholder.
func TestRecipes(t *testing.T) {
	h := newFixture(t)
	kinds := map[string]int{}
	for _, r := range get[struct {
		Recipes []struct{ ID, Name, Kind, Text string }
	}](h, "/_/api/recipes", "alice").Recipes {
		kinds[r.Kind]++
		if r.ID == "" || r.Name == "" || strings.Contains(r.Text, "fk-YOUR-KEY") || strings.Contains(r.Text, "http://gw:8000") {
			t.Errorf("%+v", r)
		}
		if r.ID == "codex" && (!strings.Contains(r.Text, "http://127.0.0.1:8000") || !strings.Contains(r.Text, "fk-…")) {
			t.Error(r.Text)
		}
	}
	if kinds["agents"] < 5 || kinds["apps"] < 2 || kinds["libraries"] < 2 || len(kinds) != 3 {
		t.Errorf("%v", kinds)
	}
}

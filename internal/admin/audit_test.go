package admin_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type entry struct {
	ID                                            int64
	Actor, Role, Address, Action, Object, Session string
	After                                         any
}

type entries struct {
	Entries []entry
	Next    *int64 `json:"next_before"`
}

// Each sign-in, each refusal and each end is in the audit, without what was
// tried.
func TestAuditOfSessions(t *testing.T) {
	h := newFixture(t)
	cookie := h.signIn("alice")
	h.try("key", "fk-tried-canary")
	h.try("code", "code-tried-canary")
	h.browse(http.MethodDelete, whoAmI, "", cookie)
	got := get[entries](h, "/_/api/audit", "admin")
	var lines []string
	for _, e := range got.Entries {
		lines = append(lines, fmt.Sprintf("%s by %q (%s) from %s: %v", e.Action, e.Actor, e.Role, e.Address, e.After))
	}
	slices.Reverse(lines)
	want := []string{
		`session.start by "alice" (holder) from 192.0.2.1: <nil>`,
		`session.refused by "" () from 192.0.2.1: map[reason:invalid_api_key]`,
		`session.refused by "" () from 192.0.2.1: map[reason:link_used]`,
		`session.end by "alice" (holder) from 192.0.2.1: <nil>`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
	if s := got.Entries[0]; s.Session == "" || s.Session != s.Object {
		t.Errorf("%+v", s)
	}
}

// Pages of the audit hold each entry once, newest first, and a page of CSV is
// no formula.
func TestAuditPages(t *testing.T) {
	h := newFixture(t)
	h.add("=cmd|' /C calc'!A0", nil)
	h.reread()
	for range 5 {
		h.signIn("=cmd|' /C calc'!A0")
		h.signIn("admin")
	}
	var seen []int64
	target := "/_/api/audit?limit=3"
	for pages := 0; ; pages++ {
		got := get[entries](h, target, "admin")
		for _, e := range got.Entries {
			seen = append(seen, e.ID)
		}
		if got.Next == nil || pages > 4 {
			break
		}
		target = fmt.Sprintf("/_/api/audit?limit=3&before=%d", *got.Next)
	}
	if !slices.Equal(seen, []int64{10, 9, 8, 7, 6, 5, 4, 3, 2, 1}) {
		t.Errorf("%v", seen)
	}
	for query, n := range map[string]int{"actor=administrator": 5, "action=session.start": 10, "action=session.": 10, "action=session": 0, "action=key.": 0, "object=none": 0} {
		if got := get[entries](h, "/_/api/audit?"+query, "admin"); len(got.Entries) != n {
			t.Errorf("%s: %d entries", query, len(got.Entries))
		}
	}
	w := h.ask(http.MethodGet, "/_/api/audit?format=csv&limit=2", "admin")
	rows, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(rows) != 3 || rows[2][2] != "'=cmd|' /C calc'!A0" || w.Header().Get("Content-Disposition") != `attachment; filename="audit.csv"` {
		t.Errorf("%v %q %v", err, rows, w.Header())
	}
	for _, query := range []string{"before=0", "before=x", "limit=0", "format=xml", "actors=a"} {
		if w := h.ask(http.MethodGet, "/_/api/audit?"+query, "admin"); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

// No secret that was sent, right or wrong, is in the database or in an answer.
func TestNoSecretIsKept(t *testing.T) {
	h := newFixture(t)
	code, err := h.options.Sessions.Link(t.Context(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	admin, alice := h.signIn("admin"), h.signIn("alice")
	h.try("key", "fk-tried-canary-123")
	h.try("code", "code-tried-canary-123")
	secrets := []string{adminKey, h.secrets["alice"], admin.Value, alice.Value, code, "tried-canary"}
	for _, target := range []string{"/_/api/sessions", "/_/api/audit", "/_/api/audit?format=csv", whoAmI} {
		body := h.browse(http.MethodGet, target, "", admin).Body.String()
		for i, secret := range secrets {
			if strings.Contains(body, secret) {
				t.Errorf("%s contains secret %d", target, i)
			}
		}
	}
	var path string
	if err := h.db.QueryRow(`SELECT file FROM pragma_database_list WHERE name = 'main'`).Scan(&path); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, secret := range secrets {
			if strings.Contains(string(content), secret) {
				t.Errorf("%s contains secret %d", filepath.Base(file), i)
			}
		}
	}
}

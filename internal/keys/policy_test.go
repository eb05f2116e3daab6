package keys_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"forward/internal/keys"
)

func TestParseBudget(t *testing.T) {
	for text, want := range map[string]string{
		"20usd/month":               "usd 20000000000 month ",
		"$0.50/day":                 "usd 500000000 day ",
		"0.000000001usd":            "usd 1 total ",
		"500ktokens/day":            "tokens 500000 day ",
		"1.5 MTokens/week":          "tokens 1500000 week ",
		"1token/total":              "tokens 1 total ",
		"20usd/month@Europe/Berlin": "usd 20000000000 month Europe/Berlin",
		"":                          "", "20": "", "20usd/year": "", "20usd/": "", "-1usd/day": "", "0usd/day": "", "1e3usd/day": "", "0.0000000001usd": "",
		"usd/day": "", "1.2.3usd": "", "20usd/day@Mars": "", "20usd/day@": "", "0.5tokens/day": "", "99999999999usd/day": "", "1/3usd/day": "", "20eur/day": "",
	} {
		b, err := keys.ParseBudget(text)
		if want == "" {
			if err == nil || !strings.Contains(err.Error(), "20usd/month") {
				t.Errorf("%q: %+v, %v", text, b, err)
			}
			continue
		}
		expected := keys.Budget{}
		words := strings.Split(want, " ")
		expected.Unit, expected.Period, expected.Zone = words[0], words[2], words[3]
		if json.Unmarshal([]byte(words[1]), &expected.Amount); err != nil || b != expected {
			t.Errorf("%q: %+v, %v", text, b, err)
		}
	}
}

func TestBudgetsAreWrittenAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := keys.Budget{Unit: rapid.SampledFrom([]string{"usd", "tokens"}).Draw(t, "unit"), Amount: rapid.Int64Range(1, 1<<62).Draw(t, "amount"),
			Period: rapid.SampledFrom([]string{"day", "week", "month", "total"}).Draw(t, "period"), Zone: rapid.SampledFrom([]string{"", "UTC", "Asia/Tokyo"}).Draw(t, "zone")}
		if back, err := keys.ParseBudget(b.String()); err != nil || back != b {
			t.Fatalf("%+v is written %s and read %+v, %v", b, b, back, err)
		}
	})
}

func FuzzParseBudget(f *testing.F) {
	f.Add("20usd/month@Europe/Berlin")
	f.Add("1.5mtokens/day")
	f.Fuzz(func(t *testing.T, text string) {
		b, err := keys.ParseBudget(text)
		if err != nil {
			return
		}
		if back, err := keys.ParseBudget(b.String()); err != nil || back != b || b.Amount <= 0 {
			t.Errorf("%q → %+v → %q → %+v, %v", text, b, b, back, err)
		}
	})
}

func TestPolicyAllows(t *testing.T) {
	for _, c := range []struct {
		globs string
		yes   string
		no    string
	}{
		{"", "gpt-4o o1", "-"},
		{"gpt-*", "gpt-4o gpt-", "o1 xgpt-4"},
		{"gpt-*,!gpt-4*", "gpt-3.5", "gpt-4 gpt-4o o1"},
		{"!gpt-4*,gpt-*", "gpt-3.5", "gpt-4o"},
		{"!o1*", "gpt-4o", "o1 o1-pro"},
	} {
		var s keys.Settings
		if err := s.Apply(map[string]string{"models": c.globs, "routes": c.globs}, time.Now()); err != nil {
			t.Fatal(err)
		}
		for model := range strings.FieldsSeq(c.yes) {
			if !s.Policy.AllowsModel(model) || !s.Policy.AllowsRoute(model, "/") {
				t.Errorf("%q does not allow %q", c.globs, model)
			}
		}
		for model := range strings.FieldsSeq(c.no) {
			if c.globs != "" && (s.Policy.AllowsModel(model) || s.Policy.AllowsRoute(model, "/")) {
				t.Errorf("%q allows %q", c.globs, model)
			}
		}
	}
	var s keys.Settings
	s.Apply(map[string]string{"ips": "10.1.2.3, 192.168.0.0/16, 2001:db8::/32", "routes": "/anthropic"}, time.Now())
	for ip, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "10.1.2.4": false, "192.168.9.9": true, "2001:db8::1": true, "2001:db9::1": false} {
		if s.Policy.AllowsIP(netip.MustParseAddr(ip)) != want {
			t.Errorf("%s: not %v", ip, want)
		}
	}
	if !s.Policy.AllowsRoute("anthropic", "/anthropic") || s.Policy.AllowsRoute("openai", "/") {
		t.Error("routes go by their prefix too")
	}
}

func TestSettingsApply(t *testing.T) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.FixedZone("", 3600))
	s := keys.Settings{Name: "old"}
	err := s.Apply(map[string]string{"name": "alice", "level": "1", "models": "gpt-*, !gpt-4*", "expires": "90d", "rpm": "60", "tpm": "1000", "parallel": "2", "budget": "20usd/month,500ktokens/day",
		"unknown-price": "allow", "overrun": "allow", "ephemeral": "deny", "objects": "own", "unknown-operations": "Allow", "cache": "shared", "log": "Redacted", "priority": "-3", "tags": "team=a,b", "set-user": "true"}, now)
	if err != nil {
		t.Fatal(err)
	}
	p := s.Policy
	if s.Name != "alice" || s.Level != 1 || !s.Expires.Equal(now.Add(90*24*time.Hour)) || len(p.Models) != 2 || p.RPM != 60 || p.TPM != 1000 || p.Parallel != 2 || len(p.Budgets) != 2 ||
		p.UnknownPrice != "allow" || p.Overrun != "allow" || p.Ephemeral != "deny" || p.Objects != "own" || p.UnknownOperations != "allow" || p.CacheScope != "shared" || p.Log != "redacted" || p.Priority != -3 || len(p.Tags) != 2 || !p.SetUser {
		t.Errorf("%+v", s)
	}
	text, err := json.Marshal(p)
	var back keys.Policy
	if err := errors.Join(err, json.Unmarshal(text, &back)); err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("%s, %v", text, err)
	}
	if err := s.Apply(map[string]string{"models": "", "rpm": "", "expires": "2026-12-31"}, now); err != nil || s.Policy.Models != nil || s.Policy.RPM != 0 || s.Policy.TPM != 1000 {
		t.Errorf("%+v, %v", s, err)
	}
	if want := time.Date(2027, 1, 1, 0, 0, 0, 0, now.Location()); !s.Expires.Equal(want) {
		t.Errorf("a date ends %v", s.Expires)
	}
	before := s
	err = s.Apply(map[string]string{"name": "", "level": "-1", "models": "!", "ips": "10.0.0", "expires": "soon", "rpm": "fast", "budget": "20usd/day,3usd/day,1eur", "unknown-price": "maybe",
		"overrun": "own", "ephemeral": "yes", "objects": "none", "unknown-operations": "ask", "cache": "all", "log": "none", "priority": "1000", "tags": `"`, "set-user": "perhaps", "colour": "red"}, now)
	if err == nil || !reflect.DeepEqual(s, before) {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, want := range []string{"name: a key needs a name", "level: ", "models: ", `ips: "10.0.0"`, "expires: ", "rpm: ", "two budgets of usd/day", "the unit is usd or tokens", "unknown-price: ", "overrun: ", "ephemeral: ", "objects: \"none\" is not known; write own, all", "unknown-operations: ", "write key, shared",
		"write full, meta, redacted, off", "priority: ", "tags: ", "set-user: ", "colour: a key has no such setting"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if err := s.Apply(map[string]string{"expires": "90d"}, time.Time{}); err == nil {
		t.Error("a duration in a file has no start")
	}
}

package config_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"forward/internal/config"
)

// exported returns a Config as it exports itself.
func exported(t *testing.T, c *config.Config) string {
	t.Helper()
	var b bytes.Buffer
	if err := c.Export(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestExportLoadsAgain: the export of any settings gives the same settings,
// except for secrets, and holds no secret.
func TestExportLoadsAgain(t *testing.T) {
	const canary = "CANARY-0123456789-abcdefghij-CANARY"
	for _, test := range []struct {
		name    string
		environ []string
		file    string
		out     []string // settings that are left out
	}{
		{name: "defaults"},
		{name: "values of all kinds", environ: []string{
			"PORT=8123", "LOG_LEVEL=debug", `LEVEL_MODELS={"1": ["gpt-4o*", "a: b"], "2": []}`, "CORS_ORIGINS=https://a.example,https://b.example",
			`MODEL_ALIASES={"fast": "gpt-4o-mini", "null": "~"}`, "IP_WHITELIST=10.0.0.0/8,2001:db8::/32", `BUDGETS=[{"tag": "team-red", "limit": "9usd/month"}]`, "TZ=Asia/Shanghai",
			`PRICES={"acme": {"input": "0.50", "output": 2}}`, "TIMEOUT=5s", "NO_PROXY=a,b:8080", "EXTRA_BASE_URL=https://x.example", "EXTRA_ROUTE_PREFIX=/x"}},
		{name: "routes", file: "log_level: warn\nroutes:\n  local:\n    forward: [http://127.0.0.1:11434, http://127.0.0.1:11435]\n    provider: openai\n    models:\n      \"llama*\": {rpm: 60, tpm: 1000}\n" +
			"  other: {forward: https://o.example, keys: [sk-" + canary + "]}\n", out: []string{"routes.other.keys"}},
		{name: "secrets", environ: []string{
			"OPENAI_API_KEY=sk-" + canary, "FORWARD_KEY=fk-" + canary, "ADMIN_KEY=" + canary, "METRICS_KEY=" + canary, "KEY_SECRET=" + canary,
			"BUDGET_WEBHOOK=https://hooks.example/" + canary, "USAGE_WEBHOOK=https://u:" + canary + "@hooks.example/", "WEBHOOK_SECRET=" + canary,
			"PROXY=http://u:" + canary + "@proxy.example", "REQ_RATE_LIMIT_BACKEND=redis://:" + canary + "@redis.example", "CACHE_BACKEND=redis://:" + canary + "@redis.example"},
			out: []string{"OPENAI_API_KEY", "FORWARD_KEY", "ADMIN_KEY", "METRICS_KEY", "KEY_SECRET", "BUDGET_WEBHOOK", "USAGE_WEBHOOK", "WEBHOOK_SECRET", "PROXY", "REQ_RATE_LIMIT_BACKEND", "CACHE_BACKEND"}},
		{name: "places of secrets stay", environ: []string{"ADMIN_KEY=file:secret", "METRICS_KEY=${X}", "LOG_LEVEL=${L}", "X=" + canary, "L=debug"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{"secret": canary}
			if test.file != "" {
				files["forward.yaml"] = test.file
			}
			dir(t, files)
			c, _ := mustLoad(t, test.environ...)
			text := exported(t, c)
			if strings.Contains(text, canary) {
				t.Fatalf("the export has a secret:\n%s", text)
			}
			for _, name := range test.out {
				if !strings.Contains(text, "# "+name+" is set and left out") {
					t.Errorf("%s is not named:\n%s", name, text)
				}
			}
			dir(t, map[string]string{"secret": canary, "forward.yaml": text})
			again, _ := mustLoad(t, "X="+canary, "L=debug")
			for i, s := range again.Effective() {
				want := c.Effective()[i]
				if s.Value != want.Value && !slices.Contains(test.out, s.Name) {
					t.Errorf("%s is %q, was %q:\n%s", s.Name, s.Value, want.Value, text)
				}
			}
			if got, want := bases(again), bases(c); got != want {
				t.Errorf("routes %s, were %s", got, want)
			}
			if got, want := fmt.Sprint(again.Models), fmt.Sprint(c.Models); got != want {
				t.Errorf("models %s, were %s", got, want)
			}
			if twice := exported(t, again); len(test.out) == 0 && twice != text {
				t.Errorf("another export:\n%s\nwas\n%s", twice, text)
			}
		})
	}
}

func bases(c *config.Config) string {
	var list []string
	for _, r := range c.Routes {
		list = append(list, fmt.Sprint(r.Prefix, r.BaseURL, r.Also))
	}
	return strings.Join(list, " ")
}

// TestProposeReportsProblems: each with its line, its setting and what to write
// instead.
func TestProposeReportsProblems(t *testing.T) {
	dir(t, map[string]string{"forward.yaml": "port: 8001\n"})
	running, _ := mustLoad(t)
	for _, test := range []struct {
		text, setting string
		line          int
		fix           string
	}{
		{"log_level: info\nport: eighty\n", "port", 2, "write a number from 0 to 65535"},
		{"a:\n\tb: c\n", "line", 2, "indent with spaces"},
		{"log_levle: info\n", "log_levle", 1, "did you mean log_level"},
		{"routes:\n  a:\n    provider: openai\n", "routes.a", 2, "write forward: https://…"},
		{"cache:\n  ttl: soon\n", "cache.ttl", 2, "write seconds (10)"},
	} {
		p := config.Propose(config.Flags{}, nil, running, test.text)
		if p.Config != nil || len(p.Problems) != 1 {
			t.Errorf("%q: %v", test.text, p.Problems)
			continue
		}
		if got := p.Problems[0]; got.Line() != test.line || got.Name != test.setting || !strings.Contains(got.Text(), test.fix) {
			t.Errorf("%q: line %d, %s: %s", test.text, got.Line(), got.Name, got.Text())
		}
	}
}

func TestProposeShowsTheDifference(t *testing.T) {
	const current = "port: 8001\nlog_level: info\nopenai_api_key: sk-current-0123456789\nroutes:\n  a:\n    forward: https://a.example\n    keys: [sk-a-0123456789]\n    models: {m: {rpm: 5}}\n"
	dir(t, map[string]string{"forward.yaml": current, ".env": "RETRIES=1\n"})
	running, _ := mustLoad(t)
	changes := func(text string) string {
		p := config.Propose(config.Flags{}, nil, running, text)
		if p.Config == nil {
			t.Fatalf("%q: %v", text, p.Problems)
		}
		return fmt.Sprint(p.Changes)
	}
	for _, test := range []struct{ text, want string }{
		{current, "[]"},
		{strings.ReplaceAll(current, "port: 8001", "PORT: '8001'"), "[]"},
		{strings.ReplaceAll(current, "8001", "8002"), "[{PORT 8001 8002 true}]"},
		{current + "retries: 5\n", "[]"}, // .env comes first
		{strings.ReplaceAll(current, "log_level: info", "log_level: debug"), "[{LOG_LEVEL info debug false}]"},
		{strings.ReplaceAll(current, "sk-current", "sk-another"), "[{OPENAI_API_KEY sk-cur…789 sk-ano…789 false}]"},
		{strings.ReplaceAll(current, "rpm: 5", "rpm: 7"), "[{routes.a.models.m.rpm 5 7 false}]"},
		{strings.ReplaceAll(current, "sk-a-", "sk-b-"), "[{routes.a.keys (hidden) (hidden) false}]"},
		{"port: 8001\nopenai_api_key: sk-current-0123456789\n", "[{routes.a.keys (hidden)  false} {routes.a.forward https://a.example  false} {routes.a.models.m.rpm 5  false}]"},
	} {
		if got := changes(test.text); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.text, got, test.want)
		}
	}
	if got := fmt.Sprint(mustChanged(t, running)); got != "[]" {
		t.Errorf("a proposal changed the settings: %s", got)
	}
}

// TestProposeKnowsItsCopy: a copy of a file with references and places of
// secrets changes nothing, although they are not read, and managed keys are
// looked for where the gateway has them.
func TestProposeKnowsItsCopy(t *testing.T) {
	const current = "host: 0.0.0.0\nadmin_key: file:secret\nlog_level: ${L}\nopenai_api_key: ['file:secret', sk-0123456789]\nroutes: {a: {forward: '${BASE}', keys: ['file:secret']}}\n"
	dir(t, map[string]string{"forward.yaml": current, "secret": "sk-secret-0123456789"})
	environ := []string{"L=debug", "BASE=https://a.example"}
	flags := config.Flags{ManagedKeys: func(string) bool { return true }}
	running, _, err := config.Load(flags, environ)
	if err != nil {
		t.Fatal(err)
	}
	if p := config.Propose(flags, environ, running, current); len(p.Problems) > 0 || len(p.Changes) > 0 {
		t.Errorf("%v %+v", p.Problems, p.Changes)
	}
	// What stood for a text is written instead of it.
	if p := config.Propose(flags, environ, running, strings.ReplaceAll(current, "${L}", "debug")); len(p.Problems) > 0 || len(p.Changes) > 0 {
		t.Errorf("%v %+v", p.Problems, p.Changes)
	}
	if p := config.Propose(config.Flags{}, environ, running, current); len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Text(), "OPEN_ACCESS") {
		t.Errorf("without a forward key: %v", p.Problems)
	}
}

func mustChanged(t *testing.T, running *config.Config) []string {
	again, _ := mustLoad(t)
	return again.Changed(running)
}

// TestProposeReadsNothing: a text of a browser opens no file, makes none, reads
// no variable, and no error shows any of it.
func TestProposeReadsNothing(t *testing.T) {
	const canary = "CANARY-0123456789-abcdefghij-CANARY"
	place := t.TempDir()
	secret := filepath.Join(place, "secret")
	if err := os.WriteFile(secret, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	dir(t, map[string]string{".env": "DOT=" + canary + "\n"})
	running, _ := mustLoad(t)
	asked := []string{}
	flags := config.Flags{ManagedKeys: func(dir string) bool { asked = append(asked, dir); return false }}
	for _, text := range []string{
		"openai_api_key: file:" + secret,
		"openai_api_key: [file:" + secret + ", sk-0123456789]",
		`openai_api_key: '{"file:` + secret + `": [0]}'`,
		"openai_api_key: {file:" + secret + ": 0}",
		"forward_key: alice=file:" + secret,
		"forward_key: {file:" + secret + ": {name: alice}}",
		"admin_key: file:" + secret,
		"metrics_key: ${SECRET}",
		"key_secret: file:" + secret,
		"budget_webhook: file:" + secret,
		"budget_webhook: https://hooks.example/${SECRET}",
		"proxy: file:" + secret,
		"req_rate_limit_backend: file:" + secret,
		"cache_backend: file:" + secret,
		"port: ${SECRET}",
		"log_level: ${DOT}",
		"log_level: ${NONE:-" + secret + "}",
		"host: ${SECRET}",
		"extra_base_url: https://${SECRET}.example\nextra_route_prefix: /x",
		"level_models: {\"1\": [\"${SECRET}\"]}",
		"routes: {a: {forward: 'https://${SECRET}.example'}}",
		"routes: {a: {forward: '${SECRET}'}}",
		"routes: {a: {forward: https://a.example, keys: [file:" + secret + ", '${DOT}']}}",
		"tls_cert: " + secret + "\ntls_key: " + filepath.Join(place, "none"),
		"data_dir: " + place + "\nopenai_api_key: sk-0123456789",
		"log_dir: " + filepath.Join(place, "made"),
	} {
		p := config.Propose(flags, []string{"SECRET=" + canary}, running, text)
		if len(p.Problems) > 0 {
			t.Errorf("%s: %v", text, p.Problems)
			continue
		}
		shown := fmt.Sprintf("%+v %+v %+v %+v %+v", p.Warnings, p.Changes, p.Config.Effective(), p.Config.Routes, exported(t, p.Config))
		if strings.Contains(shown, canary) || strings.Contains(fmt.Sprintf("%v %v", p.Config.Access.AdminKey.Reveal(), reveal(p.Config)), canary) {
			t.Errorf("%s was read: %s", text, shown)
		}
		unread := strings.Contains(text, "file:") || strings.Contains(text, "${")
		if noted := strings.Contains(fmt.Sprint(p.Warnings), "not read here"); noted != unread {
			t.Errorf("%s: warnings %v", text, p.Warnings)
		}
	}
	if slices.ContainsFunc(asked, func(dir string) bool { return dir != running.DataDir }) {
		t.Errorf("databases were looked for in %q", asked)
	}
	if entries, _ := os.ReadDir(place); len(entries) != 1 {
		t.Errorf("there is %v", entries)
	}
	// The operator's own .env may name files, which are read.
	if err := os.WriteFile(".env", []byte("ADMIN_KEY=file:"+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	running, _ = mustLoad(t)
	if p := config.Propose(flags, nil, running, "port: 8001"); len(p.Changes) != 1 || p.Config.Access.AdminKey.Reveal() != canary {
		t.Errorf("%+v", p.Changes)
	}
}

// reveal returns the API keys and forward keys of a Config as they are.
func reveal(c *config.Config) (list []string) {
	for _, r := range c.Routes {
		for _, k := range r.APIKeys {
			list = append(list, k.Secret.Reveal())
		}
	}
	for _, k := range c.Access.Keys {
		list = append(list, k.Secret.Reveal())
	}
	return append(list, c.Limits.Backend, c.Cache.Backend, c.Ledger.BudgetWebhook.Reveal(), c.Access.MetricsKey.Reveal(), c.Access.KeySecret.Reveal())
}

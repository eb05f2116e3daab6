package config_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"forward/internal/config"
)

// TestAccess pins who may come in, by address and keys.
func TestAccess(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		warns   string // part of a warning; "" for none
		fails   bool
	}{
		{"no keys at all is transparent", []string{"HOST=0.0.0.0"}, "", false},
		{"API keys on loopback", []string{"OPENAI_API_KEY=sk-1"}, "every program on this machine", false},
		{"API keys on IPv6 loopback", []string{"OPENAI_API_KEY=sk-1", "HOST=[::1]"}, "every program on this machine", false},
		{"API keys on localhost", []string{"OPENAI_API_KEY=sk-1", "HOST=LocalHost"}, "every program on this machine", false},
		{"API keys on every address", []string{"OPENAI_API_KEY=sk-1", "HOST=0.0.0.0"}, "", true},
		{"API keys on every IPv6 address", []string{"ANTHROPIC_API_KEY=sk-1", "HOST=::"}, "", true},
		{"API keys on a host name", []string{"GEMINI_API_KEY=sk-1", "HOST=gateway.example"}, "", true},
		{"API keys and an empty FORWARD_KEY", []string{"OPENAI_API_KEY=sk-1", "HOST=0.0.0.0", "FORWARD_KEY="}, "", true},
		{"API keys and FORWARD_KEY of blanks and commas", []string{"OPENAI_API_KEY=sk-1", "HOST=0.0.0.0", "FORWARD_KEY= , ,"}, "", true},
		{"API keys and an empty JSON FORWARD_KEY", []string{"OPENAI_API_KEY=sk-1", "HOST=0.0.0.0", "FORWARD_KEY={}"}, "", true},
		{"OPEN_ACCESS", []string{"OPENAI_API_KEY=sk-1", "HOST=0.0.0.0", "OPEN_ACCESS=yes"}, "every client that reaches 0.0.0.0", false},
		{"both kinds of keys", []string{"OPENAI_API_KEY=sk-1", "FORWARD_KEY=fk-1", "HOST=0.0.0.0"}, "", false},
		{"forward keys only", []string{"FORWARD_KEY=fk-1"}, "no API key to swap them for", false},
		{"forward keys only, with passthrough", []string{"FORWARD_KEY=fk-1", "PASSTHROUGH_KEYS=1"}, "", false},
		{"a level without models", []string{"OPENAI_API_KEY=sk-1", `FORWARD_KEY={"fk-1": 2}`}, "level 2 may use no model", false},
		{"a level without API key", []string{`OPENAI_API_KEY={"sk-1": [0]}`, `FORWARD_KEY={"fk-1": 2}`, `LEVEL_MODELS={"2": ["gpt-4o"]}`}, "no API key of / serves level 2", false},
		{"a route of forward.yaml counts", []string{"HOST=0.0.0.0", "FORWARD_YAML"}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			files := map[string]string{}
			if c.environ[len(c.environ)-1] == "FORWARD_YAML" {
				files["forward.yaml"] = "routes: {a: {forward: 'https://a.example', keys: [sk-1]}}"
			}
			dir(t, files)
			_, warnings, err := config.Load(config.Flags{}, c.environ)
			if c.fails != (err != nil) || c.fails && !strings.Contains(err.Error(), "OPEN_ACCESS=true") {
				t.Errorf("error %v", err)
			}
			if c.warns == "" && !c.fails && len(warnings) > 0 || !strings.Contains(fmt.Sprint(warnings), c.warns) {
				t.Errorf("warnings %v, want %q", warnings, c.warns)
			}
		})
	}
}

// TestSecretsStayHidden puts one canary wherever a secret may stand, right and
// wrong, and looks at all that can be printed.
func TestSecretsStayHidden(t *testing.T) {
	const canary = "CANARY-0123456789-abcdefghij-CANARY"
	files := map[string]string{
		"secret":       canary + "\n",
		"forward.yaml": "routes:\n  a:\n    forward: https://a.example\n    keys: {sk-" + canary + ": [0]}\n",
	}
	for _, environ := range [][]string{
		{"OPENAI_API_KEY=sk-" + canary, "FORWARD_KEY=fk-" + canary},
		{`OPENAI_API_KEY={"sk-` + canary + `": [0, 1], "sk-` + canary + `": 2}`, `FORWARD_KEY={"fk-` + canary + `": {"level": 1, "name": "alice"}}`},
		{`FORWARD_KEY={"0": ["` + canary + `"]}`, "ANTHROPIC_API_KEY=" + canary, "GEMINI_API_KEY=" + canary, "ADMIN_KEY=" + canary},
		{"OPENAI_API_KEY=file:secret", "FORWARD_KEY=${X}", "X=" + canary},
		{"PROXY=http://user:" + canary + "@proxy:1", "REQ_RATE_LIMIT_BACKEND=redis://:" + canary + "@redis:6379", "CACHE_BACKEND=redis://u:" + canary + "@redis/0"},
		{"PROXY=gopher://user:" + canary + "@proxy", "REQ_RATE_LIMIT_BACKEND=mongo://:" + canary + "@x", "CACHE_ROOT_PATH_OR_URL=http://u:" + canary + "@x"},
		{`OPENAI_API_KEY={"sk-` + canary + `": "x"}`, `FORWARD_KEY={"fk-` + canary + `":`, `LEVEL_MODELS={"fk-` + canary + `": 1}`},
		{`FORWARD_KEY={"fk-` + canary + `": 1, "fk-` + canary + `": 2}`, "OPENAI_API_KEY=sk-" + canary + " sk-" + canary},
		{"OPENAI_BASE_URL=https://user:" + canary + "@a.example", "EXTRA_BASE_URL=https://b.example/?key=" + canary, "EXTRA_ROUTE_PREFIX=/b"},
		{"OPENAI_API_KYE=" + canary, "CORS_ORIGINS=https://u:" + canary + "@a.example"},
	} {
		dir(t, files)
		c, warnings, err := config.Load(config.Flags{}, environ)
		shown := fmt.Sprintf("%v %+v %#v %v", warnings, warnings, warnings, err)
		if c != nil {
			shown += fmt.Sprintf("%v %+v %#v %v %+v", c, c, c.Routes, c.Effective(), c.Access.Keys)
		}
		if strings.Contains(shown, canary) && !strings.Contains(strings.Join(environ, " "), "redis://") || strings.Contains(fmt.Sprint(warnings, err), canary) {
			t.Errorf("the canary is printed for %q:\n%s", environ, shown)
		}
		if c != nil && strings.Contains(fmt.Sprintf("%+v", c.Effective()), canary) {
			t.Errorf("the canary is in Effective for %q", environ)
		}
	}
}

// TestMaskedOnce: forward check shows a key as every other package shows it, so
// that a person can match the two.
func TestMaskedOnce(t *testing.T) {
	dir(t, nil)
	c, _ := mustLoad(t, "OPENAI_API_KEY=sk-abcdefghijklmnopqrstuvwxyz", "FORWARD_KEY={\"fk-abcdefghijklmnopqrstuvwxyz\": {\"level\": 1, \"name\": \"alice\"}}", `LEVEL_MODELS={"1": ["*"]}`)
	for _, s := range c.Effective() {
		switch s.Name {
		case "OPENAI_API_KEY":
			if want := c.Routes[0].APIKeys[0].Secret.String(); s.Value != want {
				t.Errorf("%s is shown as %s, want %s", s.Name, s.Value, want)
			}
		case "FORWARD_KEY":
			if want := "alice " + c.Access.Keys[0].Secret.String() + " (level 1)"; s.Value != want {
				t.Errorf("%s is shown as %s, want %s", s.Name, s.Value, want)
			}
		}
	}
}

// TestSecretForms reads a secret from each place that it may stand in.
func TestSecretForms(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        []string
	}{
		{"file", "file:one", []string{"sk-one"}},
		{"file of a list", "file:list", []string{"sk-a", "sk-b"}},
		{"file of JSON", "file:json", []string{"sk-a"}},
		{"files in a list", "file:one, sk-two", []string{"sk-one", "sk-two"}},
		{"files in JSON", `{"file:one": [0]}`, []string{"sk-one"}},
		{"variable", "${SK}", []string{"sk-env"}},
		{"variable in JSON", `{"${SK}": [0], "${DOT}": 0}`, []string{"sk-env", "sk-dot"}},
		{"variable that names a file", "file:${FILE}", []string{"sk-one"}},
		{"environment before .env", "${BOTH}", []string{"sk-env"}},
		{"variable with quotes in it", `{"${QUOTES}": 0}`, []string{`sk":1,"x`}},
		{"plain dollar", "sk$1", []string{"sk$1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, map[string]string{"one": "sk-one\r\n", "list": "sk-a,sk-b\n", "json": `{"sk-a": 0}`, ".env": "DOT=sk-dot\nBOTH=sk-dot\n"})
			conf, _ := mustLoad(t, "OPENAI_API_KEY="+c.value, "SK=sk-env", "BOTH=sk-env", "FILE=one", `QUOTES=sk":1,"x`)
			var got []string
			for _, k := range conf.Routes[0].APIKeys {
				got = append(got, k.Secret.Reveal())
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("keys %q, want %q", got, c.want)
			}
		})
	}
	t.Run("nothing is written into the environment", func(t *testing.T) {
		dir(t, map[string]string{".env": "FORWARD_TEST_VARIABLE=1\n"})
		mustLoad(t)
		if os.Getenv("FORWARD_TEST_VARIABLE") != "" {
			t.Error("it was")
		}
	})
}

// TestForwardKeyForms reads both orientations of openai-forward's object, and
// names.
func TestForwardKeyForms(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{`fk-1, 123`, "fk-1/0/ 123/0/"},
		{`["fk-1", "fk-2"]`, "fk-1/0/ fk-2/0/"},
		{`{"fk-1": 0, "fk-2": 1}`, "fk-1/0/ fk-2/1/"},
		{`{"123": 1}`, "123/1/"},
		{`{"0": ["fk-1"], "1": ["fk-2", "123"]}`, "fk-1/0/ fk-2/1/ 123/1/"},
		{`{"1": ["123"]}`, "123/1/"},
		{`{"0": "fk-1"}`, "fk-1/0/"},
		{`{"fk-1": [1]}`, "fk-1/1/"},
		{`{"fk-1": {"level": 1, "name": "alice"}, "fk-2": {"name": "bob"}}`, "fk-1/1/alice fk-2/0/bob"},
		{`{"fk-1": 1, "fk-1": "1"}`, "fk-1/1/"},
		{`{"": 0, "0": []}`, ""},
	} {
		t.Run(c.value, func(t *testing.T) {
			dir(t, nil)
			conf, _ := mustLoad(t, "FORWARD_KEY="+c.value)
			var got []string
			for _, k := range conf.Access.Keys {
				got = append(got, fmt.Sprintf("%s/%d/%s", k.Secret.Reveal(), k.Level, k.Name))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
	for _, wrong := range []string{`{"fk-1": "high"}`, `{"fk-1": [0, 1]}`, `{"fk-1": -1}`, `{"fk-1": 99999}`, `{"fk-1": {"level": "x"}}`, `[["fk-1"]]`} {
		t.Run(wrong, func(t *testing.T) {
			dir(t, nil)
			problems(t, "FORWARD_KEY="+wrong)
		})
	}
}

// TestForwardKeyPolicies reads the policy of a key in forward.yaml, and reports
// all that is wrong with it.
func TestForwardKeyPolicies(t *testing.T) {
	dir(t, map[string]string{"forward.yaml": "forward_key:\n  fk-policy:\n    name: alice\n    models: [gpt-*, \"!gpt-4*\"]\n    rpm: 60\n    budget: [20usd/month, 1mtokens/day]\n    expires: 2030-01-01\n    set_user: true\n"})
	conf, _ := mustLoad(t)
	if len(conf.Access.Keys) != 1 {
		t.Fatal(conf.Access.Keys)
	}
	k := conf.Access.Keys[0]
	if k.Name != "alice" || k.Policy.AllowsModel("gpt-4o") || !k.Policy.AllowsModel("gpt-3.5") || k.Policy.RPM != 60 || len(k.Policy.Budgets) != 2 || k.Expires.Year() != 2030 || !k.Policy.SetUser {
		t.Errorf("%+v", k)
	}
	for value, want := range map[string]string{
		`{"fk-1": {"modles": ["x"]}}`:              "did you mean models?",
		`{"fk-1": {"rpm": "fast", "log": "none"}}`: "rpm: ",
		`{"fk-1": {"log": "none", "rpm": "x"}}`:    "write full, meta, redacted, off",
		`{"fk-1": {"expires": "90d"}}`:             "is not a date",
	} {
		dir(t, nil)
		if _, _, err := config.Load(config.Flags{}, []string{"FORWARD_KEY=" + value}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestKeySecret(t *testing.T) {
	dir(t, map[string]string{"secret": "0123456789abcdef\n"})
	if conf, _ := mustLoad(t, "KEY_SECRET=file:secret"); conf.Access.KeySecret.Reveal() != "0123456789abcdef" {
		t.Error("not read")
	}
	if _, _, err := config.Load(config.Flags{}, []string{"KEY_SECRET=short"}); err == nil || !strings.Contains(err.Error(), "openssl rand") || strings.Contains(err.Error(), "short ") && strings.Contains(err.Error(), "=short") {
		t.Error(err)
	}
}

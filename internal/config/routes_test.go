package config_test

import (
	"fmt"
	"strings"
	"testing"

	"forward/internal/config"
)

// TestRoutes pins what is mounted where.
func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		yaml    string
		want    string // name prefix+aliases=base(dialect)keys; built-in ones in brackets
	}{
		{"nothing configured", nil, "", "[openai /,/openai=api.openai.com(openai)0] [anthropic /anthropic=api.anthropic.com(anthropic)0] [gemini /gemini=generativelanguage.googleapis.com(gemini)0]"},
		{"keys go to their provider", []string{"OPENAI_API_KEY=sk-1,sk-2", "ANTHROPIC_API_KEY=a", "GEMINI_API_KEY=g,h,i"}, "",
			"[openai /,/openai=api.openai.com(openai)2] [anthropic /anthropic=api.anthropic.com(anthropic)1] [gemini /gemini=generativelanguage.googleapis.com(gemini)3]"},
		{"base with path and slash", []string{"OPENAI_BASE_URL=https://a.example/compatible-mode/v1/", "OPENAI_ROUTE_PREFIX=qwen/v1/"}, "",
			"qwen_v1 /qwen/v1=a.example/compatible-mode/v1(openai)0 […] […]"},
		{"/openai by hand keeps the alias away", []string{"OPENAI_BASE_URL=https://a.example,https://b.example", "OPENAI_ROUTE_PREFIX=/,/openai"}, "",
			"openai /=a.example(openai)0 openai-2 /openai=b.example(openai)0 […] […]"},
		{"/anthropic and /gemini by hand", []string{`FORWARD_CONFIG=[{"base_url":"https://a.example","route":"/anthropic","type":"anthropic"},{"base_url":"https://g.example/v1beta/openai","route":"/gemini"}]`, "ANTHROPIC_API_KEY=a"}, "",
			"anthropic /anthropic=a.example(anthropic)1 gemini /gemini=g.example/v1beta/openai(openai)0"},
		{"general by host, by prefix, by nothing", []string{`FORWARD_CONFIG=[{"base_url":"https://api.anthropic.com","route":"/a"},{"base_url":"http://h.example","route":"/gemini"},{"base_url":"http://h.example","route":"/x","type":"General"}]`, "OPENAI_API_KEY=sk-1", "GEMINI_API_KEY=g,h"}, "",
			"a /a=api.anthropic.com(anthropic)1 gemini /gemini=h.example(gemini)2 x /x=h.example(openai)1 […]"},
		{"extra routes are open", []string{"OPENAI_API_KEY=sk-1", "EXTRA_BASE_URL=http://localhost:8882", "EXTRA_ROUTE_PREFIX=tts"}, "",
			"[openai /,/openai=api.openai.com(openai)1] tts /tts=localhost:8882(openai)open […] […]"},
		{"an extra root has no alias", []string{"OPENAI_BASE_URL=https://api.openai.com/v1", "OPENAI_ROUTE_PREFIX=/v1", "EXTRA_BASE_URL=http://h:7999", "EXTRA_ROUTE_PREFIX=/"}, "",
			"v1 /v1=api.openai.com/v1(openai)0 openai /=h:7999(openai)open […] […]"},
		{"FORWARD_CONFIG beside OPENAI_BASE_URL", []string{"OPENAI_BASE_URL=https://a.example", `FORWARD_CONFIG=[{"base_url":"https://b.example","route":"/b","type":"openai"}]`}, "",
			"openai /,/openai=a.example(openai)0 b /b=b.example(openai)0 […] […]"},
		{"forward.yaml", []string{"SK=sk-1", "OPENAI_API_KEY=sk-2"}, "routes:\n  deep: {forward: 'https://d.example/v1', prefix: /deep/seek/v1, keys: ['${SK}', sk-3]}\n  claude: {forward: 'https://api.anthropic.com', provider: anthropic}\n",
			"[openai /,/openai=api.openai.com(openai)1] deep_seek_v1 /deep/seek/v1=d.example/v1(openai)2 claude /claude=api.anthropic.com(anthropic)0 […] […]"},
		{"credentials of the clients' own", []string{"CLIENT_CREDENTIALS=openai, /anthropic/"}, "routes:\n  claude: {forward: 'https://api.anthropic.com', provider: anthropic, credentials: client}\n  ours: {forward: 'https://api.anthropic.com', provider: anthropic, credentials: gateway}\n",
			"[openai /,/openai=api.openai.com(openai)0client] claude /claude=api.anthropic.com(anthropic)0client ours /ours=api.anthropic.com(anthropic)0 [anthropic /anthropic=api.anthropic.com(anthropic)0client] […]"},
		{"anchors and merges in forward.yaml", nil, "routes:\n  a: &a {forward: 'https://a.example', provider: gemini}\n  b: {<<: *a, prefix: /bb}\n  c: *a\n",
			"[…] a /a=a.example(gemini)0 bb /bb=a.example(gemini)0 c /c=a.example(gemini)0 […] […]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, map[string]string{"forward.yaml": c.yaml})
			conf, _ := mustLoad(t, c.environ...)
			var got []string
			for _, r := range conf.Routes {
				where := strings.Join(append([]string{r.Prefix}, r.Aliases...), ",")
				text := fmt.Sprintf("%s %s=%s%s(%s)%d", r.Name, where, r.BaseURL.Host, r.BaseURL.Path, r.Dialect.Name, len(r.APIKeys))
				if r.Open {
					text = strings.TrimSuffix(text, "0") + "open"
				}
				if r.Client {
					text += "client"
				}
				if r.BuiltIn {
					text = "[" + text + "]"
				}
				got = append(got, text)
			}
			matchRoutes(t, got, c.want)
		})
	}
}

// matchRoutes compares, where […] in want stands for any built-in route.
func matchRoutes(t *testing.T, got []string, want string) {
	t.Helper()
	for _, g := range got {
		switch {
		case strings.HasPrefix(want, g):
			want = strings.TrimPrefix(strings.TrimPrefix(want, g), " ")
		case strings.HasPrefix(want, "[…]") && strings.HasPrefix(g, "["):
			want = strings.TrimPrefix(strings.TrimPrefix(want, "[…]"), " ")
		default:
			t.Errorf("unexpected route %s; left: %s", g, want)
			return
		}
	}
	if want != "" {
		t.Errorf("missing: %s", want)
	}
}

// TestLoops: a gateway must not be its own upstream, by whatever name.
func TestLoops(t *testing.T) {
	for _, c := range []struct {
		environ []string
		loop    bool
	}{
		{[]string{"OPENAI_BASE_URL=http://127.0.0.1:8000"}, true},
		{[]string{"OPENAI_BASE_URL=http://[::1]:8000/v1"}, true},
		{[]string{"ANTHROPIC_BASE_URL=http://localhost:8000/anthropic"}, true},
		{[]string{"HOST=0.0.0.0", "PORT=80", "OPENAI_BASE_URL=http://localhost"}, true},
		{[]string{"HOST=gw.example", "PORT=443", `FORWARD_CONFIG=[{"base_url":"https://GW.example","route":"/a"}]`}, true},
		{[]string{"OPENAI_BASE_URL=http://localhost:8001"}, false},
		{[]string{"HOST=10.0.0.1", "OPENAI_BASE_URL=http://localhost:8000"}, false},
		{[]string{"OPENAI_BASE_URL=http://10.0.0.1:8000"}, false},
	} {
		t.Run(strings.Join(c.environ, " "), func(t *testing.T) {
			dir(t, nil)
			_, _, err := config.Load(config.Flags{}, c.environ)
			if c.loop != (err != nil && strings.Contains(err.Error(), "this gateway itself")) {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestWarnings pins what is worth a warning although the gateway starts.
func TestWarnings(t *testing.T) {
	workers := 4
	for _, c := range []struct {
		name  string
		flags config.Flags
		env   string
		want  string
	}{
		{"/v1 twice", config.Flags{}, "OPENAI_BASE_URL=https://api.openai.com/v1", "write the base URL without /v1"},
		{"workers", config.Flags{Workers: &workers}, "", "--workers: not needed"},
		{"level 0", config.Flags{}, `LEVEL_MODELS={"0":["gpt-4"]}`, "level 0 may use every model"},
		{"limit twice", config.Flags{}, `REQ_RATE_LIMIT={"/a":"1/minute","/a/":"2/minute"}`, `"/a" is limited twice`},
		{"key twice", config.Flags{}, `OPENAI_API_KEY=sk-1,sk-1`, "one key is written twice"},
		{"cache server", config.Flags{}, `CACHE_ROOT_PATH_OR_URL=http://localhost:8745`, "a cache server is not supported"},
		{"comment", config.Flags{}, `TIMEOUT=5 # seconds`, "read as a comment"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, nil)
			_, warnings, err := config.Load(c.flags, []string{c.env})
			if err != nil || !strings.Contains(fmt.Sprint(warnings), c.want) {
				t.Errorf("warnings %v, error %v", warnings, err)
			}
		})
	}
}

// TestCredentialsOfRoutes reads the mistakes about whose credential goes
// upstream.
func TestCredentialsOfRoutes(t *testing.T) {
	dir(t, map[string]string{"forward.yaml": "routes:\n  claude: {forward: 'https://api.anthropic.com', credentials: clients}\n"})
	_, _, err := config.Load(config.Flags{}, []string{"CLIENT_CREDENTIALS=/claude, /nowhere"})
	if err == nil || !strings.Contains(err.Error(), `"clients" is not known; write client`) || !strings.Contains(err.Error(), "no route is mounted at /nowhere") {
		t.Errorf("error %v", err)
	}
	dir(t, map[string]string{"forward.yaml": ""})
	_, warnings := mustLoad(t, "CLIENT_CREDENTIALS=/anthropic", "ANTHROPIC_API_KEY=a", "FORWARD_KEY=fk-a")
	if text := fmt.Sprint(warnings); !strings.Contains(text, "its API keys are not used there") || strings.Contains(text, "no API key to swap them for") {
		t.Errorf("warnings %v", warnings)
	}
}

func TestARouteOfTheFileMayTakeTheRoot(t *testing.T) {
	dir(t, map[string]string{"forward.yaml": "routes:\n  openai: {forward: https://a.example, prefix: /, keys: sk-1, models: {\"*\": {rpm: 5}}}\n"})
	cfg, _, err := config.Load(config.Flags{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range cfg.Routes {
		if r.Prefix == "/" && (r.BaseURL.Host != "a.example" || len(r.APIKeys) != 1 || r.BuiltIn || fmt.Sprint(r.Aliases) != "[/openai]" || r.Name != cfg.Models[0].Route) {
			t.Errorf("%+v, limits of %s", r, cfg.Models[0].Route)
		}
	}
}

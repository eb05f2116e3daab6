package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"forward/internal/config"
	"forward/internal/limits"
)

// TestValues reads one setting after another in each spelling that people use.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		environ string
		get     func(*config.Config) any
		want    any
	}{
		{"PASSTHROUGH_KEYS=TRUE", func(c *config.Config) any { return c.Access.Passthrough }, true},
		{"PASSTHROUGH_KEYS= on ", func(c *config.Config) any { return c.Access.Passthrough }, true},
		{"LOG_CHAT=Yes", func(c *config.Config) any { return c.Log.Chat }, true},
		{"LOG_OPENAI=1", func(c *config.Config) any { return c.Log.Chat }, true},
		{"LOG_CHAT=off", func(c *config.Config) any { return c.Log.Chat }, false},
		{"CACHE_OPENAI=true", func(c *config.Config) any { return fmt.Sprint(c.Cache.Chat, c.Cache.Embedding) }, "true true"},
		{"EXTRA_AUTH=Key", func(c *config.Config) any { return c.Access.ExtraAuth }, true},
		{"TIMEOUT=6", func(c *config.Config) any { return c.Upstream.ConnectTimeout }, 6 * time.Second},
		{"TIMEOUT=0.5", func(c *config.Config) any { return c.Upstream.ConnectTimeout }, 500 * time.Millisecond},
		{"TIMEOUT=250ms", func(c *config.Config) any { return c.Upstream.ConnectTimeout }, 250 * time.Millisecond},
		{"HEADER_TIMEOUT=0", func(c *config.Config) any { return c.Upstream.HeaderTimeout }, time.Duration(0)},
		{"CACHE_TTL=1h30m", func(c *config.Config) any { return c.Cache.TTL }, 90 * time.Minute},
		{"CACHE_TTL=30 d", func(c *config.Config) any { return c.Cache.TTL }, 30 * 24 * time.Hour},
		{"LOG_RETENTION=2W", func(c *config.Config) any { return c.Log.Retention }, 14 * 24 * time.Hour},
		{"MAX_BODY_BYTES=65536", func(c *config.Config) any { return c.Upstream.MaxBody }, int64(65536)},
		{"MAX_BODY_BYTES=64 MiB", func(c *config.Config) any { return c.Upstream.MaxBody }, int64(64 << 20)},
		{"CACHE_MAX_BYTES=1.5gb", func(c *config.Config) any { return c.Cache.MaxBytes }, int64(1_500_000_000)},
		{"CACHE_MAX_BYTES=2G", func(c *config.Config) any { return c.Cache.MaxBytes }, int64(2 << 30)},
		{"IP_WHITELIST=1.2.3.4, ::ffff:10.0.0.0/104, 2001:db8::1/32", func(c *config.Config) any { return fmt.Sprint(c.Access.Allow) }, "[1.2.3.4/32 10.0.0.0/8 2001:db8::/32]"},
		{"TRUSTED_PROXIES=[\"10.0.0.1\"]", func(c *config.Config) any { return fmt.Sprint(c.Access.TrustedProxies) }, "[10.0.0.1/32]"},
		{"CORS_ORIGINS=https://a.example, http://localhost:3000", func(c *config.Config) any { return len(c.Access.CORSOrigins) }, 2},
		{"RATE_LIMIT_STRATEGY=Moving_Window", func(c *config.Config) any { return c.Limits.Strategy }, limits.MovingWindow},
		{"REQ_RATE_LIMIT_BACKEND=memory://", func(c *config.Config) any { return c.Limits.Backend }, "memory"},
		{"REQ_RATE_LIMIT_BACKEND=rediss://:pw@r:6379/1", func(c *config.Config) any { return c.Limits.Backend }, "rediss://:pw@r:6379/1"},
		{"GLOBAL_RATE_LIMIT=100 per 2 minutes", func(c *config.Config) any { return fmt.Sprint(c.Limits.Global) }, "[100/2minutes]"},
		{"CACHE_BACKEND=RocksDB", func(c *config.Config) any { return c.Cache.Backend }, "BADGER"},
		{"CACHE_BACKEND=memory", func(c *config.Config) any { return c.Cache.Backend }, "MEMORY"},
		{"DATA_DIR=/var/lib/forward", func(c *config.Config) any { return c.Cache.Dir }, "/var/lib/forward/cache"},
		{"CACHE_ROOT_PATH_OR_URL=/tmp/c", func(c *config.Config) any { return c.Cache.Dir }, "/tmp/c"},
		{"PROXY=socks5h://u:p@localhost:1080", func(c *config.Config) any { return c.Upstream.Proxy.String() }, "socks5://u:p@localhost:1080"},
		{"PROXY=none", func(c *config.Config) any { return c.Upstream.Proxy == nil }, true},
		{"RETRY_STATUS=502,503", func(c *config.Config) any { return fmt.Sprint(c.Upstream.RetryStatus) }, "[502 503]"},
		{`LOG_REDACT={"customer": "C-\\d{6}", "b": "x,y"}`, func(c *config.Config) any { return fmt.Sprint(c.Log.Redact) }, `[{customer C-\d{6}} {b x,y}]`},
		{`LOG_REDACT=["C-\\d{6}"]`, func(c *config.Config) any { return fmt.Sprint(c.Log.Redact) }, `[{ C-\d{6}}]`},
		{`LOG_REDACT=C-\d{1,6}`, func(c *config.Config) any { return fmt.Sprint(c.Log.Redact) }, `[{ C-\d{1,6}}]`},
		{"LOG_REDACT=", func(c *config.Config) any { return len(c.Log.Redact) }, 0},
		{"LOG_CHAT=true", func(c *config.Config) any { return c.Log.MaxTotal }, int64(10e9)}, // B35: chat logs have a bound
		{"LOG_MEDIA=keep", func(c *config.Config) any { return c.Log.KeepMedia }, true},
		{"LOG_REPEATS=keep", func(c *config.Config) any { return c.Log.KeepRepeats }, true},
		{"LOG_REPEATS=refer", func(c *config.Config) any { return c.Log.KeepRepeats }, false},
		{"LOG_MEDIA=digest", func(c *config.Config) any { return c.Log.KeepMedia }, false},
		{"LOG_MAX_TOTAL=1GB", func(c *config.Config) any { return c.Log.MaxTotal }, int64(1e9)},
		{"LOG_LEVEL=WARNING", func(c *config.Config) any { return c.Log.Level }, "warn"},
		{"LOG_FORMAT=console", func(c *config.Config) any { return c.Log.Format }, "text"},
		{"TZ=:Asia/Kolkata", func(c *config.Config) any { return c.Location.String() }, "Asia/Kolkata"},
		{"TZ=", func(c *config.Config) any { return c.Location }, time.Local},
		{`MODEL_ROUTES={"claude-*": "anthropic"}`, func(c *config.Config) any { return fmt.Sprint(c.ModelRoutes) }, "[{<nil> claude-* /anthropic}]"},
		{`MODEL_ROUTES={"*": "/openai", "Gemini": {"x-*": "gemini", "*": "/gemini"}, "anthropic": {"*": "/anthropic"}}`, func(c *config.Config) any {
			var list []string
			for _, m := range c.ModelRoutes { // those of a protocol come first
				list = append(list, m.Model, m.Prefix)
				if m.Dialect != nil {
					list = append(list, m.Dialect.Name)
				}
			}
			return strings.Join(list, " ")
		}, "x-* /gemini gemini * /gemini gemini * /anthropic anthropic * /openai"},
		{`OPENAI_BASE_URL=https://a.example|https://b.example/x/|http://c.example`, func(c *config.Config) any { return fmt.Sprint(c.Routes[0].BaseURL, c.Routes[0].Also) }, "https://a.example [https://b.example/x http://c.example]"},
		{`MODEL_ALIASES={"fast": "gpt-4o-mini", "best": "openai/o9"}`, func(c *config.Config) any { return fmt.Sprint(c.Aliases) }, "map[best:openai/o9 fast:gpt-4o-mini]"},
		{`FORWARD_KEY={"fk-a": {"alias": {"fast": "gpt-4o-mini"}}, "fk-b": {"alias": ["x=y", "z=w"]}}`, func(c *config.Config) any {
			return fmt.Sprint(c.Access.Keys[0].Policy.Aliases, c.Access.Keys[1].Policy.Aliases)
		}, "map[fast:gpt-4o-mini] map[x:y z:w]"},
		{`MODEL_FALLBACKS={"gpt-4o*": ["gpt-4o-mini", "claude-x"], "o1": "o3"}`, func(c *config.Config) any { return fmt.Sprint(c.Fallbacks) }, "[{gpt-4o* [gpt-4o-mini claude-x]} {o1 [o3]}]"},
		{`PRICES={"a": {"input": 2.50, "output": "10", "batch": {"input": 1.25}, "tiers": [{"above": 200000, "Input": 5, "cached_read": 0.000000001}]}, "openai/b": "openai/gpt-4o"}`, func(c *config.Config) any { return fmt.Sprint(c.Ledger.Prices) },
			"[{a  [{0 map[input:$2.50 output:$10.00] map[input:$1.25] map[]} {200000 map[cached_read:$0.000000001 input:$5.00] map[] map[]}] map[]} {openai/b openai/gpt-4o [] map[]}]"},
		{`PRICES={"free": {"input": 0}}`, func(c *config.Config) any { return fmt.Sprint(c.Ledger.Prices) }, "[{free  [{0 map[input:$0.00] map[] map[]}] map[]}]"},
		{"LEDGER=off", func(c *config.Config) any { return c.Ledger.On }, false},
		{"LEDGER_RETENTION=0", func(c *config.Config) any { return c.Ledger.Retention }, time.Duration(0)},
		{"LEDGER_STRICT=yes", func(c *config.Config) any { return c.Ledger.Strict }, true},
		{"USAGE_STATSD=datadog://agent", func(c *config.Config) any { return c.Ledger.StatsD.String() }, "datadog://agent:8125"},
		{"USAGE_WEBHOOK=https://u:p@a.example/h?token=t", func(c *config.Config) any { return c.Ledger.Webhook.Reveal() }, "https://u:p@a.example/h?token=t"},
		{`LEVEL_MODELS={"1": "gpt-4o, gpt-4o-mini"}`, func(c *config.Config) any { return fmt.Sprint(c.Access.Levels) }, "map[1:[gpt-4o gpt-4o-mini]]"},
		{`REQ_RATE_LIMIT={"/": "inf"}`, func(c *config.Config) any { return fmt.Sprint(c.Limits.Rules) }, "[{/ -1 []}]"},
		{`CACHE_ROUTES=["/v1/responses"]`, func(c *config.Config) any { return fmt.Sprint(c.Cache.Routes) }, "[/v1/responses]"},
	} {
		t.Run(c.environ, func(t *testing.T) {
			dir(t, nil)
			conf, _ := mustLoad(t, c.environ)
			if got := c.get(conf); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// FuzzLoad feeds Load anything in the places where people write: it must not
// panic, and what it accepts must be whole.
func FuzzLoad(f *testing.F) {
	f.Add("REQ_RATE_LIMIT", `'{"/a": "1/minute", "/b":`, "")
	f.Add("OPENAI_API_KEY", `{"sk-a": [0, 1]}`, "port: [")
	f.Add("FORWARD_KEY", `{"0": ["fk"]}`, "routes: {a: {forward: 'http://x', models: {m: {rpm: 1}}}}")
	f.Add("FORWARD_CONFIG", `[{"base_url":"http://a","route":"/a"}]`, "a: &a [*a]\nb: *a")
	f.Add("CACHE_TTL", "1e308d", "<<: 1")
	f.Add("MAX_BODY_BYTES", "-0x1p1k", "? [a]\n: b")
	f.Add("OPENAI_ROUTE_PREFIX", "/%2e%2e", "\t")
	f.Fuzz(func(t *testing.T, name, value, yaml string) {
		if strings.Contains(value, "file:") || strings.Contains(yaml, "file:") || strings.ContainsAny(name, "=\x00") {
			t.Skip()
		}
		for _, files := range []map[string]string{{"forward.yaml": yaml}, {".env": name + "=" + value}} {
			dir(t, files)
			c, _, err := config.Load(config.Flags{}, []string{name + "=" + value})
			if (c == nil) == (err == nil) {
				t.Fatalf("config %v, error %v", c, err)
			}
			if c == nil {
				continue
			}
			seen := map[string]bool{}
			for _, r := range c.Routes {
				if r.BaseURL == nil || r.BaseURL.Host == "" || seen[r.Prefix] || seen[r.Name] || !strings.HasPrefix(r.Prefix, "/") {
					t.Fatalf("route %+v", r)
				}
				seen[r.Prefix], seen[r.Name] = true, true
			}
			if c.Upstream.ConnectTimeout <= 0 || c.Cache.TTL < 0 || c.Upstream.MaxBody < 0 || c.Listen.Host == "" || c.Location == nil {
				t.Fatalf("config %+v", c)
			}
		}
	})
}

// FuzzEnvFile: whatever stands in a .env, no panic, and every problem names a
// line of it.
func FuzzEnvFile(f *testing.F) {
	f.Add("PORT=1\nHOST='a\nb'\n")
	f.Add("A: 'x' # y\nexport B=\"$C\"\n=\n'")
	f.Add("FORWARD_KEY=\"a\\\"b\"\r\nX='\\'")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file:") {
			t.Skip()
		}
		dir(t, map[string]string{".env": text})
		config.Load(config.Flags{}, nil)
	})
}

// TestDefaultsDoNotCutHealthyWork has the waits that were seen of answers that
// came whole: 713 s of silence in a stream (B01), and more than the 600 s of
// the SDKs before the headers (B27).
func TestDefaultsDoNotCutHealthyWork(t *testing.T) {
	dir(t, nil)
	c, _ := mustLoad(t)
	if c.Upstream.StreamIdleTimeout <= 713*time.Second || c.Upstream.HeaderTimeout <= 11*time.Minute {
		t.Errorf("%v of silence, %v to the headers", c.Upstream.StreamIdleTimeout, c.Upstream.HeaderTimeout)
	}
}

package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"forward/internal/config"
)

// TestValues reads one setting after another in each spelling that people use.
func TestValues(t *testing.T) {
	for _, c := range []struct {
		environ string
		get     func(*config.Config) any
		want    any
	}{
		{"PASSTHROUGH_KEYS=TRUE", func(c *config.Config) any { return c.Passthrough }, true},
		{"PASSTHROUGH_KEYS= on ", func(c *config.Config) any { return c.Passthrough }, true},
		{"LOG_CHAT=Yes", func(c *config.Config) any { return c.LogChat }, true},
		{"LOG_OPENAI=1", func(c *config.Config) any { return c.LogChat }, true},
		{"LOG_CHAT=off", func(c *config.Config) any { return c.LogChat }, false},
		{"CACHE_OPENAI=true", func(c *config.Config) any { return fmt.Sprint(c.CacheChat, c.CacheEmbedding) }, "true true"},
		{"EXTRA_AUTH=Key", func(c *config.Config) any { return c.ExtraAuth }, true},
		{"TIMEOUT=6", func(c *config.Config) any { return c.ConnectTimeout }, 6 * time.Second},
		{"TIMEOUT=0.5", func(c *config.Config) any { return c.ConnectTimeout }, 500 * time.Millisecond},
		{"TIMEOUT=250ms", func(c *config.Config) any { return c.ConnectTimeout }, 250 * time.Millisecond},
		{"HEADER_TIMEOUT=0", func(c *config.Config) any { return c.HeaderTimeout }, time.Duration(0)},
		{"CACHE_TTL=1h30m", func(c *config.Config) any { return c.CacheTTL }, 90 * time.Minute},
		{"CACHE_TTL=30 d", func(c *config.Config) any { return c.CacheTTL }, 30 * 24 * time.Hour},
		{"LOG_RETENTION=2W", func(c *config.Config) any { return c.LogRetention }, 14 * 24 * time.Hour},
		{"MAX_BODY_BYTES=65536", func(c *config.Config) any { return c.MaxBody }, int64(65536)},
		{"MAX_BODY_BYTES=64 MiB", func(c *config.Config) any { return c.MaxBody }, int64(64 << 20)},
		{"CACHE_MAX_BYTES=1.5gb", func(c *config.Config) any { return c.CacheMaxBytes }, int64(1_500_000_000)},
		{"CACHE_MAX_BYTES=2G", func(c *config.Config) any { return c.CacheMaxBytes }, int64(2 << 30)},
		{"IP_WHITELIST=1.2.3.4, ::ffff:10.0.0.0/104, 2001:db8::1/32", func(c *config.Config) any { return fmt.Sprint(c.IPWhitelist) }, "[1.2.3.4/32 10.0.0.0/8 2001:db8::/32]"},
		{"TRUSTED_PROXIES=[\"10.0.0.1\"]", func(c *config.Config) any { return fmt.Sprint(c.TrustedProxy) }, "[10.0.0.1/32]"},
		{"CORS_ORIGINS=https://a.example, http://localhost:3000", func(c *config.Config) any { return len(c.CORSOrigins) }, 2},
		{"RATE_LIMIT_STRATEGY=Moving_Window", func(c *config.Config) any { return c.Strategy }, "moving-window"},
		{"REQ_RATE_LIMIT_BACKEND=memory://", func(c *config.Config) any { return c.RateBackend }, "memory"},
		{"REQ_RATE_LIMIT_BACKEND=rediss://:pw@r:6379/1", func(c *config.Config) any { return c.RateBackend }, "rediss://:pw@r:6379/1"},
		{"GLOBAL_RATE_LIMIT=100 per 2 minutes", func(c *config.Config) any { return c.GlobalRate }, "100 per 2 minutes"},
		{"CACHE_BACKEND=RocksDB", func(c *config.Config) any { return c.CacheBackend }, "BADGER"},
		{"CACHE_BACKEND=memory", func(c *config.Config) any { return c.CacheBackend }, "MEMORY"},
		{"DATA_DIR=/var/lib/forward", func(c *config.Config) any { return c.CacheDir }, "/var/lib/forward/cache"},
		{"CACHE_ROOT_PATH_OR_URL=/tmp/c", func(c *config.Config) any { return c.CacheDir }, "/tmp/c"},
		{"PROXY=socks5h://u:p@localhost:1080", func(c *config.Config) any { return c.Proxy.String() }, "socks5://u:p@localhost:1080"},
		{"PROXY=none", func(c *config.Config) any { return c.Proxy == nil }, true},
		{"RETRY_STATUS=502,503", func(c *config.Config) any { return fmt.Sprint(c.RetryStatus) }, "[502 503]"},
		{`LOG_REDACT={"customer": "C-\\d{6}", "b": "x,y"}`, func(c *config.Config) any { return fmt.Sprint(c.LogRedact) }, `[{customer C-\d{6}} {b x,y}]`},
		{`LOG_REDACT=["C-\\d{6}"]`, func(c *config.Config) any { return fmt.Sprint(c.LogRedact) }, `[{ C-\d{6}}]`},
		{`LOG_REDACT=C-\d{1,6}`, func(c *config.Config) any { return fmt.Sprint(c.LogRedact) }, `[{ C-\d{1,6}}]`},
		{"LOG_REDACT=", func(c *config.Config) any { return len(c.LogRedact) }, 0},
		{"LOG_MAX_TOTAL=1GB", func(c *config.Config) any { return c.LogMaxTotal }, int64(1e9)},
		{"LOG_LEVEL=WARNING", func(c *config.Config) any { return c.LogLevel }, "warn"},
		{"LOG_FORMAT=console", func(c *config.Config) any { return c.LogFormat }, "text"},
		{"TZ=:Asia/Kolkata", func(c *config.Config) any { return c.Location.String() }, "Asia/Kolkata"},
		{"TZ=", func(c *config.Config) any { return c.Location }, time.Local},
		{`MODEL_ROUTES={"claude-*": "anthropic"}`, func(c *config.Config) any { return fmt.Sprint(c.ModelRoutes) }, "[{claude-* /anthropic}]"},
		{`OPENAI_BASE_URL=https://a.example|https://b.example/x/|http://c.example`, func(c *config.Config) any { return fmt.Sprint(c.Routes[0].BaseURL, c.Routes[0].Also) }, "https://a.example [https://b.example/x http://c.example]"},
		{`MODEL_FALLBACKS={"gpt-4o*": ["gpt-4o-mini", "claude-x"], "o1": "o3"}`, func(c *config.Config) any { return fmt.Sprint(c.Fallbacks) }, "[{gpt-4o* [gpt-4o-mini claude-x]} {o1 [o3]}]"},
		{`PRICES={"a": {"input": 2.50, "output": "10", "batch": {"input": 1.25}, "tiers": [{"above": 200000, "Input": 5, "cached_read": 0.000000001}]}, "openai/b": "openai/gpt-4o"}`, func(c *config.Config) any { return fmt.Sprint(c.Prices) },
			"[{a  [{0 map[input:2500000000 output:10000000000] map[input:1250000000] map[]} {200000 map[cached_read:1 input:5000000000] map[] map[]}]} {openai/b openai/gpt-4o []}]"},
		{`PRICES={"free": {"input": 0}}`, func(c *config.Config) any { return fmt.Sprint(c.Prices) }, "[{free  [{0 map[input:0] map[] map[]}]}]"},
		{"LEDGER=off", func(c *config.Config) any { return c.Ledger }, false},
		{"LEDGER_RETENTION=0", func(c *config.Config) any { return c.LedgerRetention }, time.Duration(0)},
		{"LEDGER_STRICT=yes", func(c *config.Config) any { return c.LedgerStrict }, true},
		{"USAGE_STATSD=datadog://agent", func(c *config.Config) any { return c.UsageStatsD.String() }, "datadog://agent:8125"},
		{"USAGE_WEBHOOK=https://u:p@a.example/h?token=t", func(c *config.Config) any { return c.UsageWebhook.Reveal() }, "https://u:p@a.example/h?token=t"},
		{`LEVEL_MODELS={"1": "gpt-4o, gpt-4o-mini"}`, func(c *config.Config) any { return fmt.Sprint(c.LevelModels) }, "map[1:[gpt-4o gpt-4o-mini]]"},
		{`REQ_RATE_LIMIT={"/": "inf"}`, func(c *config.Config) any { return fmt.Sprint(c.ReqRates) }, "[{/ -1 inf}]"},
		{`CACHE_ROUTES=["/v1/responses"]`, func(c *config.Config) any { return fmt.Sprint(c.CacheRoutes) }, "[/v1/responses]"},
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

// FuzzLoad feeds Load anything in the places where people write: it must not panic, and what it accepts must be whole.
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
			if c.ConnectTimeout <= 0 || c.CacheTTL < 0 || c.MaxBody <= 0 || c.Host == "" || c.Location == nil {
				t.Fatalf("config %+v", c)
			}
		}
	})
}

// FuzzEnvFile: whatever stands in a .env, no panic, and every problem names a line of it.
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

package config_test

import (
	"fmt"
	"strings"
	"testing"

	"forward/internal/config"
)

// TestAllErrorsAtOnce reads three files that are wrong wherever they can be.
func TestAllErrorsAtOnce(t *testing.T) {
	path := absolute(t, "testdata/wrong.golden")
	dir(t, map[string]string{".env": strings.Join([]string{
		`HOST=http://0.0.0.0`,
		`this line was torn`,
		`OPENAI_BASE_URL=api.openai.com, https://a.example|https://b.example`,
		`OPENAI_ROUTE_PREFIX=/, /two`,
		`OPENAI_API_KEY={"sk-canary-0123456789": high}`,
		`FORWARD_KEY={'fk-canary-0123456789': 0}`,
		`EXTRA_BASE_URL=http://a.example,http://b.example`,
		`EXTRA_ROUTE_PREFIX=/a`,
		`LEVEL_MODELS=gpt-4`,
		`REQ_RATE_LIMIT={"/v1/chat/completions": "60 per fortnight"}`,
		`RATE_LIMIT_STRATEGY=sliding`,
		`CACHE_CHAT_COMPLETION=maybe # perhaps`,
		`CACHE_TTL=a while`,
		`CACHE_MAX_BYTES=big`,
		`CACHE_BACKEND=mongo`,
		`PROXY=ftp://user:canary@proxy:21`,
		`IP_WHITELIST=10.0.0.0/99`,
		`CORS_ORIGINS=https://chat.example/path`,
		`TZ=Mars/Olympus`,
		`RETRY_STATUS=404`,
		`ADMIN_KEY=${NOWHERE}`,
		`LOG_LEVEL=loud`,
		`LOG_DIR='never closed`,
	}, "\n"), "forward.yaml": "prot: 8000\ncache:\n  backnd: MEMORY\nroutes:\n  a:\n    provider: openai\n  b:\n    forward: https://b.example\n    models:\n      gpt: {rpm: many}\n"})
	_, _, err := config.Load(config.Flags{}, []string{"PORT=eighty", "TLS_CERT=/nowhere.pem", "DEFAULT_REQUEST_CACHING_VALUE=ja"})
	if err == nil {
		t.Fatal("no error")
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("a secret is printed:\n%v", err)
	}
	golden(t, path, err.Error()+"\n")
}

// TestProblems pins mistakes one by one: what is shown, and what to write
// instead.
func TestProblems(t *testing.T) {
	for _, c := range []struct{ name, environ, problem, fix string }{
		{"a pattern that cannot be read", `LOG_REDACT={"ok": "a", "customer": "C-(\\d"}`, `pattern customer, "C-(\\d", cannot be read: missing closing )`, "RE2"},
		{"a pattern that looks ahead", `LOG_REDACT=["a", "b(?=c)"]`, "pattern 2", "look-around"},
		{"a pattern of nothing", `LOG_REDACT=["a*"]`, "found in the empty text", "at least one"},
		{"a name that is none", `LOG_REDACT={"a b": "c"}`, "cannot stand", "letters"},
		{"no scheme", "OPENAI_BASE_URL=api.openai.com/v1", "has no scheme", "write https://api.openai.com/v1"},
		{"password in a base URL", "OPENAI_BASE_URL=https://u:canary@a.example", "has a user in it", "as an API key"},
		{"query in a base URL", "OPENAI_BASE_URL=https://a.example?key=canary", "has a query", "up to the ?"},
		{"one of several base URLs", "OPENAI_BASE_URL=https://a.example|b.example", "has no scheme", "write https://b.example"},
		{"the same base URL twice", "OPENAI_BASE_URL=https://a.example|https://a.example/", "stands twice", "once"},
		{"a loop in the second base URL", "OPENAI_BASE_URL=https://a.example|http://localhost:8000", "this gateway itself", "provider's address"},
		{"an alias of an alias", `MODEL_ALIASES={"a": "b", "b": "c"}`, "a is an alias of b, which is an alias itself", "gpt-4o-mini"},
		{"an alias of itself", `MODEL_ALIASES={"a": "a"}`, "which is an alias itself", "gpt-4o-mini"},
		{"an alias of a pattern", `MODEL_ALIASES={"a": "gpt-*"}`, `"gpt-*" is no name of a model`, "gpt-4o-mini"},
		{"an alias of nothing", `MODEL_ALIASES={"a": ""}`, `"" is no name of a model`, "gpt-4o-mini"},
		{"an alias of two models", `MODEL_ALIASES={"a": ["b", "c"]}`, `the alias "a" is not of one model`, "gpt-4o-mini"},
		{"a key's alias of an alias", `FORWARD_KEY={"fk-a": {"alias": "a=b,b=c"}}`, "which is an alias itself", "alice"},
		{"fallback to nothing", `MODEL_FALLBACKS={"gpt-4o": []}`, "does not name", "gpt-4o-mini"},
		{"fallback to a glob", `MODEL_FALLBACKS={"gpt-4o": ["gpt-*"]}`, "does not name", "gpt-4o-mini"},
		{"prefix leaves", "OPENAI_ROUTE_PREFIX=/a/../b", "leaves its place", "/openai"},
		{"prefix with a blank", "OPENAI_ROUTE_PREFIX=/a b", "cannot stand there", "letters"},
		{"prefix of ours", "OPENAI_ROUTE_PREFIX=/healthz", "belongs to forward", "another prefix"},
		{"same prefix twice", `FORWARD_CONFIG=[{"base_url":"https://a.example","route":"/a","type":"openai"},{"base_url":"https://b.example","route":"a/","type":"general"}]`, "two routes are mounted at /a", "own prefix"},
		{"unknown type", `FORWARD_CONFIG=[{"base_url":"https://a.example","route":"/a","type":"cohere"}]`, `the type "cohere"`, "openai, anthropic"},
		{"different lengths", "OPENAI_BASE_URL=https://a.example,https://b.example", "has 2 entries and OPENAI_ROUTE_PREFIX 1", "one prefix for each"},
		{"itself", "OPENAI_BASE_URL=http://localhost:8000/v1", "this gateway itself", "the provider's address"},
		{"Python instead of JSON", "REQ_RATE_LIMIT={'/a': '1/minute'}", "single quotes", "double quotes"},
		{"half a JSON object", `MODEL_ROUTES={"a"}`, "not valid JSON", "one line"},
		{"path without slash", `REQ_RATE_LIMIT={"v1": "1/minute"}`, "is not a path", "/v1/chat"},
		{"prices without models", `PRICES=["gpt-4o"]`, "prices by model", "a million tokens"},
		{"a price of nothing", `PRICES={"a": {}}`, "has no price", "a million tokens"},
		{"a price in words", `PRICES={"a": {"input": "two"}}`, "a: the rate of input", "2.50"},
		{"a negative price", `PRICES={"a": {"input": -1}}`, "a: the rate of input", "2.50"},
		{"a rate misspelt", `PRICES={"a": {"outputs": 1}}`, `"outputs" is nothing`, "did you mean output?"},
		{"a kind of what has none", `PRICES={"a": {"input/text": 1}}`, `"input/text" is nothing`, "image/1024x1024/hd"},
		{"a factor of nothing", `PRICES={"a": {"input": 1, "times": {"fast": 2}}}`, `"fast" is no factor`, "speed/fast"},
		{"a factor of 0", `PRICES={"a": {"input": 1, "times": {"speed/fast": 0}}}`, `"speed/fast" is no factor`, "speed/fast"},
		{"factors without names", `PRICES={"a": {"input": 1, "times": 2}}`, "times are not", "speed/fast"},
		{"only a batch", `PRICES={"a": {"batch": {"input": 1}}}`, "no rate", "a million tokens"},
		{"falling tiers", `PRICES={"a": {"input": 1, "tiers": [{"above": 9, "input": 2}, {"above": 8, "input": 3}]}}`, "rising numbers", "200000"},
		{"tiers without a list", `PRICES={"a": {"input": 1, "tiers": {"above": 9}}}`, "not a list", "200000"},
		{"two prices", `PRICES={"a": {"input": 1}, "a": "openai/gpt-4o"}`, "two prices", "one of the two"},
		{"StatsD without a scheme", "USAGE_STATSD=localhost:8125", "not an address", "datadog://localhost:8125"},
		{"a webhook without a host", "BUDGET_WEBHOOK=/canary", "not an address", "https://host"},
		{"models of no protocol", `MODEL_ROUTES={"cohere": {"*": "/openai"}}`, `"cohere" has models of its own, and is no protocol (openai, anthropic, gemini, ollama)`, "by protocol"},
		{"a model of a protocol without a route", `MODEL_ROUTES={"anthropic": {"*": ""}}`, `"*" names no route`, "/deepseek-anthropic"},
		{"a route of another protocol", `MODEL_ROUTES={"anthropic": {"*": "/gemini"}}`, "the route at /gemini does not speak the protocol anthropic", "route of this type"},
		{"a provider of another protocol", `MODEL_ROUTES={"gemini": {"*": "/openai"}}`, "the route at /openai does not speak the protocol gemini", "route of this type"},
		{"model route to nowhere", `MODEL_ROUTES={"a*": "/nowhere"}`, "no route is mounted at /nowhere", "prefix of a route"},
		{"one forward key at two levels", `FORWARD_KEY={"fk-canary":0,"fk-canary":1}`, "different levels", "one level"},
		{"levels the wrong way round", `LEVEL_MODELS={"fk-canary-canary":["gpt-4"]}`, "a name is not a level", `{"1"`},
		{"space in a key", "OPENAI_API_KEY=sk-canary sk-canary2", "space", "commas"},
		{"secret file is missing", "OPENAI_API_KEY=file:/nowhere/key", `"/nowhere/key" cannot be read`, "readable file"},
		{"variable is missing", "FORWARD_KEY=${FORWARD_SECRET}", "${FORWARD_SECRET} is not set", "set FORWARD_SECRET"},
		{"TLS by half", "TLS_KEY=environ_test.go", "only one is set", "or neither"},
		{"memcached", "REQ_RATE_LIMIT_BACKEND=memcached://localhost", "counted in", "memory or redis"},
		{"negative time", "TIMEOUT=-1", "not a duration", "seconds"},
		{"no time", "TIMEOUT=0", "too short", "at least"},
		{"endless time", "CACHE_TTL=99999999999d", "not a duration", "30d"},
		{"list for one value", "PORT=[8000]", "not a whole number", "65535"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, nil)
			found := problems(t, c.environ)
			shown := (&config.Errors{Problems: found}).Error()
			if !strings.Contains(found[0].Problem, c.problem) || !strings.Contains(found[0].Fix, c.fix) {
				t.Errorf("got %s", shown)
			}
			if found[0].Where != "environment" && c.name != "TLS by half" {
				t.Errorf("place %q", found[0].Where)
			}
			if strings.Contains(shown, "canary") && !strings.Contains(shown, "fk-…") {
				t.Errorf("a secret is printed: %s", shown)
			}
		})
	}
}

// TestBrokenEnvFile names the line of a slip and nothing of its text: a torn
// line may be half a key.
func TestBrokenEnvFile(t *testing.T) {
	for _, c := range []struct{ name, file, where, problem string }{
		{"no equals sign", "PORT=1\n\n  sk-canary\nHOST=localhost\n", ".env:3", "not NAME=value"},
		{"no name", "=sk-canary\n", ".env:1", "not NAME=value"},
		{"never closed", "PORT=1\nOPENAI_API_KEY='sk-canary\nHOST=x\n", ".env:2", "never closed"},
		{"text after the quote", "FORWARD_KEY='fk-canary'fk-canary\n", ".env:1", "after the closing quote"},
		{"JSON on several lines without quotes", "REQ_RATE_LIMIT={\n\"/a\":\"1/minute\"}\n", ".env:2", "not NAME=value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, map[string]string{".env": c.file})
			found := problems(t)
			shown := fmt.Sprint(found)
			if found[0].Where != c.where || !strings.Contains(found[0].Problem, c.problem) || strings.Contains(shown, "canary") {
				t.Errorf("got %s", shown)
			}
		})
	}
}

// TestEnvFileText reads what python-dotenv and godotenv read differently, the
// Python way, because the files come from there.
func TestEnvFileText(t *testing.T) {
	for _, c := range []struct{ name, line, want string }{
		{"dollar", `FORWARD_KEY=pa$Word$HOME`, `pa$Word$HOME`},
		{"dollar between double quotes", `FORWARD_KEY="pa$Word"`, `pa$Word`},
		{"dollar between single quotes", `FORWARD_KEY='pa$Word'`, `pa$Word`},
		{"comment after the first hash", `FORWARD_KEY=fk-1 # a # b`, `fk-1`},
		{"export", `export FORWARD_KEY=fk-1`, `fk-1`},
		{"colon", `FORWARD_KEY: fk-1`, `fk-1`},
		{"byte order mark", "\ufeffFORWARD_KEY=fk-1", `fk-1`},
		{"CRLF", "FORWARD_KEY=fk-1\r\nPORT=1\r\n", `fk-1`},
		{"comment after a quoted value", `FORWARD_KEY='fk-1' # one`, `fk-1`},
		{"quotes over two lines", "FORWARD_KEY='fk-1,\n'", `fk-1`},
		{"reference", "KEY=fk-1\nFORWARD_KEY=${KEY}", `fk-1`},
		{"reference with a default", `FORWARD_KEY=${KEY:-fk-2}`, `fk-2`},
		{"last one counts", "FORWARD_KEY=fk-1\nFORWARD_KEY=fk-2", `fk-2`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, map[string]string{".env": c.line})
			conf, _ := mustLoad(t)
			if len(conf.Access.Keys) != 1 || conf.Access.Keys[0].Secret.Reveal() != c.want {
				t.Errorf("got %d keys, want %q", len(conf.Access.Keys), c.want)
			}
		})
	}
}

// TestBrokenYAML: file and line, no text of the file.
func TestBrokenYAML(t *testing.T) {
	for _, c := range []struct{ name, file, where, problem string }{
		{"not closed", "port: 8000\nopenai_api_key: [sk-canary-0123456789\n", "forward.yaml:2", "not valid YAML"},
		{"not a mapping", "sk-canary-0123456789\n", "forward.yaml:1", "not valid YAML"},
		{"misspelt", "port: 8000\nforwardkey: fk-canary-0123456789\n", "forward.yaml:2", "no setting has this name"},
		{"key lost its indentation", "api_key:\n  openai_key:\n\"sk-canary-0123456789\": [0]\n", "forward.yaml:3", "no setting has this name"},
		{"twice", "port: 1\nPORT: 2\n", "forward.yaml:2", "set again after forward.yaml:1"},
		{"a list for one value", "port: [1, 2]\n", "forward.yaml:1", "one value was expected"},
		{"alias without anchor", "port: *a\n", "forward.yaml:1", "anchor"},
		{"aliases that unfold for ever", "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n" +
			"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n", "forward.yaml:5", "unfolds to too much"},
		{"route without target", "routes:\n  a:\n    provider: openai\n", "forward.yaml:2", "no forward"},
		{"unknown member of a route", "routes:\n  a:\n    forward: https://a.example\n    modles: {}\n", "forward.yaml:4", "no setting has this name"},
		{"missing secret of a route", "routes:\n  a:\n    forward: https://a.example\n    keys: [\"${NOWHERE}\"]\n", "forward.yaml:4", "${NOWHERE} is not set"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, map[string]string{"forward.yaml": c.file})
			found := problems(t)
			shown := (&config.Errors{Problems: found}).Error()
			if found[0].Where != c.where || !strings.Contains(found[0].Problem, c.problem) {
				t.Errorf("got %s", shown)
			}
			if strings.Contains(shown, "canary") {
				t.Errorf("a secret is printed: %s", shown)
			}
		})
	}
}

func TestMissingFiles(t *testing.T) {
	dir(t, nil)
	_, _, err := config.Load(config.Flags{EnvFile: "a.env", EnvFileSet: true, ConfigFile: "a.yaml", ConfigFileSet: true}, nil)
	want := "--env-file=a.env: the file cannot be read: no such file or directory; write the path of a readable .env file\n" +
		"--config=a.yaml: the file cannot be read: no such file or directory; write the path of a readable YAML file"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

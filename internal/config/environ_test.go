package config_test

import (
	"fmt"
	"strings"
	"testing"

	"forward/internal/config"
)

// TestDockerEnvFile gives Load what `docker run --env-file` makes of lines that
// are right in a .env file.
func TestDockerEnvFile(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		files   map[string]string
		limits  string // path=limit …
		warns   string // part of a warning, "" for none
	}{
		{"single quotes stay", []string{`REQ_RATE_LIMIT='{"/a": "1/minute"}'`}, nil, "/a=1/minute", ""},
		{"double quotes stay", []string{`REQ_RATE_LIMIT="{"/a": "1/minute"}"`}, nil, "/a=1/minute", ""},
		{"escaped quotes stay", []string{`REQ_RATE_LIMIT="{\"/a\": \"1/minute\"}"`}, nil, "/a=1/minute", ""},
		{"a comment stays", []string{`REQ_RATE_LIMIT='{"/a": "1/minute"}' # ours`}, nil, "/a=1/minute", ""},
		{"a comment stays after bare JSON", []string{`REQ_RATE_LIMIT={"/a": "1/minute"} # ours`}, nil, "/a=1/minute", ""},
		{"several lines stay", []string{"REQ_RATE_LIMIT='{\n\"/a\": \"1/minute\",\n\"/b\": \"2/minute\"\n}'\n"}, nil, "/a=1/minute /b=2/minute", ""},
		{"the rest became names", []string{`REQ_RATE_LIMIT='{`, `"/a":"1/minute",`, `"/b":"2/minute"`, `}'`, "PORT=8001"}, nil, "/a=1/minute /b=2/minute", ""},
		{"the rest became names without values", []string{`REQ_RATE_LIMIT='{`, `"/a":"1/minute",=`, `"/b":"2/minute"}'=`}, nil, "/a=1/minute /b=2/minute", ""},
		{"the rest is in .env", []string{`REQ_RATE_LIMIT='{"/a": "1/minute",`}, map[string]string{".env": "REQ_RATE_LIMIT='{\"/a\":\"1/minute\",\n\"/b\":\"2/minute\"}'\n"}, "/a=1/minute /b=2/minute", "read from the file instead"},
		{"nothing but the brace, and .env has the rest", []string{`REQ_RATE_LIMIT='{`}, map[string]string{".env": "REQ_RATE_LIMIT='{\n\"/b\":\"2/minute\"}'\n"}, "/b=2/minute", "read from the file instead"},
		{"the rest is lost", []string{`REQ_RATE_LIMIT='{"/a": "1/minute", "/b": "2/minute",`}, nil, "/a=1/minute /b=2/minute", "THE REST IS LOST"},
		{"cut within an entry", []string{`REQ_RATE_LIMIT='{"/a": "1/minute", "/b": "2/min`}, nil, "/a=1/minute", "1 whole entry is applied"},
		{"levels", []string{`REQ_RATE_LIMIT='{"/a": [{"level": 0, "limit": "1/minute"}], "/b": [{"level": 0,`}, nil, "/a=1/minute", "THE REST IS LOST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, c.files)
			conf, warnings := mustLoad(t, c.environ...)
			var got []string
			for _, r := range conf.Limits.Rules {
				got = append(got, r.Path+"="+ratesText(r.Rates))
			}
			if strings.Join(got, " ") != c.limits {
				t.Errorf("limits %v, want %s", got, c.limits)
			}
			if shown := fmt.Sprint(warnings); c.warns == "" && len(warnings) > 0 || !strings.Contains(shown, c.warns) {
				t.Errorf("warnings %s, want %q", shown, c.warns)
			}
		})
	}
}

// TestDockerCutWithoutEntries: a limit, a key or a route that is gone
// altogether must stop the start.
func TestDockerCutWithoutEntries(t *testing.T) {
	for _, environ := range []string{
		`REQ_RATE_LIMIT='{`, `REQ_RATE_LIMIT={`, `REQ_RATE_LIMIT='{"/a":`, `REQ_RATE_LIMIT='{"/a": [{"level": 0, "limit": "1/minute"},`,
		`FORWARD_KEY='{`, `FORWARD_KEY='{"0": ["fk-aaaa", `, `LEVEL_MODELS='{"1": ["gpt-4",`,
		`FORWARD_CONFIG='[{"base_url": "https://api.openai.com",`, `OPENAI_API_KEY="{`,
	} {
		t.Run(environ, func(t *testing.T) {
			dir(t, nil)
			found := problems(t, environ)
			if len(found) != 1 || !strings.Contains(found[0].Problem, "no whole entry") || !strings.Contains(found[0].Fix, "on one line") {
				t.Errorf("problems: %v", found)
			}
		})
	}
}

// TestDockerCutRoutes: whole routes of a cut list are mounted, half a route
// never is.
func TestDockerCutRoutes(t *testing.T) {
	dir(t, nil)
	c, warnings := mustLoad(t, `FORWARD_CONFIG='[{"base_url":"https://a.example","route":"/a","type":"openai"},{"base_url":"https://b.example",`)
	if len(c.Routes) != 3 || c.Routes[0].Prefix != "/a" {
		t.Errorf("routes: %+v", c.Routes)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].Message, "1 whole entry is applied") {
		t.Errorf("warnings: %v", warnings)
	}
}

func TestEnvironmentText(t *testing.T) {
	for _, c := range []struct{ name, environ, want string }{
		{"quoted list", `FORWARD_KEY='fk-1, fk-2'`, "fk-1 fk-2"},
		{"quoted items", `FORWARD_KEY='fk-1', "fk-2"`, "fk-1 fk-2"},
		{"comment", `FORWARD_KEY=fk-1,fk-2 # two`, "fk-1 fk-2"},
		{"hash in a key", `FORWARD_KEY=fk#1`, "fk#1"},
		{"blanks around", "FORWARD_KEY= fk-1 ,, fk-2 ", "fk-1 fk-2"},
		{"apostrophe within", `FORWARD_KEY=it's`, "it's"},
		{"number", `FORWARD_KEY=0123`, "0123"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, nil)
			conf, _ := mustLoad(t, "OPENAI_API_KEY=sk-1", c.environ)
			var got []string
			for _, k := range conf.Access.Keys {
				got = append(got, k.Secret.Reveal())
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("keys %q, want %q", got, c.want)
			}
		})
	}
}

// TestPrecedence: flag > environment > .env > forward.yaml > default, and an
// empty value is none.
func TestPrecedence(t *testing.T) {
	port := 5
	files := map[string]string{".env": "PORT=3\nLOG_LEVEL=error\nTIMEOUT=\nCACHE_TTL=3d\n", "forward.yaml": "port: 2\nlog: {level: debug}\ntimeout: 7\ncache_ttl: 2d\nretries: 4\n"}
	for _, c := range []struct {
		name    string
		flags   config.Flags
		environ []string
		setting string
		want    string
	}{
		{"flag", config.Flags{Port: &port}, []string{"PORT=4"}, "PORT", "5 flag "},
		{"environment", config.Flags{}, []string{"PORT=4"}, "PORT", "4 environment "},
		{".env", config.Flags{}, []string{"PORT="}, "PORT", "3 .env .env:1"},
		{"forward.yaml", config.Flags{}, nil, "RETRIES", "4 forward.yaml forward.yaml:5"},
		{"an empty line in .env", config.Flags{}, nil, "TIMEOUT", "7 forward.yaml forward.yaml:3"},
		{"default", config.Flags{}, nil, "CACHE_SCOPE", "key default "},
		{"section of forward.yaml", config.Flags{}, []string{"LOG_FORMAT=json"}, "LOG_LEVEL", "error .env .env:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir(t, files)
			conf, _, err := config.Load(c.flags, c.environ)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range conf.Effective() {
				if got := fmt.Sprintf("%s %s %s", s.Value, s.Source, s.Where); s.Name == c.setting && got != c.want {
					t.Errorf("%s is %q, want %q", s.Name, got, c.want)
				}
			}
		})
	}
}

// TestOlderNameLoses: the environment's OPENAI_API_KEY wins over the older name
// in .env, with a warning.
func TestOlderNameLoses(t *testing.T) {
	dir(t, map[string]string{".env": `OPENAI_API_KEY_CONFIG={"sk-file":[0]}`})
	c, warnings := mustLoad(t, "OPENAI_API_KEY=sk-shell")
	if got := c.Routes[0].APIKeys[0].Secret.Reveal(); got != "sk-shell" {
		t.Errorf("key %q", got)
	}
	if shown := fmt.Sprint(warnings); !strings.Contains(shown, "OPENAI_API_KEY_CONFIG (.env:1): ignored, because OPENAI_API_KEY (environment)") {
		t.Errorf("warnings: %s", shown)
	}
}

func TestUnknownNames(t *testing.T) {
	dir(t, map[string]string{".env": "OPENAI_BASEURL=x\nCACHE_SOMETHING=1\nMY_OWN=2\nOPENAI_ORG_ID=org\n"})
	_, warnings := mustLoad(t, "FORWARD_KEYS=fk-canary", "PATH=/bin", "HOME=/root", "OPENAI_ORG_ID=org", "CACHE_PATH=x", "LOGNAME=me", "HOSTS=a", "MY_NOTE=a # b", "TOKEN_RATE_LIMITS={}")
	want := []string{
		"FORWARD_KEYS (environment): no setting has this name, so it is ignored; did you mean FORWARD_KEY?",
		"TOKEN_RATE_LIMITS (environment): no setting has this name, so it is ignored; did you mean TOKEN_RATE_LIMIT?",
		"CACHE_SOMETHING (.env:2): no setting has this name, so it is ignored",
		"OPENAI_BASEURL (.env:1): no setting has this name, so it is ignored; did you mean OPENAI_BASE_URL?",
	}
	for i, w := range warnings {
		if i >= len(want) || w.String() != want[i] {
			t.Errorf("warning %d: %s", i, w)
		}
	}
	if len(warnings) != len(want) {
		t.Errorf("%d warnings, want %d", len(warnings), len(want))
	}
}

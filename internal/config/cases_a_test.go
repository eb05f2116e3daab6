package config_test

import (
	"fmt"
	"strings"
	"testing"

	"forward/internal/config"
)

// TestCasesOfSettings has the cases about settings, each by its number in the
// list of faults: what is written, and what a warning (!) or an error has to
// name.
func TestCasesOfSettings(t *testing.T) {
	for _, test := range []struct {
		name, yaml string
		environ    []string
		want       []string
	}{
		{"A7 one API key to two hosts", "", []string{"OPENAI_API_KEY=sk-1234567890abcdefgh", `FORWARD_CONFIG=[{"base_url":"https://api.openai.com","route":"/","type":"openai"},{"base_url":"https://openrouter.ai/api","route":"/openrouter","type":"openai"}]`},
			[]string{"! FORWARD_CONFIG", "goes to two hosts", "openrouter.ai on /openrouter", "api.openai.com on /"}},
		{"A7 two ports of one machine", "routes:\n  a: {forward: 'http://127.0.0.1:1', keys: sk-1}\n  b: {forward: 'http://127.0.0.1:2', keys: [sk-1, sk-2]}\n", nil, []string{"! routes.b (forward.yaml:3)", "127.0.0.1:2 on /b"}},
		{"A7 base URLs of one route", "routes:\n  a: {forward: ['http://127.0.0.1:1', 'http://127.0.0.1:2'], keys: sk-1}\n", []string{"FORWARD_KEY=fk-1"}, nil},
		{"A7 a key of its own", "routes:\n  a: {forward: 'http://127.0.0.1:1', keys: sk-1}\n", []string{"OPENAI_API_KEY=sk-2", "FORWARD_KEY=fk-1"}, nil},
		{"A10 a forward key that is the API key", "", []string{"OPENAI_API_KEY=sk-1", "FORWARD_KEY=fk-1,sk-1"}, []string{"! FORWARD_KEY", "is the API key of / too"}},
		{"A10 of a route of its own", "routes:\n  a: {forward: 'http://127.0.0.1:1', keys: sk-1}\n", []string{"FORWARD_KEY=sk-1"}, []string{"! FORWARD_KEY", "is the API key of /a too"}},
		{"A10 that is ADMIN_KEY", "", []string{"OPENAI_API_KEY=sk-1", "FORWARD_KEY=fk-1", "ADMIN_KEY=fk-1"}, []string{"! FORWARD_KEY", "ADMIN_KEY too"}},
		{"N1 a port in a list inside braces", "port: 8000\nroutes:\n  local: {forward: [http://gpu-1:8000, http://gpu-2:8000], provider: openai}\n", nil,
			[]string{"forward.yaml:3", "colon", `put it in quotes, such as "http://host:8000"`}},
		{"N1 in a nested list", "cors_origins: {a: [[http://gpu-1:8000]]}\n", nil, []string{"forward.yaml:1", "put it in quotes"}},
		{"N1 a name with a port", "model_routes: {http://gpu-1:8000: /}\n", nil, []string{"forward.yaml:1", "put it in quotes"}},
		{"N1 quoted", "routes:\n  local: {forward: [\"http://gpu-1:8000\", 'http://gpu-2:8000'], provider: openai}\n", nil, nil},
		{"N1 in block style", "routes:\n  local:\n    forward:\n      - http://gpu-1:8000\n      - http://gpu-2:8000\n", nil, nil},
		{"N1 JSON without spaces", `{"routes":{"local":{"forward":["http://gpu-1:8000","http://gpu-2:8000"]}},"prices":{"m":{"tiers":[{"above":1,"input":2}],"input":1}}}`, nil, nil},
		{"N4 names in a list", "", []string{"OPENAI_API_KEY=sk-1", "FORWARD_KEY=alice=fk-1, bob=fk-2"}, []string{"keys alice/fk-1 bob/fk-2"}},
		{"N4 names in JSON", "", []string{"OPENAI_API_KEY=sk-1", `FORWARD_KEY={"alice=fk-1": 0, "0": ["bob=fk-2", "fk-3"]}`}, []string{"keys alice/fk-1 bob/fk-2 /fk-3"}},
		{"N4 one name twice", "", []string{"OPENAI_API_KEY=sk-1", "FORWARD_KEY=alice=fk-1,alice=fk-2"}, []string{`two keys have the name "alice"`}},
		{"N4 a key with = in it", "", []string{"OPENAI_API_KEY=sk-1", "FORWARD_KEY=fk-a=b,c2VjcmV0,c2VjcmU="}, []string{"keys /fk-a=b /c2VjcmV0 /c2VjcmU="}},
		{"N5 an alias of nothing", "prices:\n  good: openai/gpt-4o\n  team-model: openai/gpt-99\n  other: openai/gpt-98\n", nil,
			[]string{"(forward.yaml:3)", "not in the price table", "(forward.yaml:4)"}},
		{"PRICES errors name their line", "prices:\n  good: {input: 1, output: 2}\n  bad:\n    input: 1\n    output: much\n", nil, []string{"forward.yaml:5", "not an amount"}},
		{"PRICES in a text has one line", "\n\nprices: '{\"bad\":{\"input\":1,\"inptu\":2}}'\n", nil, []string{"forward.yaml:3", "inptu"}},
		{"a tab before a name", "routes:\n\ta: 1\n", nil, []string{"forward.yaml:2", "a tab", "indent with spaces"}},
		{"a tab at the start", "\tport: 1\n", nil, []string{"forward.yaml:1", "indent with spaces"}},
		{"uneven indentation", "routes:\n  a:\n    forward: https://a.example\n   b:\n    forward: https://b.example\n", nil, []string{"forward.yaml:", "indent members of one object by the same number of spaces"}},
		{"a colon in a value", "cors_origins: a: b\n", nil, []string{"forward.yaml:1", "in quotes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{}
			if test.yaml != "" {
				files["forward.yaml"] = test.yaml
			}
			dir(t, files)
			c, warnings, err := config.Load(config.Flags{}, test.environ)
			var got strings.Builder
			for _, w := range warnings {
				fmt.Fprintln(&got, "!", w)
			}
			if err != nil {
				fmt.Fprintln(&got, err)
			} else {
				fmt.Fprint(&got, "keys")
				for _, k := range c.Access.Keys {
					fmt.Fprintf(&got, " %s/%s", k.Name, k.Secret.Reveal())
				}
			}
			for _, part := range test.want {
				if !strings.Contains(got.String(), part) {
					t.Errorf("%q is not in:\n%s", part, got.String())
				}
			}
			if test.want == nil && (err != nil || strings.Contains(got.String(), "two hosts")) {
				t.Error(got.String())
			}
		})
	}
}

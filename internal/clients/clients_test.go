package clients_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/joho/godotenv"
	"github.com/pelletier/go-toml/v2"

	"forward/docs"
	"forward/internal/clients"
)

func Example() {
	guide, err := clients.New(clients.Options{URL: "https://llm.example.com", Key: "fk-alice"})
	if err != nil {
		panic(err)
	}
	codex, _ := guide.Find("codex")
	fmt.Println(codex.Title, codex.Wire, codex.Env())
	// Output: Codex Responses map[FORWARD_API_KEY:fk-alice]
}

func guide(t *testing.T, o clients.Options) *clients.Guide {
	t.Helper()
	g, err := clients.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestEachRecipeIsRead: a heading that is no recipe by a slip of form would
// vanish from `forward connect`.
func TestEachRecipeIsRead(t *testing.T) {
	g := guide(t, clients.Options{})
	var titles []string
	for _, m := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(docs.Clients, -1) {
		titles = append(titles, m[1])
	}
	var read, names []string
	for _, c := range g.Clients {
		read = append(read, c.Title)
		names = append(names, c.Name)
		for wire := range strings.SplitSeq(c.Wire, ", ") {
			if !slices.Contains([]string{"Chat", "Responses", "Messages", "generateContent"}, wire) {
				t.Errorf("%s: unknown wire %q", c.Name, wire)
			}
		}
		if c.Group == "" || !strings.Contains(c.Text, clients.Address) || !strings.Contains(c.Text, clients.Key) {
			t.Errorf("%s: group %q, and a recipe without the address or the key:\n%s", c.Name, c.Group, c.Text)
		}
	}
	if !slices.Equal(read, titles) || len(titles) < 20 {
		t.Errorf("recipes %q, headings %q", read, titles)
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != len(read) {
		t.Errorf("two clients have one name: %q", names)
	}
}

// TestOtherAddressesAndKeys: nothing of what stands for them is left.
func TestOtherAddressesAndKeys(t *testing.T) {
	for _, address := range []string{"https://llm.example.com", "http://[::1]:8000", "https://example.com/llm/", "http://10.0.0.7:80"} {
		g := guide(t, clients.Options{URL: address, Key: "fk-a_b.c~d-1"})
		for _, c := range g.Clients {
			text, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "gw:8000") || strings.Contains(string(text), clients.Key) {
				t.Errorf("%s still has what stands for the address or the key: %s", c.Name, text)
			}
			if !strings.Contains(c.Text, strings.TrimRight(address, "/")) || strings.Contains(c.Text, "llm//") {
				t.Errorf("%s does not name %s", c.Name, address)
			}
		}
	}
	g := guide(t, clients.Options{})
	if g.Text != docs.Clients {
		t.Error("without an address and a key the document is another one")
	}
}

// TestWhatWouldHaveToBeEscapedIsRefused: a recipe is pasted into a shell.
func TestWhatWouldHaveToBeEscapedIsRefused(t *testing.T) {
	for _, address := range []string{"gw:8000", "ftp://gw", "http://", "http://gw;rm -rf /", "http://gw/$(x)", "http://u:p@gw", "http://gw?x=1", "http://gw#x", "http://gw\"", "http://gw\nx", "http://gw:123456"} {
		if _, err := clients.New(clients.Options{URL: address}); !errors.Is(err, clients.ErrAddress) {
			t.Errorf("%q: %v", address, err)
		}
	}
	for _, key := range []string{"a b", "$(x)", "`x`", `a"b`, "a'b", `a\b`, "a\nb", "a;b", "a#b", "ключ"} {
		_, err := clients.New(clients.Options{Key: key})
		if !errors.Is(err, clients.ErrKey) {
			t.Errorf("%q: %v", key, err)
		} else if strings.Contains(err.Error(), key) {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
}

// TestBlocksParse has each file and each command of the recipes read by its own
// grammar, with an address and a key of every allowed kind of character.
func TestBlocksParse(t *testing.T) {
	g := guide(t, clients.Options{URL: "https://a-b_c.example:8443/x~y/z", Key: "fk-A1._~+/=:@-"})
	for _, c := range g.Clients {
		for i, b := range c.Blocks {
			t.Run(fmt.Sprintf("%s %d %s", c.Name, i, b.Language), func(t *testing.T) {
				var v any
				var err error
				switch b.Language {
				case "json":
					err = json.Unmarshal([]byte(b.Text), &v)
				case "toml":
					err = toml.Unmarshal([]byte(b.Text), &v)
				case "yaml":
					err = yaml.Unmarshal([]byte(b.Text), &v)
				case "dotenv":
					v, err = godotenv.Unmarshal(b.Text)
				case "sh":
					var out []byte
					out, err = exec.Command("sh", "-n", "-c", b.Text).CombinedOutput()
					v = string(out)
				case "python", "js": // test/e2e has them read by their own programs
				default:
					t.Errorf("unknown language %q", b.Language)
				}
				if err != nil {
					t.Errorf("%v\n%v\n%s", err, v, b.Text)
				}
			})
		}
	}
}

func TestFilesAndVariables(t *testing.T) {
	g := guide(t, clients.Options{URL: "http://h:1", Key: "fk-1"})
	for _, test := range []struct{ client, file, variable, value string }{
		{"Claude Code", "~/.claude/settings.json", "ANTHROPIC_BASE_URL", "http://h:1/anthropic"},
		{"claude-code-subscription", "", "ANTHROPIC_CUSTOM_HEADERS", "X-Forward-Key: fk-1"},
		{"codex", "~/.codex/config.toml", "FORWARD_API_KEY", "fk-1"},
		{"gemini-cli", "~/.gemini/settings.json", "GEMINI_API_KEY", "fk-1"},
		{"opencode", "~/.config/opencode/opencode.json", "", ""},
		{"pi", "~/.pi/agent/models.json", "", ""},
		{"continue", "~/.continue/config.yaml", "", ""},
		{"qwen-code", "", "OPENAI_BASE_URL", "http://h:1/v1"},
		{"librechat", "librechat.yaml", "FORWARD_API_KEY", "fk-1"},
		{"lobechat", "", "GOOGLE_PROXY_URL", "http://h:1/gemini"},
	} {
		c, ok := g.Find(test.client)
		if !ok {
			t.Errorf("there is no %s", test.client)
			continue
		}
		if test.file != "" && c.Files()[test.file] == "" {
			t.Errorf("%s has no %s: %q", c.Name, test.file, c.Files())
		}
		if c.Env()[test.variable] != test.value {
			t.Errorf("%s: %s in %q", c.Name, test.variable, c.Env())
		}
	}
}

package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"forward/internal/clients"
)

// clientCall is a request that a client makes of a base URL in its settings:
// what it adds to it, and the header that the key is in.
type clientCall struct{ base, adds, header string }

const (
	bearer    = "Authorization"
	xAPIKey   = "X-Api-Key"
	googleKey = "X-Goog-Api-Key"
	beside    = "X-Forward-Key" // and the credential of a subscription as a bearer

	chatPath     = "/chat/completions"
	generatePath = "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
)

// What SDKs make of the base URLs that they are given; the AI SDK's have the
// version at their end.
var (
	chatCall          = clientCall{"/v1", chatPath, bearer}
	responsesCall     = clientCall{"/v1", "/responses", bearer}
	messagesCall      = clientCall{"/anthropic", "/v1/messages", xAPIKey}
	generateCall      = clientCall{"/gemini", "/v1beta" + generatePath, googleKey}
	modelsCall        = clientCall{"/v1", "/models", bearer}
	aisdkMessagesCall = clientCall{"/anthropic/v1", "/messages", xAPIKey}
	aisdkGenerateCall = clientCall{"/gemini/v1beta", generatePath, googleKey}
)

// clientCalls are the requests of each client.
var clientCalls = map[string][]clientCall{
	"claude-code":              {{"/anthropic", "/v1/messages?beta=true", bearer}, {"/anthropic", "/v1/messages/count_tokens?beta=true", xAPIKey}, {"/anthropic", "/v1/models?limit=1000", bearer}},
	"claude-code-subscription": {{"/anthropic", "/v1/messages?beta=true", beside}, {"/anthropic", "/v1/messages/count_tokens?beta=true", beside}},
	"codex":                    {responsesCall, {"/v1", "/responses/compact", bearer}},
	"gemini-cli":               {generateCall, {"/gemini", "/v1beta/models/gemini-2.5-flash-lite:generateContent", googleKey}},
	"opencode":                 {chatCall, responsesCall, aisdkMessagesCall, aisdkGenerateCall},
	"kilo":                     {chatCall, aisdkMessagesCall},
	"qwen-code":                {chatCall},
	"pi":                       {responsesCall, messagesCall, aisdkGenerateCall},
	"cline":                    {chatCall, messagesCall},
	"continue":                 {chatCall, {"/anthropic/v1/", "messages", xAPIKey}},
	"aider":                    {chatCall, messagesCall},
	"cursor":                   {chatCall},
	"nextchat":                 {{"", "/v1" + chatPath, bearer}, {"", "/v1/models", bearer}, messagesCall, generateCall},
	"open-webui":               {chatCall, modelsCall},
	"librechat":                {chatCall, modelsCall},
	"lobechat":                 {chatCall, responsesCall, modelsCall, messagesCall, generateCall},
	"cherry-studio":            {{"", "/v1" + chatPath, bearer}, {"", "/v1/models", bearer}, messagesCall, generateCall},
	"n8n":                      {chatCall, responsesCall, modelsCall, messagesCall, generateCall},
	"langchain":                {chatCall, messagesCall},
	"llamaindex":               {chatCall, messagesCall},
	"vercel-ai-sdk":            {chatCall, responsesCall, aisdkMessagesCall, aisdkGenerateCall},
	"openai-sdk":               {chatCall, responsesCall},
	"anthropic-sdk":            {messagesCall},
	"google-gen-ai-sdk":        {generateCall},
	"curl": {{"/v1" + chatPath, "", bearer}, {"/v1/responses", "", bearer}, {"/anthropic/v1/messages", "", xAPIKey},
		{"/gemini/v1beta/models/gemini-2.5-flash:generateContent", "", googleKey}, {"/v1/models", "", bearer}},
}

// wireOf is the wire of a path, and the path below the base URL of its
// provider.
func wireOf(path string) (wire, provider, below string) {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case strings.HasPrefix(path, "/anthropic"):
		provider, below = "anthropic", strings.TrimPrefix(path, "/anthropic")
	case strings.HasPrefix(path, "/gemini"):
		provider, below = "gemini", strings.TrimPrefix(path, "/gemini")
	default:
		provider, below = "openai", path
	}
	switch {
	case strings.HasSuffix(path, chatPath):
		wire = "Chat"
	case strings.HasSuffix(path, "/responses"):
		wire = "Responses"
	case strings.HasSuffix(path, "/messages"):
		wire = "Messages"
	case strings.HasSuffix(path, "enerateContent"):
		wire = "generateContent"
	}
	return wire, provider, below
}

// serveSettings serves a gateway with these settings, and returns its address.
func serveSettings(t *testing.T, env string) string {
	t.Helper()
	app, err := open(load(t, env+"DATA_DIR="+t.TempDir()+"\n"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { app.Close() })
	gateway := httptest.NewServer(app)
	t.Cleanup(gateway.Close)
	return gateway.URL
}

// TestRecipesLeadToTheirProviders: the requests that each client makes by its
// recipe reach the provider of their wire with the gateway's API key, through
// the handler that `forward run` serves; and no base URL of a recipe is missing
// here.
func TestRecipesLeadToTheirProviders(t *testing.T) {
	apiKeys := map[string]string{"openai": "sk-openai", "anthropic": "sk-anthropic", "gemini": "sk-gemini"}
	const login = "sk-ant-oat01-of-the-subscription"
	var mu sync.Mutex
	var seen *http.Request
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen = r
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"object":"list","data":[]}`)
	}))
	defer up.Close()
	env := fmt.Sprintf("OPENAI_BASE_URL=%[1]s/openai\nOPENAI_API_KEY=sk-openai\nANTHROPIC_BASE_URL=%[1]s/anthropic\nANTHROPIC_API_KEY=sk-anthropic\n"+
		"GEMINI_BASE_URL=%[1]s/gemini\nGEMINI_API_KEY=sk-gemini\nFORWARD_KEY=alice=%[2]s\n", up.URL, clients.Key)
	gateway := serveSettings(t, env)
	subscription := serveSettings(t, env+"CLIENT_CREDENTIALS=/anthropic\n")

	guide, err := clients.New(clients.Options{})
	if err != nil {
		t.Fatal(err)
	}
	addresses := regexp.MustCompile(regexp.QuoteMeta(clients.Address) + `[A-Za-z0-9/._:-]*`)
	for _, c := range guide.Clients {
		t.Run(c.Name, func(t *testing.T) {
			calls := clientCalls[c.Name]
			var bases, wires []string
			for _, call := range calls {
				bases = append(bases, call.base)
				path := call.base + call.adds
				wire, provider, below := wireOf(path)
				if wire != "" && !slices.Contains(wires, wire) {
					wires = append(wires, wire)
				}
				mu.Lock()
				seen = nil
				mu.Unlock()
				method, body := "POST", `{"model":"gpt-5.4","max_tokens":9,"messages":[],"input":"hi","contents":[]}`
				if strings.Contains(path, "/models") && !strings.Contains(path, "enerateContent") {
					method, body = "GET", ""
				}
				to := gateway
				if call.header == beside {
					to = subscription
				}
				r, err := http.NewRequest(method, to+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				key := clients.Key
				paid := apiKeys[provider]
				switch call.header {
				case bearer:
					key = "Bearer " + key
				case beside:
					r.Header.Set("Authorization", "Bearer "+login)
					paid = login
				}
				r.Header.Set(call.header, key)
				res, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer, _ := io.ReadAll(res.Body)
				res.Body.Close()
				mu.Lock()
				seen := seen
				mu.Unlock()
				switch {
				case res.StatusCode != http.StatusOK:
					t.Errorf("%s %s: %s %s", method, path, res.Status, answer)
				case path == "/v1/models": // the gateway's own list, of all providers
				case seen == nil:
					t.Errorf("%s did not reach a provider", path)
				case seen.URL.Path != "/"+provider+below:
					t.Errorf("%s reached %s, not %s of %s", path, seen.URL.Path, below, provider)
				default:
					sent := fmt.Sprint(seen.Header, seen.URL)
					if !strings.Contains(sent, paid) || strings.Contains(sent, clients.Key) {
						t.Errorf("%s came with %s", path, sent)
					}
				}
			}
			for _, found := range addresses.FindAllString(c.Text, -1) {
				if base := strings.TrimPrefix(found, clients.Address); !slices.Contains(bases, base) {
					t.Errorf("no request is made of %s", found)
				}
			}
			want := strings.Split(c.Wire, ", ")
			slices.Sort(want)
			slices.Sort(wires)
			if !slices.Equal(want, wires) {
				t.Errorf("the recipe names the wires %q, and is tested with %q", want, wires)
			}
		})
	}
	if len(clientCalls) != len(guide.Clients) {
		t.Errorf("calls of %d clients, and %d recipes", len(clientCalls), len(guide.Clients))
	}
}

// TestLLMsOfAGateway: the page names the address behind a proxy, needs no key,
// and is kept from addresses that may not ask.
func TestLLMsOfAGateway(t *testing.T) {
	const settings = "OPENAI_API_KEY=sk-canary-0123456789\nFORWARD_KEY=fk-canary-0123456789\nADMIN_KEY=admin-canary-0123456789\n"
	for name, test := range map[string]struct {
		env    string
		status int
		want   string
	}{
		"behind a proxy":   {"TRUSTED_PROXIES=127.0.0.1\n", 200, `base_url = "https://llm.example.com/v1"`},
		"an untrusted one": {"", 200, `base_url = "http://llm.example.com/v1"`},
		"refused address":  {"IP_BLACKLIST=127.0.0.1\n", 403, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest("GET", serveSettings(t, settings+test.env)+"/_/llms.txt", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "llm.example.com"
			r.Header.Set("X-Forwarded-Proto", "https")
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != test.status || !strings.Contains(string(text), test.want) || strings.Contains(string(text), "canary") {
				t.Errorf("%v %s\n%s", err, res.Status, text)
			}
		})
	}
}

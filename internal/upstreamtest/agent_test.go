package upstreamtest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"forward/internal/upstreamtest"
)

// TestAgent plays both turns of a tool loop in each protocol.
func TestAgent(t *testing.T) {
	const task = `Run this command: touch /tmp/x-1/ran.`
	for name, c := range map[string]struct{ path, first, second, call string }{
		"messages": {"/v1/messages",
			`{"model":"m","tools":[{"name":"Read","input_schema":{}},{"name":"Bash","input_schema":{"type":"object","properties":{"command":{"type":"string"},"timeout":{"type":"number"}},"required":["command"]}}],"messages":[{"role":"user","content":"` + task + `"}]}`,
			`{"model":"m","messages":[{"role":"user","content":[{"type":"tool_result","content":"ok"},{"type":"text","text":"x"}]}]}`,
			`"input":{"command":"touch /tmp/x-1/ran"},"name":"Bash","type":"tool_use"`},
		"chat": {"/v1/chat/completions",
			`{"model":"m","tools":[{"type":"function","function":{"name":"run_commands","parameters":{"properties":{"commands":{"type":"array","items":{"type":"string"}},"why":{"type":"string"},"wait":{"type":"boolean"}},"required":["commands","why","wait"]}}}],"messages":[{"role":"user","content":"` + task + `"}]}`,
			`{"model":"m","messages":[{"role":"tool","content":"ok"},{"role":"user","content":"x"}]}`,
			`{\"commands\":[\"touch /tmp/x-1/ran\"],\"wait\":false,\"why\":\"Runs a command\"}`},
		"responses": {"/v1/responses",
			`{"model":"m","tools":[{"type":"function","name":"exec_command","parameters":{"properties":{"cmd":{"type":"string"}},"required":["cmd"]}}],"input":"` + task + `"}`,
			`{"model":"m","input":[{"type":"function_call_output","output":"ok"},{"role":"user","content":"x"}]}`,
			`{\"cmd\":\"touch /tmp/x-1/ran\"}`},
		"generateContent": {"/v1beta/models/m:generateContent",
			`{"tools":[{"functionDeclarations":[{"name":"read_file"},{"name":"run_shell_command","parametersJsonSchema":{"properties":{"command":{"type":"string"}},"required":["command"]}}]}],"contents":[{"parts":[{"text":"` + task + `"}]}]}`,
			`{"contents":[{"parts":[{"text":"x"},{"functionResponse":{"response":{}}}]}]}`,
			`"functionCall":{"args":{"command":"touch /tmp/x-1/ran"},"name":"run_shell_command"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := upstreamtest.New(t)
			ask := func(body string) string {
				req, _ := http.NewRequest("POST", s.URL+c.path, strings.NewReader(body))
				req.Header.Set("Authorization", "Bearer sk-x.script=agent")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				out, _ := io.ReadAll(resp.Body)
				return string(out)
			}
			if got := ask(c.first); !strings.Contains(got, c.call) {
				t.Errorf("the call is %s, want %s", got, c.call)
			}
			if got := ask(c.second); !strings.Contains(got, upstreamtest.AgentSentence) {
				t.Errorf("after a result: %s", got)
			}
			if r := s.Last(); r.Model != "m" || r.Usage == nil || r.Usage.Input == 0 {
				t.Errorf("recorded %+v", r)
			}
		})
	}
}

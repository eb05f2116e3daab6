package upstreamtest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// Tokens is the usage that an answer reports. The kinds do not overlap.
type Tokens struct {
	Input        int `json:"input"`
	CacheRead    int `json:"cache_read,omitempty"`
	CacheWrite   int `json:"cache_write,omitempty"`    // for five minutes
	CacheWrite1h int `json:"cache_write_1h,omitempty"` // for an hour
	Output       int `json:"output"`
	Thoughts     int `json:"thoughts,omitempty"`
}

// AgentSentence is what the script "agent" ends a session with.
const AgentSentence = "The command ran and the work is complete."

// agentTask is how a prompt names the command, without the characters that JSON
// or a shell would escape.
var agentTask = regexp.MustCompile(`Run this command: ([A-Za-z0-9 ./_-]+[A-Za-z0-9])`)

// shells are the tools of agents that run a command, the preferred first.
var shells = regexp.MustCompile(`(?i)^(bash|shell|exec_command|run_shell_command|run_commands?|execute_command|run_terminal_command|local_shell)$`)

// agent plays the model of a coding agent: it asks for a command by the tool
// that the request offers for it, and ends when a result is there.
func (x *exchange) agent(int) {
	x.loop = true
	x.deliverOrdinary(0)
}

// composeLoop is the next answer of a tool loop. Its usage has every kind of
// token that the protocol reports.
func (x *exchange) composeLoop() answer {
	a := answer{id: fmt.Sprint(x.rec.Seq), model: x.model(), text: "A command is run.", choices: 1, in: 11 + len(x.body)/16, cached: 13, out: 7}
	if x.dialect() == anthropic {
		a.written, a.written1h = 5, 3
	}
	if x.dialect() != anthropic {
		a.thoughts = 2
	}
	shell, offered := x.shell()
	switch task := agentTask.FindSubmatch(x.body); {
	case x.hasResults():
		a.text = AgentSentence
	case x.wantedForm().Exists():
		a.text = marshal(tool{schema: x.wantedForm(), number: 50}.fill(""))
	case offered && task != nil:
		a.calls = []toolCall{{id: "call_" + a.id, name: shell.name, arguments: marshal(shell.fill(string(task[1])))}}
		a.text = ""
	}
	if x.prepares() {
		a.out = 0
	}
	x.s.update(x.rec, func(q *Request) {
		q.Model = a.model
		q.Usage = &Tokens{Input: a.in, CacheRead: a.cached, CacheWrite: a.written, CacheWrite1h: a.written1h, Output: a.out, Thoughts: a.thoughts}
	})
	return a
}

// tool is a function that the request offers, with the JSON schema of its
// arguments.
type tool struct {
	name   string
	schema gjson.Result
	number int // for each number; of a tool it is likely a time in milliseconds
}

// shell finds the tool that runs commands.
func (x *exchange) shell() (tool, bool) {
	for _, list := range []string{"tools", "tools.#.functionDeclarations.@this|@flatten"} {
		for _, t := range x.field(list).Array() {
			if f := t.Get("function"); f.Exists() {
				t = f
			}
			if !shells.MatchString(t.Get("name").Str) {
				continue
			}
			for _, schema := range []string{"input_schema", "parameters", "parametersJsonSchema"} {
				if s := t.Get(schema); s.Exists() {
					return tool{name: t.Get("name").Str, schema: s, number: 10000}, true
				}
			}
		}
	}
	return tool{}, false
}

// fill makes arguments of the schema's required properties: the command where a
// property is named so, and a plain value of its type anywhere else.
func (t tool) fill(command string) obj {
	out := obj{}
	required := t.schema.Get("required").Array()
	t.schema.Get("properties").ForEach(func(name, property gjson.Result) bool {
		isCommand := slices.Contains([]string{"command", "cmd", "commands", "script"}, name.Str)
		needed := slices.ContainsFunc(required, func(r gjson.Result) bool { return r.Str == name.Str })
		if isCommand || needed {
			out[name.Str] = t.plainValue(property, isCommand, command)
		}
		return true
	})
	return out
}

// plainValue is a value for a property of the schema.
func (t tool) plainValue(property gjson.Result, isCommand bool, command string) any {
	switch kind := strings.ToLower(property.Get("type").String()); {
	case isCommand && kind == "array":
		if items := property.Get("items.type").String(); items != "" && items != "string" {
			return []obj{{"command": command}}
		}
		return []string{command}
	case isCommand:
		return command
	case kind == "boolean":
		return false
	case kind == "integer" || kind == "number":
		return t.number
	case kind == "array":
		return []string{}
	case kind == "object":
		return obj{}
	case property.Get("enum").IsArray():
		return json.RawMessage(property.Get("enum.0").Raw)
	}
	return "Runs a command"
}

// wantedForm is the JSON schema that the answer has to have: agents choose a
// model or a title by requests of this kind.
func (x *exchange) wantedForm() gjson.Result {
	for _, path := range []string{"generationConfig.responseJsonSchema", "response_format.json_schema.schema", "text.format.schema"} {
		if s := x.field(path); s.Exists() {
			return s
		}
	}
	return gjson.Result{}
}

// hasResults reports whether a tool has answered anywhere in the conversation.
func (x *exchange) hasResults() bool {
	for _, path := range []string{
		`messages.#(role=="tool")`, `messages.#.content.#(type=="tool_result")|0`, `contents.#.parts.#.functionResponse|@flatten|0`,
		`input.#(type=="function_call_output")`, `input.#(type=="custom_tool_call_output")`,
	} {
		if x.field(path).Exists() {
			return true
		}
	}
	return false
}

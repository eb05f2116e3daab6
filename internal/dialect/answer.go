package dialect

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

const (
	defaultMaxText = 4 << 20 // bytes
	maxParts       = 1024    // choices of an answer, and tool calls of a choice
	maxName        = 1 << 10 // bytes of an id, a name, a reason
	maxMessage     = 4 << 10 // bytes of an error's message
	maxUsage       = 64 << 10
)

var errNotAnAnswer = errors.New("not a JSON object of the kind that is answered")

// Usage is what an answer says that it cost, in tokens, counted the same way in every dialect: Input holds all of the
// prompt, also what was read from or written to the provider's prompt cache; Output holds all that was generated,
// also reasoning. (Anthropic's input_tokens leaves the cached part out, Gemini's candidatesTokenCount the thoughts.)
type Usage struct {
	Input, Output, Total int64
	CachedRead           int64   // part of Input
	CachedWrite          int64   // part of Input
	CachedWriteHour      int64   // part of CachedWrite: kept for an hour and not for five minutes, which Anthropic charges more for
	Reasoning            int64   // part of Output
	Audio                int64   // parts of Input and Output together
	AudioOutput          int64   // part of Audio and of Output
	Seconds              float64 // of audio, where these are billed and not tokens (OpenAI's whisper-1)
	Raw                  json.RawMessage
}

// ToolCall is a call that the model asks for. Type is the protocol's own word: "function", "custom",
// "function_call" (OpenAI's form before tools), "tool_use", "functionCall".
type ToolCall struct {
	ID, Type, Name string
	Arguments      string // JSON text, or the free text of a custom tool
}

// Choice is one of the alternatives of an answer; most have one.
type Choice struct {
	Text, Refusal, Reasoning string
	ToolCalls                []ToolCall
	Finish                   string // as the protocol spells it, "" while there is none
}

// Answer accumulates what an answer said, from events or from one body. The zero value is ready. What it keeps is
// bounded, however long the answer. Not safe for concurrent use.
type Answer struct {
	ID, Model string
	Tier      string // what it was served as, in the protocol's own word: "default", "priority", "batch" …; "" if not told
	Usage     *Usage // nil as long as none was told
	Error     string // message of an error object inside of a 200
	Ended     bool   // the protocol's own end marker, or a whole valid body, was seen
	MaxText   int    // bytes of text, reasoning and tool arguments to keep; 0: 4 MiB
	Truncated bool   // there was more than is kept
	NoText    bool   // keep none: only what an answer says of itself is wanted

	// State are the ids of what the provider keeps because of this answer, which a later request may name: the response
	// and its items, a container, the audio of a message. At most 128 are kept. See Creates for other operations.
	State []string

	choices   []*choice
	last      *choice // where the last part went
	kept      int     // bytes
	finishing bool    // a finish reason is due in every choice
	broken    bool    // an event could not be read

	shape   shape   // of the event before
	pieces  int     // of text that the event has appended
	piece   int     // bytes of the last of them
	pieceTo *[]byte // and where it went
}

type choice struct {
	index                    int64
	text, refusal, reasoning []byte
	calls                    []*call
	reasonKey                string // the field whose reasoning is kept
	finish                   string
}

type call struct {
	callKey
	kind      string
	arguments []byte
}

// Choices returns what was said so far, in the order of the choices' indexes.
func (a *Answer) Choices() []Choice {
	slices.SortStableFunc(a.choices, func(x, y *choice) int { return cmp.Compare(x.index, y.index) })
	out := make([]Choice, 0, len(a.choices))
	for _, c := range a.choices {
		sortCalls(c.calls)
		o := Choice{Text: string(c.text), Refusal: string(c.refusal), Reasoning: string(c.reasoning), Finish: c.finish}
		for _, t := range c.calls {
			o.ToolCalls = append(o.ToolCalls, ToolCall{ID: t.id, Type: t.kind, Name: t.name, Arguments: string(t.arguments)})
		}
		out = append(out, o)
	}
	return out
}

// Finish returns the finish reason of choice 0, "" when there is none.
func (a *Answer) Finish() string {
	for _, c := range a.choices {
		if c.index == 0 {
			return c.finish
		}
	}
	return ""
}

// Complete reports whether the answer is whole: its end was seen, it holds no error and no event that could not be
// read, and every choice has a finish reason if the operation has such a thing.
func (a *Answer) Complete() bool {
	if !a.Ended || a.Error != "" || a.broken {
		return false
	}
	return !a.finishing || a.finished()
}

// finished reports whether there are choices and each has its finish reason.
func (a *Answer) finished() bool {
	for _, c := range a.choices {
		if c.finish == "" {
			return false
		}
	}
	return len(a.choices) > 0
}

// choice returns the choice with an index, made when it is new.
func (a *Answer) choice(index int64) *choice {
	if a.last != nil && a.last.index == index {
		return a.last
	}
	for _, c := range a.choices {
		if c.index == index {
			a.last = c
			return c
		}
	}
	c := &choice{index: index}
	if len(a.choices) == maxParts {
		a.Truncated = true
		return c
	}
	a.choices, a.last = append(a.choices, c), c
	return c
}

// call returns the tool call that a delta belongs to, made when it is new.
func (a *Answer) call(c *choice, d callKey) *call {
	if t, ok := findCall(c.calls, d); ok {
		return t
	}
	a.pieces += 2 // more than text
	t := &call{callKey: d.begin(len(c.calls))}
	if len(c.calls) == maxParts {
		a.Truncated = true
		return t
	}
	c.calls = append(c.calls, t)
	return t
}

func either(have, now string) string {
	if have != "" {
		return have
	}
	return clip(now, maxName)
}

// keep appends text as long as there is room for it. From the first text on that has none nothing is kept, so that
// there are no holes.
func (a *Answer) keep(dst *[]byte, s string) {
	if a.NoText {
		a.pieces = 2 // no piece that could be told from others
		return
	}
	most := a.MaxText
	if most <= 0 {
		most = defaultMaxText
	}
	if room := most - a.kept; len(s) > room {
		for room > 0 && !utf8.RuneStart(s[room]) {
			room--
		}
		s = s[:room]
		a.Truncated, a.kept = true, most-room
	}
	a.kept += len(s)
	*dst = append(*dst, s...)
	if s != "" {
		a.pieces, a.piece, a.pieceTo = a.pieces+1, len(s), dst
	}
}

// identify takes the first id and model that are told.
func (a *Answer) identify(id, model string) {
	a.ID, a.Model = either(a.ID, id), either(a.Model, model)
}

// tier takes the last service tier that is told.
func (a *Answer) tier(v gjson.Result) {
	if s := jsonscan.String(v); s != "" {
		a.Tier = clip(s, maxName)
	}
}

// fail takes note of an error object, whatever its form: {"message":…}, {"code":…} or plain text.
func (a *Answer) fail(v gjson.Result) {
	if a.Error != "" || v.Type == gjson.Null || v.Raw == `""` {
		return
	}
	for _, s := range []string{jsonscan.String(v), jsonscan.String(v.Get("message")), jsonscan.String(v.Get("code")), jsonscan.String(v.Get("type")), v.Raw} {
		if s != "" {
			a.Error = clip(s, maxMessage)
			return
		}
	}
}

// used sets the usage; raw is the object it was read from.
func (a *Answer) used(u Usage, raw string) {
	if len(raw) <= maxUsage {
		u.Raw = json.RawMessage(raw) // a copy
	}
	if u.Total == 0 {
		u.Total = u.Input + u.Output
	}
	a.Usage = &u
}

// object reads the data of an event. Anything but a JSON object leaves the answer incomplete.
func (a *Answer) object(data []byte) (gjson.Result, bool) {
	if jsonscan.Valid(data) {
		if root := jsonscan.View(data); root.IsObject() {
			return root, true
		}
	}
	a.broken = true
	return gjson.Result{}, false
}

// clip copies s, for strings of events alias the reader's buffer, and cuts it at n bytes.
func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return strings.Clone(s)
}

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

// ErrNotAnAnswer is returned for a body that is no answer to its operation.
var ErrNotAnAnswer = errors.New("not a JSON object of the kind that is answered")

// Usage is what an answer reports as its cost, in tokens, counted the same way
// in every dialect: Input holds all of the prompt, also what was read from or
// written to the provider's prompt cache; Output holds all that was generated,
// also reasoning. (Anthropic's input_tokens leaves the cached part out,
// Gemini's candidatesTokenCount the thoughts.)
type Usage struct {
	Input, Output, Total int64
	CachedRead           int64   // part of Input
	CachedWrite          int64   // part of Input
	CachedWriteHour      int64   // part of CachedWrite: kept for an hour and not for five minutes, which Anthropic charges more for
	Reasoning            int64   // part of Output
	Audio                int64   // parts of Input and Output together
	AudioOutput          int64   // part of Audio and of Output
	Seconds              float64 // of audio, where these are billed and not tokens (OpenAI's whisper-1)
	Early                bool    `json:",omitzero"` // reported by the first event of a stream, and completed by no later one
	Media                Media   `json:",omitzero"`
	Terms                Terms   `json:",omitzero"`
	Raw                  json.RawMessage
}

// Media counts what is billed by the piece and not by tokens. The zero value is
// none of it.
type Media struct {
	Characters   int64   `json:"characters,omitzero"`    // turned into speech
	Images       int64   `json:"images,omitzero"`        // generated
	ImageKind    string  `json:"image_kind,omitzero"`    // their size and quality as priced: "1024x1024/high"; "" if not known
	VideoSeconds float64 `json:"video_seconds,omitzero"` // of generated video
	VideoKind    string  `json:"video_kind,omitzero"`    // its resolution as priced: "1280x720"; "" if not known
}

// Terms are what an answer reports of its price beside the counts. The zero
// value is the ordinary price.
type Terms struct {
	Fees        []Fee  `json:"fees,omitzero"`  // what the provider charges by the call
	Speed       string `json:"speed,omitzero"` // Anthropic's speed and inference_geo, which multiply the price
	Geo         string `json:"geo,omitzero"`
	Reported    int64  `json:"reported,omitzero"`     // the provider's own amount, in nano-dollars
	HasReported bool   `json:"has_reported,omitzero"` // there is one, which may be 0
	// Doubt states why the numbers may not be all that is billed: parts of a
	// kind that is not known, or sums that contradict each other. The call is
	// unpriced then.
	Doubt string `json:"doubt,omitzero"`
}

// Fee counts calls of one tool that the provider ran for an answer, such as
// web_search.
type Fee struct {
	Name  string `json:"name"`
	Count int64  `json:"count"`
}

// ToolCall is a call that the model asks for. Type is the protocol's own word:
// "function", "custom", "function_call" (OpenAI's form before tools),
// "tool_use", "functionCall".
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

// Answer accumulates the content of an answer, from events or from one body.
// The gateway reads its fields and [Answer.Choices]; the other methods are for
// dialects, which write into it what they read. What it keeps is bounded,
// however long the answer. The zero value is ready. Not safe for concurrent
// use.
type Answer struct {
	ID, Model string
	Tier      string // what it was served as, in the protocol's own word: "default", "priority", "batch" …; "" if not reported
	Usage     *Usage // nil until it is reported
	Fees      []Fee  // calls of the provider's tools that the answer shows; also in Usage, once there is one
	Error     string // message of an error object inside of a 200
	Ended     bool   // the protocol's own end marker, or a whole valid body, was seen
	MaxText   int    // bytes of text, reasoning and tool arguments to keep; 0: 4 MiB
	Truncated bool   // there was more than is kept
	NoText    bool   // keep none: only what an answer reports of itself is wanted

	// State are the ids of what the provider keeps because of this answer,
	// which a later request may name: the response and its items, a container,
	// the audio of a message, and names of what is encrypted for the API key.
	// At most 128 are kept. See Creates for other operations.
	State []string

	choices []*Draft
	last    *Draft // where the last part went
	kept    int    // bytes
	op      Operation
	broken  bool // an event could not be read

	shape   shape   // of the event before
	pieces  int     // of text that the event has appended
	piece   int     // bytes of the last of them
	pieceTo *[]byte // and where it went
}

// Choices returns what was read so far, in the order of the choices' indexes.
func (a *Answer) Choices() []Choice {
	slices.SortStableFunc(a.choices, func(x, y *Draft) int { return cmp.Compare(x.index, y.index) })
	out := make([]Choice, 0, len(a.choices))
	for _, c := range a.choices {
		sortCalls(c.calls)
		o := Choice{Text: string(c.text), Refusal: string(c.refusal), Reasoning: string(c.reasoning), Finish: c.finish}
		for _, t := range c.calls {
			o.ToolCalls = append(o.ToolCalls, ToolCall{ID: t.ID, Type: t.kind, Name: t.Name, Arguments: string(t.arguments)})
		}
		out = append(out, o)
	}
	return out
}

// Size returns how many bytes of text, reasoning and tool arguments were kept.
func (a *Answer) Size() int { return a.kept }

// Finish returns the finish reason of choice 0, "" when there is none.
func (a *Answer) Finish() string {
	for _, c := range a.choices {
		if c.index == 0 {
			return c.finish
		}
	}
	return ""
}

// Complete reports whether the answer is whole: its end was seen, it holds no
// error and no event that could not be read, and every choice has a finish
// reason if answers to the operation have one.
func (a *Answer) Complete() bool {
	if !a.Ended || a.Error != "" || a.broken {
		return false
	}
	return !a.op.AnswersText() || a.Finished()
}

// HasText reports whether anything was generated that an answer shows. Without
// the text it is not known.
func (a *Answer) HasText() bool {
	for _, c := range a.choices {
		if !c.Empty() || len(c.calls) > 0 {
			return true
		}
	}
	return false
}

// Expect notes which operation is answered.
func (a *Answer) Expect(op Operation) { a.op = op }

// Finished reports whether there are choices and each has its finish reason.
func (a *Answer) Finished() bool {
	for _, c := range a.choices {
		if c.finish == "" {
			return false
		}
	}
	return len(a.choices) > 0
}

// Object parses the data of an event or a body. Anything but a JSON object
// leaves the answer incomplete.
func (a *Answer) Object(data []byte) (gjson.Result, bool) {
	root, ok := a.Value(data)
	if !root.IsObject() {
		a.broken = true
		return gjson.Result{}, false
	}
	return root, ok
}

// Value is Object for dialects that also answer with other JSON values.
func (a *Answer) Value(data []byte) (gjson.Result, bool) {
	if !jsonscan.Valid(data) {
		a.broken = true
		return gjson.Result{}, false
	}
	return jsonscan.View(data), true
}

// Identify takes the first id and model that are sent.
func (a *Answer) Identify(id, model string) {
	a.ID = either(a.ID, id)
	a.Model = either(a.Model, model)
}

// SetModel replaces the model, unless there is no other.
func (a *Answer) SetModel(model string) {
	if model != "" {
		a.Model = clip(model, maxName)
	}
}

// SetTier takes the service tier of v, if that is a string.
func (a *Answer) SetTier(v gjson.Result) {
	if s := jsonscan.String(v); s != "" {
		a.Tier = clip(s, maxName)
	}
}

// SetUsage sets the usage; raw is the object it was read from.
func (a *Answer) SetUsage(u Usage, raw string) {
	if len(raw) <= maxUsage {
		u.Raw = json.RawMessage(raw) // a copy
	}
	if u.Total == 0 {
		u.Total = u.Input + u.Output
	}
	a.Usage = &u
	a.payFees()
}

// Fail takes note of an error, whatever its form: {"message":…}, {"code":…} or
// plain text.
func (a *Answer) Fail(v gjson.Result) {
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

// AddState takes the id of an object that the provider made for this answer.
func (a *Answer) AddState(v gjson.Result) { a.addState(jsonscan.String(v)) }

// AddSealed takes what only the API key that made it can open, such as
// encrypted reasoning, under a name that stands for its text.
func (a *Answer) AddSealed(v gjson.Result) { a.addState(sealed(v)) }

func (a *Answer) addState(s string) {
	if s == "" || len(s) > maxName || len(a.State) == maxState || slices.Contains(a.State, s) {
		return
	}
	a.State = append(a.State, strings.Clone(s))
}

// keep appends text as long as there is space for it. From the first text on
// that has none nothing is kept, so that there are no holes.
func (a *Answer) keep(dst *[]byte, s string) {
	if a.NoText {
		a.pieces = 2 // no piece that could be distinguished from others
		return
	}
	most := a.MaxText
	if most <= 0 {
		most = defaultMaxText
	}
	if space := most - a.kept; len(s) > space {
		for space > 0 && !utf8.RuneStart(s[space]) {
			space--
		}
		s = s[:space]
		a.Truncated = true
		a.kept = most - space
	}
	a.kept += len(s)
	*dst = append(*dst, s...)
	if s != "" {
		a.pieces++
		a.piece = len(s)
		a.pieceTo = dst
	}
}

// either returns have, or a copy of now when there is none.
func either(have, now string) string {
	if have != "" {
		return have
	}
	return clip(now, maxName)
}

// clip copies s, for strings of events alias the reader's buffer, and cuts it
// at n bytes.
func clip(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return strings.Clone(s)
}

package chatlog

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// folding finds the exchanges whose conversation goes on in a later one. A
// later request has all messages of the earlier one, and the earlier answer
// behind them: a conversation with other answers, such as one that asks for a
// title, or an answer that was asked for again, is one of its own.
//
// Messages are compared by what they state. Marks for the prompt cache, the
// model's reasoning and the system prompt may differ between two turns.
type folding struct {
	ends   map[chain][]ending
	folded map[int]struct{} // exchanges, by number
}

// chain identifies the first messages of a conversation of a session, or of a
// key where there is no session.
type chain [16]byte

// ending is an exchange whose request ends with a message.
type ending struct {
	exchange int
	calls    string // identifies the tool calls of its answer
	text     string // the start of the text
	answered bool
}

// maxSignature bounds what of an answer's text is compared, in bytes.
const maxSignature = 64

// fold reads the exchanges that a filter selects, and returns those that go on
// in a later one.
func (c *converter) fold(entries []entry, lines *lineLoader, filter *filtering) (map[int]struct{}, error) {
	f := folding{ends: make(map[chain][]ending), folded: make(map[int]struct{})}
	c.progress.start("folding", int64(len(entries)), false)
	for i, e := range entries {
		if i%256 == 0 && c.ctx.Err() != nil {
			return nil, c.ctx.Err()
		}
		c.progress.advance(1)
		x, err := lines.exchange(e)
		if errors.Is(err, errLost) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if filter.selects(x, e.at) {
			f.add(i, x)
		}
	}
	c.progress.finish()
	return f.folded, nil
}

// add compares an exchange with those before it.
func (f *folding) add(number int, x exchange) {
	asked := conversation(x.request)
	if !asked.IsArray() || asked.Get("0.bytes").Exists() {
		return
	}
	messages := asked.Array()
	for len(messages) > 0 && messages[0].Get("role").Str == "system" {
		messages = messages[1:]
	}
	at := startOf(x.request)
	for i, m := range messages {
		if i > 0 {
			f.close(at, func(e ending) bool { return e.goesOn(m) })
		}
		at = at.with(m)
	}
	if len(messages) == 0 {
		return
	}
	f.close(at, func(e ending) bool { return !e.answered })
	end := answerOf(x.result)
	end.exchange = number
	f.ends[at] = append(f.ends[at], end)
}

// close folds the exchanges that end at a place and go on from there.
func (f *folding) close(at chain, goesOn func(ending) bool) {
	ends, ok := f.ends[at]
	if !ok {
		return
	}
	ends = slices.DeleteFunc(ends, func(e ending) bool {
		if goesOn(e) {
			f.folded[e.exchange] = struct{}{}
			return true
		}
		return false
	})
	if len(ends) == 0 {
		delete(f.ends, at)
	} else {
		f.ends[at] = ends
	}
}

// startOf returns where the conversations of a session start.
func startOf(r gjson.Result) chain {
	name := "session " + r.Get("session").Str
	if !r.Get("session").Exists() {
		name = "key " + r.Get("key").Str
		if r.Get("key").Str == "" {
			name = "address " + first(r, "ip", "forwarded-for").Str
		}
	}
	sum := sha256.Sum256([]byte(name))
	return chain(sum[:])
}

// with returns the chain with one more message.
func (c chain) with(m gjson.Result) chain {
	h := sha256.New()
	h.Write(c[:])
	write := func(kind, text string) {
		h.Write([]byte(kind))
		h.Write([]byte{0})
		h.Write([]byte(text))
		h.Write([]byte{0})
	}
	write("role", m.Get("role").Str)
	write("output", m.Get("tool_call_id").Str)
	content := m.Get("content")
	if content.IsArray() {
		content.ForEach(func(_, p gjson.Result) bool {
			if text := p.Get("text"); text.Type == gjson.String {
				write("text", text.Str)
			} else {
				write("part", p.Raw)
			}
			return true
		})
	} else if content.String() != "" {
		write("text", content.String())
	}
	m.Get("tool_calls").ForEach(func(_, v gjson.Result) bool {
		f := first(v, "function", "custom")
		write("call", f.Get("name").Str)
		write("input", first(f, "arguments", "input").Str)
		return true
	})
	return chain(h.Sum(nil)[:16])
}

// answerOf returns what identifies the answer of a result line.
func answerOf(result gjson.Result) (e ending) {
	answer := result.Get("assistant")
	text := answer
	if answer.IsArray() {
		e.calls = callsOf(answer)
		text = result.Get("content")
	}
	e.text = signature(text.Str)
	e.answered = e.calls != "" || e.text != ""
	return e
}

// goesOn reports whether a message is the answer of an exchange, or it had
// none.
func (e ending) goesOn(m gjson.Result) bool {
	switch {
	case !e.answered:
		return true
	case m.Get("role").Str != "assistant":
		return false
	case e.calls != "":
		return e.calls == callsOf(m.Get("tool_calls"))
	}
	text := signature(plainText(m.Get("content")))
	return text != "" && (strings.HasPrefix(text, e.text) || strings.HasPrefix(e.text, text))
}

// callsOf identifies tool calls by names and arguments, "" for none. Their ids
// are left out: some APIs have none, and some clients make their own.
func callsOf(calls gjson.Result) string {
	h := sha256.New()
	n := 0
	calls.ForEach(func(_, v gjson.Result) bool {
		n++
		f := first(v, "function", "custom")
		arguments := []byte(first(f, "arguments", "input").Str)
		if canonical, err := jsonscan.Canonical(arguments, nil); err == nil {
			arguments = canonical
		}
		fmt.Fprintf(h, "%q %q\n", f.Get("name").Str, arguments)
		return true
	})
	if n == 0 {
		return ""
	}
	return string(h.Sum(nil)[:16])
}

// signature returns the start of a text without white space, which clients
// trim and APIs join in different ways.
func signature(text string) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() >= maxSignature {
			break
		}
		if !unicode.IsSpace(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}

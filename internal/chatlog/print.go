package chatlog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/tidwall/gjson"
	"golang.org/x/term"

	"forward/internal/backlog"
	"forward/internal/jsonscan"
)

const (
	printBytes = 4 << 20         // bound of the lines that wait to be printed
	printWait  = 2 * time.Second // bound of how long close waits for a terminal
)

// printer shows conversations as they happen. It has a queue and a goroutine of
// its own, so that a blocked terminal (Ctrl-S, a full pipe) delays neither
// requests nor the files.
type printer struct {
	w      io.Writer
	colour bool
	lines  *backlog.Queue[line]
}

func newPrinter(w io.Writer) *printer {
	p := &printer{w: w}
	if f, ok := w.(*os.File); ok {
		p.colour = term.IsTerminal(int(f.Fd()))
	}
	p.lines = backlog.New(backlog.Options[line]{Write: p.print, MaxBytes: printBytes, Size: line.size})
	return p
}

// close prints the queued lines. It leaves the goroutine behind if the terminal
// is blocked, for a write to it cannot be interrupted.
func (p *printer) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.lines.Close(context.Background())
	}()
	select {
	case <-done:
	case <-time.After(printWait):
	}
}

func (p *printer) print(_ context.Context, batch []line) error {
	var out bytes.Buffer
	for _, n := range batch {
		out.Reset()
		p.show(&out, n, jsonscan.View(n.text[:len(n.text)-1]))
		p.w.Write(out.Bytes())
	}
	return nil
}

// show prints a line of the log.
func (p *printer) show(out *bytes.Buffer, n line, v gjson.Result) {
	uid := v.Get("uid").Str
	uid = uid[max(0, len(uid)-8):]
	if v.Get("status").Exists() {
		p.result(out, uid, v)
		return
	}
	p.heading(out, uid, n.route, v.Get("model").Str, v.Get("key").Str, v.Get("user").Str,
		v.Get("ip").Str, v.Get("datetime").Str)
	p.request(out, v)
}

// request prints the messages after the last one of the model, or the prompt of
// an operation without messages.
func (p *printer) request(out *bytes.Buffer, v gjson.Result) {
	messages := conversation(v).Array()
	from := 0
	for i, m := range messages {
		if m.Get("role").Str == "assistant" {
			from = i + 1
		}
	}
	if from > 0 {
		p.turn(out, "…", fmt.Sprintf("%d earlier messages", from))
	}
	for _, m := range messages[from:] {
		text := plainText(m.Get("content"))
		if size := m.Get("bytes"); size.Exists() { // a meta log
			text = size.Raw + " bytes"
		}
		p.turn(out, m.Get("role").String(), text)
	}
	if prompt := first(v, "prompt", "input"); len(messages) == 0 && prompt.Exists() {
		p.turn(out, "prompt", prompt.String())
	}
}

// result prints the answer.
func (p *printer) result(out *bytes.Buffer, uid string, v gjson.Result) {
	tokens := ""
	if usage := v.Get("usage"); usage.IsObject() {
		tokens = fmt.Sprintf("%s+%s tokens",
			first(usage, "prompt_tokens", "input_tokens"), first(usage, "completion_tokens", "output_tokens"))
	}
	p.heading(out, uid, v.Get("status").Raw, v.Get("finish_reason").Str, v.Get("cause").Str,
		v.Get("ms").Raw+" ms", tokens, v.Get("cache").Str)
	if reasoning := v.Get("reasoning").Str; reasoning != "" {
		p.turn(out, "reasoning", reasoning)
	}
	text := first(v, "content", "refusal", "text")
	assistant := v.Get("assistant")
	if assistant.Type == gjson.String {
		text = assistant
	}
	if text.Exists() {
		p.turn(out, "assistant", text.Str)
	}
	if assistant.IsArray() {
		p.turn(out, "assistant", describeCalls(assistant))
	}
}

func describeCalls(calls gjson.Result) string {
	var list []string
	calls.ForEach(func(_, c gjson.Result) bool {
		name := c.Get("function.name").Str + c.Get("custom.name").Str
		arguments := c.Get("function.arguments").Str + c.Get("custom.input").Str
		list = append(list, name+"("+arguments+")")
		return true
	})
	return strings.Join(list, "\n")
}

// heading prints the parts that are not empty.
func (p *printer) heading(out *bytes.Buffer, parts ...string) {
	var present []string
	for _, part := range parts {
		if part != "" {
			present = append(present, printable(part))
		}
	}
	p.paint(out, "2", "── "+strings.Join(present, " · "))
	out.WriteByte('\n')
}

// colours are the ANSI colours of roles.
var colours = map[string]string{
	"user": "32", "assistant": "36", "system": "33", "developer": "33", "tool": "35", "function": "35",
}

// turn prints one message. Its lines are indented, so that none looks like a
// heading.
func (p *printer) turn(out *bytes.Buffer, role, text string) {
	colour := colours[role]
	if colour == "" {
		colour = "2"
	}
	p.paint(out, colour, printable(role)+":")
	out.WriteByte(' ')
	out.WriteString(strings.ReplaceAll(printable(text), "\n", "\n  "))
	out.WriteByte('\n')
}

func (p *printer) paint(out *bytes.Buffer, colour, text string) {
	if p.colour {
		text = "\x1b[" + colour + "m" + text + "\x1b[0m"
	}
	out.WriteString(text)
}

// printable removes control characters, for text of clients and models must not
// control the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return -1
		}
		return r
	}, text)
}

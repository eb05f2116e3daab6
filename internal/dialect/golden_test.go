package dialect_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialects"
	"forward/internal/framing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// seen is what a golden file holds of an answer.
type seen struct {
	ID, Model    string
	Tier         string   `json:",omitempty"`
	State        []string `json:",omitempty"`
	Choices      []dialect.Choice
	Usage        *dialect.Usage
	Error        string `json:",omitempty"`
	BodyError    string `json:",omitempty"`
	Ended        bool
	Complete     bool
	Finish       string
	MoreThanKept bool `json:",omitempty"`
}

func lookAt(a *dialect.Answer) seen {
	return seen{ID: a.ID, Model: a.Model, Tier: a.Tier, State: a.State, Choices: a.Choices(), Usage: a.Usage, Error: a.Error, Ended: a.Ended,
		Complete: a.Complete(), Finish: a.Finish(), MoreThanKept: a.Truncated}
}

// split returns the raw events of a stream, the rest among them, and the parsed
// ones.
func split(stream []byte) (raw []string, events []framing.Event) {
	framing.SSE.Each(stream, func(p []byte, ev framing.Event, ok bool) bool {
		raw = append(raw, string(p))
		if ok {
			events = append(events, ev)
		}
		return true
	})
	return raw, events
}

// read feeds a whole stream to a dialect.
func read(d *dialect.Dialect, op dialect.Operation, stream []byte) *dialect.Answer {
	a := &dialect.Answer{}
	_, events := split(stream)
	for _, ev := range events {
		d.Event(op, a, ev)
	}
	return a
}

// TestTranscripts reads each transcript of
// testdata/DIALECT/OPERATION-name.{sse,json} and compares what is read with the
// .golden file beside it, and what it folds to with the .folded one.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*-*.*")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		kind := filepath.Ext(file)
		if kind != ".sse" && kind != ".json" {
			continue
		}
		found++
		name, _ := filepath.Rel("testdata", file)
		t.Run(name, func(t *testing.T) {
			d, ok := dialects.ByName(filepath.Dir(name))
			if !ok {
				t.Fatal("no such dialect")
			}
			word, _, _ := strings.Cut(filepath.Base(name), "-")
			op := dialect.Operation(word)
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got seen
			if kind == ".sse" {
				got = lookAt(read(d, op, in))
				body, ok := d.Fold(op, in)
				if ok != (got.Complete && folds(op)) {
					t.Errorf("folded: %t, complete: %t", ok, got.Complete)
				}
				golden(t, file+".folded", body)
				if ok {
					again := &dialect.Answer{}
					if err := d.Body(op, again, body); err != nil {
						t.Error(err)
					}
					if diff := cmp.Diff(withoutSpaces(got), withoutSpaces(lookAt(again))); diff != "" {
						t.Errorf("the stream and its body differ:\n%s", diff)
					}
					checkCut(t, d, op, body)
				}
			} else {
				var a dialect.Answer
				err := d.Body(op, &a, in)
				if got = lookAt(&a); err != nil {
					got.BodyError = err.Error()
				}
				if array := bytes.HasPrefix(in, []byte("[")); got.Complete && folds(op) && !array {
					golden(t, file+".stream", checkCut(t, d, op, in))
				} else if events, ok := d.Cut(op, in, true); ok {
					t.Errorf("cut to %s", events)
				}
			}
			text, err := json.MarshalIndent(got, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file+".golden", append(text, '\n'))
		})
	}
	if found < 40 {
		t.Errorf("only %d transcripts found", found)
	}
}

// checkCut cuts a body and returns the events, after they fold to the same body
// again and read the same as it does.
func checkCut(t interface {
	Helper()
	Errorf(string, ...any)
	Fatalf(string, ...any)
}, d *dialect.Dialect, op dialect.Operation, body []byte) (events []byte) {
	t.Helper()
	events, ok := d.Cut(op, body, true)
	if !ok {
		t.Fatalf("not cut: %s", body)
	}
	folded, ok := d.Fold(op, events)
	if !ok {
		t.Fatalf("cut, but not folded again:\n%s", events)
	}
	if diff := cmp.Diff(decoded(t, body), decoded(t, folded)); diff != "" {
		t.Fatalf("what was cut folds to another body (-body +folded):\n%s\n%s", diff, events)
	}
	var whole dialect.Answer
	var compact bytes.Buffer // a stream has no white space that is not content
	json.Compact(&compact, body)
	if err := d.Body(op, &whole, compact.Bytes()); err != nil {
		t.Fatalf("%v", err)
	}
	if diff := cmp.Diff(sortedUsage(t, lookAt(&whole)), sortedUsage(t, lookAt(read(d, op, events)))); diff != "" && !bytes.Contains(body, []byte(`\uD83D`)) {
		t.Errorf("a body and its stream differ (-body +stream):\n%s\n%s", diff, events)
	}
	return events
}

// sortedUsage spells the usage so that the order of its members does not
// matter.
func sortedUsage(t interface{ Fatalf(string, ...any) }, s seen) seen {
	if s.Usage != nil && s.Usage.Raw != nil {
		u := *s.Usage
		u.Raw, _ = json.Marshal(decoded(t, u.Raw))
		s.Usage = &u
	}
	return s
}

// folds reports whether answers of an operation have two forms that the gateway
// can turn into each other.
func folds(op dialect.Operation) bool {
	switch op {
	case dialect.Chat, dialect.Completion, dialect.Responses, dialect.Messages, dialect.Generate:
		return true
	}
	return false
}

func withoutSpaces(s seen) seen {
	if s.Usage != nil {
		var b bytes.Buffer
		json.Compact(&b, s.Usage.Raw)
		u := *s.Usage
		u.Raw, s.Usage = b.Bytes(), &u
	}
	return s
}

// golden compares got with a file; nothing and no file are the same.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		os.Remove(file)
		if got != nil {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, diff)
	}
}

// TestEveryCutOfATranscript cuts each complete stream at every byte: what is
// left is never complete, and never folds, before its last event is there.
// Gemini has no end marker; there the last event is the one with the finish
// reason.
func TestEveryCutOfATranscript(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*.sse")
	for _, file := range files {
		name, _ := filepath.Rel("testdata", file)
		in, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d, _ := dialects.ByName(filepath.Dir(name))
		word, _, _ := strings.Cut(filepath.Base(name), "-")
		op := dialect.Operation(word)
		if !read(d, op, in).Complete() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			end := len(bytes.TrimRight(in, "\r\n"))
			for i := range end {
				if read(d, op, in[:i]).Complete() {
					t.Fatalf("complete after %d of %d bytes: …%q", i, end, in[max(0, i-40):i])
				}
				if _, ok := d.Fold(op, in[:i]); ok {
					t.Fatalf("folded after %d of %d bytes", i, end)
				}
			}
		})
	}
}

package cache_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/cache"
)

const exportHead = `{"format":"forward-cache","version":1}` + "\n"

const exportedLine = `{"route":"openai","dialect":"openai","method":"POST","path":"/v1/chat/completions","operation":"chat","model":"m",` +
	`"request":{"messages":[],"model":"m"},"status":200,"headers":{"Content-Type":"application/json"},"stored":"2026-01-02T03:04:05Z",` +
	`"response":{"id":"1","object":"chat.completion"},"response_layout":"indented"}` + "\n"

// exported are answers of every kind, by the question's body.
func exported() map[string]*cache.Entry {
	jsonType := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"req_CANARY"}, "Openai-Organization": {"org-CANARY"}, "Set-Cookie": {"CANARY"}}
	entry := func(body string) *cache.Entry {
		return &cache.Entry{Status: 200, Header: jsonType, Body: []byte(body)}
	}
	list := map[string]*cache.Entry{
		`{"a":"compact"}`:          entry(`{"x":"<&>","y":[1.0,1e3]}`),
		`{"a":"newline"}`:          entry(`{"x":1}` + "\n"),
		`{"a":"indented"}`:         entry("{\n  \"x\": [],\n  \"y\": [\n    1\n  ]\n}"),
		`{"a":"indented newline"}`: entry("{\n  \"x\": 1\n}\n"),
		`{"a":"odd layout"}`:       entry(`{ "x" : 1 }`),
		`{"a":"empty object"}`:     entry(`{}`),
		`{"a":"twice","a":1.0}`:    entry(`{"x":1,"x":2,"big":9007199254740993}`),
		`{"a":"text"}`:             entry("plain\ttext   "),
		`{"a":"binary"}`:           entry("\x00\xff\xfe"),
		`{"a":"no body"}`:          entry(""),
		`no JSON`:                  entry(`1`),
		` {"not":"canonical"} `:    entry(`2`),
		"\xff\xfe":                 entry(`3`),
		``:                         entry(`4`),
		`{"a":"` + strings.Repeat("long ", 20_000) + `"}`: entry(`5`),
	}
	stream := entry("data: {\"x\":1}\n\ndata: {\"x\":2}\n\ndata: [DONE]\n\n")
	stream.Stream, stream.Header = true, http.Header{"Content-Type": {"text/event-stream"}}
	odd := entry("event: a\ndata: 1")
	odd.Stream = true
	list[`{"a":"stream"}`], list[`{"a":"odd stream"}`] = stream, odd
	return list
}

// TestExportsAreHitsElsewhere exports from each backend and imports into
// another machine's, whose callers and upstreams are others.
func TestExportsAreHitsElsewhere(t *testing.T) {
	t.Parallel()
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		stored := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
		for body, e := range exported() {
			e.Question, e.Stored, e.Expires = chatQuestion(body), stored, time.Now().Add(time.Hour)
			e.Question.Scope = "key:CANARY"
			if !c.Put(e.Question.Key("key:CANARY", "https://CANARY", "Bearer CANARY"), e) {
				t.Fatal(body)
			}
		}
		var file bytes.Buffer
		n, err := c.Export(t.Context(), &file, cache.Filter{})
		if err != nil || n != len(exported()) || bytes.Count(file.Bytes(), []byte("\n")) != n+1 {
			t.Fatalf("%d lines, %v", n, err)
		}
		if strings.Contains(file.String(), "CANARY") {
			t.Errorf("the export names the caller:\n%s", file.String())
		}
		for _, want := range []string{`"request":{"a":"compact"}`, `"response":{"x":"<&>","y":[1.0,1e3]}`, `"response_events":["data: {\"x\":1}\n\n","data: {\"x\":2}\n\n","data: [DONE]\n\n"]`} {
			if !strings.Contains(file.String(), want) {
				t.Errorf("%s is not to be read in\n%s", want, file.String())
			}
		}
		elsewhere := MustOpen(t, cache.Options{Dir: t.TempDir()})
		if n, tooLong, err := elsewhere.Import(t.Context(), bytes.NewReader(file.Bytes()), 0); n != len(exported()) || tooLong != 0 || err != nil {
			t.Fatal(n, tooLong, err)
		}
		for body, e := range exported() {
			q := chatQuestion(body)
			got, ok := elsewhere.Get(t.Context(), q.Key("key:another", "https://another"), q.Key())
			if !ok {
				t.Errorf("miss: %.50q", body)
				continue
			}
			if string(got.Body) != string(e.Body) || got.Stream != e.Stream || got.Status != 200 || !got.Stored.Equal(stored.Truncate(time.Second)) || got.Header.Get("Content-Type") != e.Header.Get("Content-Type") || len(got.Header) != 1 {
				t.Errorf("%.50q gives %q, want %q; %+v", body, got.Body, e.Body, got)
			}
			other := chatQuestion(body + "x")
			if _, ok := elsewhere.Get(t.Context(), other.Key()); ok {
				t.Errorf("a hit for another question than %.50q", body)
			}
		}
		var again bytes.Buffer
		if _, err := elsewhere.Export(t.Context(), &again, cache.Filter{}); err != nil || again.String() != file.String() {
			t.Errorf("exporting what was imported gives another file: %v\n%s\n%s", err, file.String(), again.String())
		}
	})
}

// TestOwnAnswersComeFirst: a caller that has its own answer does not get an
// imported one.
func TestOwnAnswersComeFirst(t *testing.T) {
	eachBackend(t, func(t *testing.T, o cache.Options) {
		c := MustOpen(t, o)
		if n, _, err := c.Import(t.Context(), strings.NewReader(exportHead+exportedLine), 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		q := chatQuestion(`{"messages":[],"model":"m"}`)
		q.Header = nil
		own := q.Key("key:0123")
		e, ok := c.Get(t.Context(), own, q.Key())
		if !ok || string(e.Body) != "{\n  \"id\": \"1\",\n  \"object\": \"chat.completion\"\n}" || e.Question.Scope != cache.Imported {
			t.Fatalf("%+v", e)
		}
		if !e.Expires.After(time.Now().Add(29 * 24 * time.Hour)) {
			t.Errorf("expires %s", e.Expires)
		}
		c.Put(own, &cache.Entry{Status: 200, Body: []byte("own"), Question: q})
		if e, ok := c.Get(t.Context(), own, q.Key()); !ok || string(e.Body) != "own" {
			t.Errorf("%+v", e)
		}
		var file bytes.Buffer
		if n, err := c.Export(t.Context(), &file, cache.Filter{}); n != 1 || err != nil || !strings.Contains(file.String(), `"response_text":"own"`) {
			t.Errorf("of two answers to one question the later is not the one exported: %v\n%s", err, file.String())
		}
	})
}

func TestExportIsSelected(t *testing.T) {
	c := MustOpen(t, cache.Options{Backend: "MEMORY"})
	MustPut(t, c, 60)
	c.Put(keyOf(1), answerTo(1, 100)) // without its question
	var file bytes.Buffer
	n, err := c.Export(t.Context(), &file, cache.Filter{Route: "other", Model: "gpt-1"})
	if err != nil || n != 10 || strings.Contains(file.String(), `"route":"openai"`) || strings.Contains(file.String(), `gpt-2`) {
		t.Errorf("%d, %v\n%s", n, err, file.String())
	}
	var last string
	for line := range strings.Lines(file.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
		if !strings.HasPrefix(line, `{"format"`) {
			var l struct{ Path, Model string }
			json.Unmarshal([]byte(line), &l)
			if now := l.Path + l.Model; now < last {
				t.Errorf("%s comes after %s", now, last)
			} else {
				last = now
			}
		}
	}
}

func TestImportRefuses(t *testing.T) {
	replace := func(old, new string) string {
		if !strings.Contains(exportedLine, old) {
			t.Fatal(old)
		}
		return exportHead + exportedLine + strings.Replace(exportedLine, old, new, 1)
	}
	for name, test := range map[string]struct{ file, reason string }{
		"nothing":         {"", "line 1: the file is empty"},
		"something else":  {"{}\n", "line 1: not an export"},
		"another version": {`{"format":"forward-cache","version":2}`, "version 2"},
		"a torn line":     {exportHead + exportedLine + exportedLine[:100], "line 3: not an entry"},
		"a misspelling":   {replace(`"request"`, `"reqest"`), "line 3"},
		"no route":        {replace(`"openai"`, `""`), "line 3"},
		"an error":        {replace(`200`, `500`), "line 3"},
		"a layout":        {replace(`indented`, `diagonal`), "diagonal"},
		"a short sum":     {replace(`"request":{"messages":[],"model":"m"}`, `"request_sha256":"00"`), "request_sha256"},
		"a line too long": {exportHead + exportedLine + strings.Repeat("x", 10<<20), "CACHE_MAX_ENTRY_BYTES"},
	} {
		t.Run(name, func(t *testing.T) {
			c := MustOpen(t, cache.Options{Backend: "MEMORY", MaxEntryBytes: 1 << 20})
			n, _, err := c.Import(t.Context(), strings.NewReader(test.file), 0)
			if err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("%d, %v", n, err)
			}
			if want := strings.Count(test.file, "Z"); n != min(want, 1) {
				t.Errorf("%d imported before the error", n)
			}
		})
	}
}

// TestImportTakesNoHeaderOfTheConnection: an export is a file that others may
// have written.
func TestImportTakesNoHeaderOfTheConnection(t *testing.T) {
	c := MustOpen(t, cache.Options{Backend: "MEMORY"})
	line := strings.Replace(exportedLine, `"headers":{`, `"headers":{"Set-Cookie":"a=b","Location":"https://evil","Transfer-Encoding":"chunked",`, 1)
	if n, _, err := c.Import(t.Context(), strings.NewReader(exportHead+line), 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for _, i := range list(t, c, cache.Filter{}) {
		if _, e, err := c.Find(t.Context(), i.Key.String()); err != nil || len(e.Header) != 1 {
			t.Errorf("%v, %v", e.Header, err)
		}
	}
}

func TestImportOfMoreThanTheQueueHolds(t *testing.T) {
	t.Parallel()
	from := MustOpen(t, cache.Options{Backend: "MEMORY"})
	MustPut(t, from, 6000)
	file := filepath.Join(t.TempDir(), "export.jsonl")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := from.Export(t.Context(), f, cache.Filter{}); n != 6000 || err != nil {
		t.Fatal(n, err)
	}
	f.Seek(0, 0)
	to := MustOpen(t, cache.Options{Dir: t.TempDir()})
	if n, tooLong, err := to.Import(t.Context(), f, time.Hour); n != 6000 || tooLong != 0 || err != nil {
		t.Fatal(n, tooLong, err)
	}
	if got := len(list(t, to, cache.Filter{Scope: cache.Imported})); got != 6000 {
		t.Errorf("%d are there", got)
	}
}

func FuzzImport(f *testing.F) {
	f.Add([]byte(exportHead + exportedLine))
	f.Fuzz(func(t *testing.T, file []byte) {
		c := MustOpen(t, cache.Options{Backend: "MEMORY"})
		n, _, err := c.Import(t.Context(), bytes.NewReader(file), 0)
		if err != nil {
			return
		}
		var once, twice bytes.Buffer
		if out, err := c.Export(t.Context(), &once, cache.Filter{}); err != nil || out > n {
			t.Fatal(out, n, err)
		}
		again := MustOpen(t, cache.Options{Backend: "MEMORY"})
		if _, _, err := again.Import(t.Context(), bytes.NewReader(once.Bytes()), 0); err != nil {
			t.Fatalf("%v\n%s", err, once.String())
		}
		if _, err := again.Export(t.Context(), &twice, cache.Filter{}); err != nil || once.String() != twice.String() {
			t.Fatalf("%v\n%s\n%s", err, once.String(), twice.String())
		}
	})
}

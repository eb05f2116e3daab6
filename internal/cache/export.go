package cache

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"forward/internal/jsonscan"
)

// An export is JSON lines: a header, then one line for each question, in order
// of route, path, operation, model and key. The same answers give the same
// bytes wherever they were recorded, so that a team can commit the file and
// review changes. It holds nothing of the callers: no scope, no credential, no
// host, and only some of the answer's headers.
//
// The bodies are readable: JSON as JSON, a stream as a list of its events,
// other text as text, and only the rest as base64. Each form gives back the
// very bytes of the answer.

const (
	exportFormat  = "forward-cache"
	exportVersion = 1
)

type exportHead struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
}

type exportLine struct {
	Question // without Body and Scope

	Request       json.RawMessage `json:"request,omitempty"`        // canonical JSON
	RequestText   *string         `json:"request_text,omitempty"`   // or another text
	RequestBase64 []byte          `json:"request_base64,omitempty"` // or anything else
	RequestSum    string          `json:"request_sha256,omitempty"` // or the digest of a body too long to be kept
	RequestBytes  int64           `json:"request_bytes,omitempty"`

	Status  int               `json:"status"`
	Stream  bool              `json:"stream,omitempty"`
	Headers map[string]string `json:"headers"`
	Stored  time.Time         `json:"stored"`

	Response       json.RawMessage `json:"response,omitempty"`
	Layout         string          `json:"response_layout,omitempty"` // how Response was written, see layouts
	ResponseEvents []string        `json:"response_events,omitempty"`
	ResponseText   *string         `json:"response_text,omitempty"`
	ResponseBase64 []byte          `json:"response_base64,omitempty"`
}

// exportedHeaders are the headers of an answer that are exported and imported.
// Others name accounts, hosts and moments.
var exportedHeaders = []string{
	"Content-Type", "Content-Language", "Content-Disposition",
	"Anthropic-Version", "Openai-Model", "Openai-Version",
}

// exportPlace is where the answer to an exported question is kept.
type exportPlace struct {
	order  string // by which the lines are sorted
	key    Key
	stored time.Time
}

// Export writes the entries that the filter selects, and returns how many it
// wrote. Callers may have got different answers to one question; the latest is
// written.
func (c *Cache) Export(ctx context.Context, w io.Writer, f Filter) (int, error) {
	places, err := c.exportPlaces(ctx, f)
	if err != nil {
		return 0, err
	}
	buffered := bufio.NewWriter(w)
	lines := json.NewEncoder(buffered)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(exportHead{exportFormat, exportVersion}); err != nil {
		return 0, fmt.Errorf("exporting: %w", err)
	}
	written := 0
	for _, p := range places {
		found, ok := c.store.load(ctx, p.key)
		if !ok {
			continue // deleted meanwhile
		}
		e, err := c.whole(found)
		if err != nil {
			continue // damaged; the next Get of it is logged
		}
		if err := errors.Join(lines.Encode(newExportLine(e)), ctx.Err()); err != nil {
			return written, fmt.Errorf("exporting: %w", err)
		}
		written++
	}
	if err := buffered.Flush(); err != nil {
		return written, fmt.Errorf("exporting: %w", err)
	}
	return written, nil
}

// exportPlaces returns the places of the latest answers to the selected
// questions, in the order of the export.
func (c *Cache) exportPlaces(ctx context.Context, f Filter) ([]exportPlace, error) {
	latest := make(map[Key]exportPlace) // by the key of the question alone
	err := c.List(ctx, f, func(i *Info) bool {
		if i.Method == "" {
			return true // put without its question
		}
		q := i.Question
		k := q.Key()
		order := strings.Join([]string{q.Route, q.Path, q.Operation, q.Model, k.String()}, "\x00")
		p := exportPlace{order, i.Key, i.Stored}
		if other, ok := latest[k]; !ok || p.supersedes(other) {
			latest[k] = p
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	byOrder := func(a, b exportPlace) int { return strings.Compare(a.order, b.order) }
	return slices.SortedFunc(maps.Values(latest), byOrder), nil
}

// supersedes reports whether p is the later answer. Keys decide between two of
// one moment, so that exports are reproducible.
func (p exportPlace) supersedes(other exportPlace) bool {
	if p.stored.Equal(other.stored) {
		return bytes.Compare(p.key[:], other.key[:]) < 0
	}
	return p.stored.After(other.stored)
}

func newExportLine(e *Entry) *exportLine {
	l := &exportLine{
		Question: e.Question, Status: e.Status, Stream: e.Stream,
		Headers: make(map[string]string), Stored: e.Stored.UTC().Truncate(time.Second),
	}
	l.Question.Scope = ""
	l.writeRequest(&e.Question)
	for _, name := range exportedHeaders {
		if value := e.Header.Get(name); value != "" {
			l.Headers[name] = value
		}
	}
	if !e.Stream && utf8.Valid(e.Body) {
		for _, layout := range layouts {
			if again, err := layout.write(e.Body); err == nil && bytes.Equal(again, e.Body) {
				l.Response = bytes.TrimSpace(e.Body)
				l.Layout = layout.name
				return l
			}
		}
	}
	if e.Stream && utf8.Valid(e.Body) {
		l.ResponseEvents = strings.SplitAfter(string(e.Body), "\n\n")
		if last := len(l.ResponseEvents) - 1; l.ResponseEvents[last] == "" {
			l.ResponseEvents = l.ResponseEvents[:last]
		}
		return l
	}
	l.ResponseText, l.ResponseBase64 = asText(e.Body)
	return l
}

// writeRequest sets the fields for the body of the question.
func (l *exportLine) writeRequest(q *Question) {
	if q.size == 0 {
		return
	}
	if q.Body == nil {
		l.RequestSum = hex.EncodeToString(q.sum[:])
		l.RequestBytes = q.size
		return
	}
	canonical, err := jsonscan.Canonical(q.Body, nil)
	if err == nil && utf8.Valid(q.Body) && bytes.Equal(canonical, q.Body) {
		l.Request = q.Body
		return
	}
	l.RequestText, l.RequestBase64 = asText(q.Body)
}

func asText(body []byte) (*string, []byte) {
	if !utf8.Valid(body) {
		return nil, body
	}
	s := string(body)
	return &s, nil
}

// layouts are the usual ways to write JSON. A body in one of them is exported
// as JSON, and Import writes it again byte for byte.
var layouts = []layout{
	{"", compact},
	{"newline", func(body []byte) ([]byte, error) {
		out, err := compact(body)
		return append(out, '\n'), err
	}},
	{"indented", indented},
	{"indented newline", func(body []byte) ([]byte, error) {
		out, err := indented(body)
		return append(out, '\n'), err
	}},
}

type layout struct {
	name  string
	write func(body []byte) ([]byte, error)
}

func compact(body []byte) ([]byte, error) {
	var out bytes.Buffer
	err := json.Compact(&out, body)
	return out.Bytes(), err
}

func indented(body []byte) ([]byte, error) {
	body, err := compact(body) // which also takes off what surrounds it
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = json.Indent(&out, body, "", "  ")
	return out.Bytes(), err
}

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
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"forward/internal/jsonscan"
)

// An export is JSON lines: one that says what the file is, then one for each question, in order of route, path, operation,
// model and key. The same answers give the same bytes wherever they were recorded, so that a team can commit the file and
// read what changed. It says nothing of who asked: no scope, no credential, no host, of the answer's headers only some.
//
// The bodies are there to be read: JSON as JSON, a stream as a list of its events, other text as text, and only what is
// none of these as base64. Each form gives back the very bytes of the answer.

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
	RequestSum    string          `json:"request_sha256,omitempty"` // or what is known of a body too long to be kept
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

// exportedHeaders are the headers of an answer that are exported and imported. Others name accounts, hosts and moments.
var exportedHeaders = []string{"Content-Type", "Content-Language", "Content-Disposition", "Anthropic-Version", "Openai-Model", "Openai-Version"}

// Export writes what the filter selects. Of several answers to one question, which differ in who asked, the latest is
// written. It returns how many were.
func (c *Cache) Export(ctx context.Context, w io.Writer, f Filter) (int, error) {
	type place struct {
		order  string
		key    Key
		stored time.Time
	}
	latest := make(map[Key]place)
	err := c.List(ctx, f, func(i *Info) bool {
		if i.Method == "" {
			return true // put without its question
		}
		q := i.Question
		k := q.Key()
		if p, ok := latest[k]; !ok || i.Stored.After(p.stored) || i.Stored.Equal(p.stored) && bytes.Compare(i.Key[:], p.key[:]) < 0 {
			latest[k] = place{strings.Join([]string{q.Route, q.Path, q.Operation, q.Model, k.String()}, "\x00"), i.Key, i.Stored}
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	places := make([]place, 0, len(latest))
	for _, p := range latest {
		places = append(places, p)
	}
	slices.SortFunc(places, func(a, b place) int { return strings.Compare(a.order, b.order) })

	buffered := bufio.NewWriter(w)
	lines := json.NewEncoder(buffered)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(exportHead{exportFormat, exportVersion}); err != nil {
		return 0, fmt.Errorf("exporting: %w", err)
	}
	written := 0
	for _, p := range places {
		h, ok := c.store.load(ctx, p.key)
		if !ok {
			continue // gone meanwhile
		}
		e, err := c.whole(h)
		if err != nil {
			continue // damaged; Get says so when somebody asks
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

func newExportLine(e *Entry) *exportLine {
	l := &exportLine{Question: e.Question, Status: e.Status, Stream: e.Stream, Headers: make(map[string]string), Stored: e.Stored.UTC().Truncate(time.Second)}
	l.Question.Scope = ""
	l.ask(&e.Question)
	for _, name := range exportedHeaders {
		if value := e.Header.Get(name); value != "" {
			l.Headers[name] = value
		}
	}
	if !e.Stream && utf8.Valid(e.Body) {
		for _, layout := range layouts {
			if again, err := layout.write(e.Body); err == nil && bytes.Equal(again, e.Body) {
				l.Response, l.Layout = bytes.TrimSpace(e.Body), layout.name
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

// ask fills in the body of the question.
func (l *exportLine) ask(q *Question) {
	if q.size == 0 {
		return
	}
	if q.Body == nil {
		l.RequestSum, l.RequestBytes = hex.EncodeToString(q.sum[:]), q.size
		return
	}
	if canonical, err := jsonscan.Canonical(q.Body, nil); err == nil && utf8.Valid(q.Body) && bytes.Equal(canonical, q.Body) {
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

// layouts are the ways in which JSON bodies are usually written. A body in one of them is exported as JSON, and can be
// written again just as it was.
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

// Import puts the entries of an export into the cache, for everybody: that is for the operator to decide. They live for
// ttl, 0 for the cache's own, from now on. It returns how many there are now, and how many did not fit. The error says
// which line is wrong; those before it are there.
func (c *Cache) Import(ctx context.Context, r io.Reader, ttl time.Duration) (imported, tooLong int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if ttl == 0 {
		ttl = c.ttl
	}
	before := c.lostInStore()
	for number := 1; ; number++ {
		line, err := readLine(in, 8*c.maxEntry+1<<20)
		if err == io.EOF && number > 1 {
			break
		}
		if err == nil && number == 1 {
			err = checkHead(line)
		} else if err == nil && len(bytes.TrimSpace(line)) > 0 {
			var put bool
			if put, err = c.importLine(ctx, line, ttl); put {
				imported++
			} else if err == nil {
				tooLong++
			}
		}
		if err != nil {
			if err == io.EOF {
				err = errors.New("the file is empty")
			}
			return imported, tooLong, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if err := c.flushed(ctx); err != nil {
		return imported, tooLong, err
	}
	if lost := c.lostInStore() - before; lost > 0 {
		return imported, tooLong, fmt.Errorf("%d answers could not be written", lost)
	}
	return imported, tooLong, nil
}

func readLine(in *bufio.Reader, most int64) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if line = append(line, part...); int64(len(line)) > most {
			return nil, fmt.Errorf("longer than %d bytes; raise CACHE_MAX_ENTRY_BYTES", most)
		}
		switch {
		case err == nil, err == io.EOF && len(line) > 0:
			return line, nil
		case err != bufio.ErrBufferFull:
			return nil, err
		}
	}
}

func checkHead(line []byte) error {
	var head exportHead
	if err := json.Unmarshal(line, &head); err != nil || head.Format != exportFormat {
		return errors.New(`not an export of a cache: it should be {"format":"forward-cache","version":1}`)
	}
	if head.Version != exportVersion {
		return fmt.Errorf("the export has version %d, this forward reads version %d", head.Version, exportVersion)
	}
	return nil
}

// importLine waits until the queue takes the entry. It reports false for one that never will be.
func (c *Cache) importLine(ctx context.Context, line []byte, ttl time.Duration) (bool, error) {
	e, err := readExportLine(line)
	if err != nil {
		return false, err
	}
	e.Expires = c.now().Add(ttl)
	k := e.Question.Key()
	for !c.put(k, e) {
		var s Stats
		if c.store.report(&s); s.Disabled != "" {
			return false, errors.New(s.Disabled)
		}
		if s.Pending == 0 {
			return false, nil
		}
		if err := pause(ctx); err != nil {
			return false, err
		}
	}
	return true, nil
}

func readExportLine(line []byte) (*Entry, error) {
	var l exportLine
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return nil, fmt.Errorf("not an entry: %w", err)
	}
	if l.Route == "" || l.Method == "" || l.Path == "" || l.Status != http.StatusOK {
		return nil, errors.New("an entry needs a route, a method, a path and the status 200")
	}
	e := &Entry{Status: l.Status, Stream: l.Stream, Header: make(http.Header), Question: l.Question, Stored: l.Stored}
	q := &e.Question
	q.Scope = Imported
	var err error
	switch {
	case l.Request != nil:
		q.Body, err = jsonscan.Canonical(l.Request, nil)
	case l.RequestText != nil:
		q.Body = []byte(*l.RequestText)
	case l.RequestSum != "":
		var sum []byte
		if sum, err = hex.DecodeString(l.RequestSum); err == nil && (len(sum) != len(q.sum) || l.RequestBytes <= 0) {
			err = errors.New("request_sha256 needs 64 digits, and request_bytes")
		}
		copy(q.sum[:], sum)
		q.size = l.RequestBytes
	default:
		q.Body = l.RequestBase64
	}
	if err != nil {
		return nil, err
	}
	for _, name := range exportedHeaders {
		if value, ok := l.Headers[name]; ok {
			e.Header.Set(name, value)
		}
	}
	switch {
	case l.Response != nil:
		i := slices.IndexFunc(layouts, func(known layout) bool { return known.name == l.Layout })
		if i < 0 {
			return nil, fmt.Errorf("unknown response_layout %q", l.Layout)
		}
		e.Body, err = layouts[i].write(l.Response)
	case l.ResponseEvents != nil:
		e.Body = []byte(strings.Join(l.ResponseEvents, ""))
	case l.ResponseText != nil:
		e.Body = []byte(*l.ResponseText)
	default:
		e.Body = l.ResponseBase64
	}
	return e, err
}

// flushed waits until everything queued is written.
func (c *Cache) flushed(ctx context.Context) error {
	for {
		var s Stats
		if c.store.report(&s); s.Pending == 0 {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func (c *Cache) lostInStore() int64 {
	var s Stats
	c.store.report(&s)
	return s.Dropped
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(2 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package cache

import (
	"bufio"
	"bytes"
	"cmp"
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

	"forward/internal/jsonscan"
)

// Import stores the entries of an export for every caller, which is the
// operator's decision. They live for ttl from now on, or for the cache's own
// time if ttl is 0. It returns how many were stored and how many were too long.
// The error names the line that is wrong; the lines before it are stored.
func (c *Cache) Import(ctx context.Context, r io.Reader, ttl time.Duration) (imported, tooLong int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	before := c.lostInStore()
	for number := 1; ; number++ {
		line, err := readLine(in, 8*c.maxEntry+1<<20)
		if err == io.EOF && number > 1 {
			break
		}
		put := false
		switch {
		case err == io.EOF:
			err = errors.New("the file is empty")
		case err != nil:
		case number == 1:
			err = checkHead(line)
		case len(bytes.TrimSpace(line)) > 0:
			put, err = c.importLine(ctx, line, cmp.Or(ttl, c.ttl))
			if err == nil && !put {
				tooLong++
			}
		}
		if err != nil {
			return imported, tooLong, fmt.Errorf("line %d: %w", number, err)
		}
		if put {
			imported++
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
		line = append(line, part...)
		if int64(len(line)) > most {
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

// importLine waits until the queue takes the entry. It reports false for one
// that will never be taken.
func (c *Cache) importLine(ctx context.Context, line []byte, ttl time.Duration) (bool, error) {
	e, err := readExportLine(line)
	if err != nil {
		return false, err
	}
	e.Expires = c.now().Add(ttl)
	k := e.Question.Key()
	for !c.put(k, e) {
		var s Stats
		c.store.report(&s)
		if s.Disabled != "" {
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
	e.Question.Scope = Imported
	if err := l.readRequest(&e.Question); err != nil {
		return nil, err
	}
	for _, name := range exportedHeaders {
		if value, ok := l.Headers[name]; ok {
			e.Header.Set(name, value)
		}
	}
	var err error
	e.Body, err = l.response()
	return e, err
}

// readRequest is the reverse of writeRequest.
func (l *exportLine) readRequest(q *Question) (err error) {
	switch {
	case l.Request != nil:
		q.Body, err = jsonscan.Canonical(l.Request, nil)
	case l.RequestText != nil:
		q.Body = []byte(*l.RequestText)
	case l.RequestSum != "":
		sum, err := hex.DecodeString(l.RequestSum)
		if err != nil {
			return err
		}
		if len(sum) != len(q.sum) || l.RequestBytes <= 0 {
			return errors.New("request_sha256 needs 64 digits, and request_bytes")
		}
		copy(q.sum[:], sum)
		q.size = l.RequestBytes
	default:
		q.Body = l.RequestBase64
	}
	return err
}

// response returns the body of the answer.
func (l *exportLine) response() ([]byte, error) {
	switch {
	case l.Response != nil:
		i := slices.IndexFunc(layouts, func(known layout) bool { return known.name == l.Layout })
		if i < 0 {
			return nil, fmt.Errorf("unknown response_layout %q", l.Layout)
		}
		return layouts[i].write(l.Response)
	case l.ResponseEvents != nil:
		return []byte(strings.Join(l.ResponseEvents, "")), nil
	case l.ResponseText != nil:
		return []byte(*l.ResponseText), nil
	}
	return l.ResponseBase64, nil
}

// flushed waits until everything queued is written.
func (c *Cache) flushed(ctx context.Context) error {
	for {
		var s Stats
		c.store.report(&s)
		if s.Pending == 0 {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// lostInStore returns how many entries the store could not write.
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

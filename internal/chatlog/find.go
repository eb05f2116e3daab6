package chatlog

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"forward/internal/dialect"
)

// ErrNotFound reports that no log has the lines of a request.
var ErrNotFound = errors.New("the chat log does not have this request")

// Wanted names a request whose content is looked for.
type Wanted struct {
	Dir       string // as in Options
	Route     string
	Operation dialect.Operation
	UID       string
	Time      time.Time // when it started
}

// Content is what a log has of a request.
type Content struct {
	Request   json.RawMessage // its line; nil where it is longer than MaxContent
	Result    json.RawMessage // the line of the answer; nil where there is none, or it is that long
	Messages  []Message       // both as a conversation
	Truncated bool            // something was left out or cut
}

// MaxContent bounds each line of a Content, and its messages together, in
// bytes.
const MaxContent = 512 << 10

// What bounds the search for a request: the files that were set aside since,
// for an answer that took hours can be in a later one, and a clock that was set
// back.
const (
	maxFound  = 30
	findSlack = time.Minute
)

// Find reads the content of one request: out of the file that was written to
// when it started, which its time leads to, and those after it as far as its
// answer needs. What a line refers to is put back.
func Find(ctx context.Context, w Wanted) (Content, error) {
	files, err := w.files()
	if err != nil {
		return Content{}, fmt.Errorf("looking for a request in the chat log: %w", err)
	}
	c := converter{ctx: ctx, index: newIndex(), restorer: newRestorer()}
	defer c.close()
	for _, path := range files {
		if err := c.find(path, w.UID); err != nil {
			return Content{}, fmt.Errorf("looking for a request in the chat log: %w", err)
		}
		if i, known := c.index.byUID[idOf(w.UID)]; known && c.index.entries[i].request.length > 0 && c.index.entries[i].result.length > 0 {
			break
		}
	}
	i, known := c.index.byUID[idOf(w.UID)]
	if !known || c.index.entries[i].request.length == 0 {
		return Content{}, ErrNotFound
	}
	c.restorer.sources = c.sources
	lines := lineLoader{restorer: c.restorer}
	x, err := lines.exchange(c.index.entries[i])
	if errors.Is(err, errLost) {
		return Content{}, fmt.Errorf("%w: an earlier line that it refers to is missing", ErrNotFound)
	}
	if err != nil {
		return Content{}, fmt.Errorf("reading a request of the chat log: %w", err)
	}
	return contentOf(x), nil
}

// files returns the files that may have a request, the oldest first.
func (w Wanted) files() (paths []string, err error) {
	path := target{w.Route, w.Operation}.path(cmp.Or(w.Dir, defaultDir))
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []aside
	for _, e := range entries {
		if stamp, ok := stampOf(filepath.Base(path), e.Name()); ok && !stamp.Before(w.Time.Add(-findSlack)) {
			list = append(list, aside{path: filepath.Join(filepath.Dir(path), e.Name()), stamp: stamp})
		}
	}
	slices.SortStableFunc(list, func(a, b aside) int { return a.stamp.Compare(b.stamp) })
	for i, a := range list[:min(len(list), maxFound)] {
		if i > 0 && a.stamp.Equal(list[i-1].stamp) {
			continue // compressed beside its plain file, which it is about to replace
		}
		paths = append(paths, a.path)
	}
	return append(paths, path), err
}

// find indexes a file that has a uid.
func (c *converter) find(path, uid string) error {
	s, _, err := openSource(c.ctx, path, func(int) {})
	if errors.Is(err, fs.ErrNotExist) { // of a request that was never logged, or removed since
		return nil
	}
	if err != nil {
		return err
	}
	has, err := contains(&countingReader{r: s.file, ctx: c.ctx, counted: func(int) {}}, uid)
	if err == nil {
		_, err = s.file.Seek(0, io.SeekStart)
	}
	if err != nil || !has {
		s.close()
		return err
	}
	c.sources = append(c.sources, s)
	return c.scan(s)
}

// contains reports whether a text is in what a reader has. Most files are read
// no further than this.
func contains(r io.Reader, text string) (bool, error) {
	buf := make([]byte, 256<<10)
	kept := 0
	for {
		n, err := r.Read(buf[kept:])
		have := buf[:kept+n]
		if bytes.Contains(have, []byte(text)) {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		kept = copy(buf, have[max(0, len(have)-len(text)+1):])
	}
}

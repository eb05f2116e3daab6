package chatlog

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// logName matches the names of chat logs in a directory: chat.log, rotated by us, by openai-forward or by logrotate.
var logName = regexp.MustCompile(`\.log(\.[0-9]+)?(\.gz|\.zst)?$`)

// otherLogs are directories of logs that are no chats.
var otherLogs = []string{"completion", "embedding", "speech", "audio", "whisper"}

// findLogs returns the files that inputs mean: files as they are, directories with all logs below them. No file is in it
// twice. Rotated files come before the one that is being written.
func findLogs(inputs []string) ([]string, error) {
	var paths []string
	var infos []os.FileInfo
	take := func(path string, info os.FileInfo) {
		if !slices.ContainsFunc(infos, func(i os.FileInfo) bool { return os.SameFile(i, info) }) {
			paths, infos = append(paths, path), append(infos, info)
		}
	}
	for _, input := range inputs {
		info, err := os.Stat(input)
		if err != nil {
			return nil, fmt.Errorf("looking for chat logs: %w", err)
		}
		if !info.IsDir() {
			take(input, info)
			continue
		}
		found, err := logsBelow(input)
		if err != nil {
			return nil, fmt.Errorf("looking for chat logs in %s: %w", input, err)
		}
		for _, path := range found {
			info, err := os.Stat(path)
			if errors.Is(err, fs.ErrNotExist) { // it was compressed since it was found
				path += packed
				info, err = os.Stat(path)
			}
			if err == nil && info.Mode().IsRegular() {
				take(path, info)
			}
		}
	}
	return paths, nil
}

// logsBelow lists the logs in a directory and its subdirectories.
func logsBelow(dir string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && slices.Contains(otherLogs, d.Name()):
			return fs.SkipDir
		case !d.IsDir() && logName.MatchString(d.Name()):
			found = append(found, path)
		}
		return nil
	})
	found = slices.DeleteFunc(found, func(path string) bool { // compressed, and about to be removed
		plain, isPacked := strings.CutSuffix(path, packed)
		return isPacked && slices.Contains(found, plain)
	})
	slices.SortStableFunc(found, func(a, b string) int {
		if c := cmp.Compare(filepath.Dir(a), filepath.Dir(b)); c != 0 {
			return c
		}
		// A name without a time, "chat.log", is the newest. The rest sorts by its time; what logrotate numbers comes in
		// the wrong order, which the time of each line corrects.
		if a, b := strings.Count(filepath.Base(a), "."), strings.Count(filepath.Base(b), "."); a == 1 || b == 1 {
			return cmp.Compare(b, a)
		}
		return cmp.Compare(a, b)
	})
	return found, err
}

// source is a file that can be read twice: once in sequence, then line by line where the index points.
type source struct {
	file    *os.File
	spooled bool // file is a temporary copy
}

// openSource opens a log. What is compressed or cannot be read twice (a pipe) is copied into a temporary file first, for
// lines must be found again by their offset. damaged reports that the compressed data ended too early; what could be read
// of them is there. counted is told how many bytes of path were read.
func openSource(ctx context.Context, path string, counted func(int)) (s *source, damaged bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(path + packed) // it was compressed since it was found
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading chat log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("reading chat log: %w", err)
	}
	head := make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		f.Close()
		return nil, false, fmt.Errorf("reading chat log: %w", err)
	}
	unpack := unpacker(head[:n])
	if unpack == nil && info.Mode().IsRegular() {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			f.Close()
			return nil, false, fmt.Errorf("reading chat log: %w", err)
		}
		return &source{file: f}, false, nil
	}
	defer f.Close()
	content := io.MultiReader(bytes.NewReader(head[:n]), &countingReader{r: f, ctx: ctx, counted: counted})
	if s, damaged, err = spool(content, unpack); err == nil && ctx.Err() != nil {
		s.close()
		err = ctx.Err()
	}
	if err != nil {
		return nil, false, fmt.Errorf("unpacking chat log %s: %w", path, err)
	}
	return s, damaged, nil
}

// unpacker tells by the first bytes of a file what reads its compression, nil if it has none.
func unpacker(head []byte) func(io.Reader) (io.ReadCloser, error) {
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) }
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return func(r io.Reader) (io.ReadCloser, error) {
			z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			return z.IOReadCloser(), nil
		}
	}
	return nil
}

// spool copies content, unpacked, into a temporary file. Only what goes wrong with that file is an error.
func spool(content io.Reader, unpack func(io.Reader) (io.ReadCloser, error)) (s *source, damaged bool, err error) {
	f, err := os.CreateTemp("", "forward-convert-*")
	if err != nil {
		return nil, false, err
	}
	s = &source{file: f, spooled: true}
	if unpack != nil {
		unpacked, err := unpack(content)
		if err != nil {
			return s, true, nil
		}
		defer unpacked.Close()
		content = unpacked
	}
	w := &failingWriter{w: f}
	_, err = io.Copy(w, content)
	if w.err == nil {
		_, w.err = f.Seek(0, io.SeekStart)
	}
	if w.err != nil {
		s.close()
		return nil, false, w.err
	}
	return s, err != nil, nil
}

func (s *source) close() {
	s.file.Close()
	if s.spooled {
		os.Remove(s.file.Name())
	}
}

// failingWriter remembers whether it was the writer that failed in a copy.
type failingWriter struct {
	w   io.Writer
	err error
}

func (w *failingWriter) Write(p []byte) (n int, err error) {
	n, err = w.w.Write(p)
	w.err = err
	return n, err
}

// countingReader tells how far a reading is, and ends it with the context.
type countingReader struct {
	r       io.Reader
	ctx     context.Context
	counted func(int)
}

func (c *countingReader) Read(p []byte) (n int, err error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err = c.r.Read(p)
	c.counted(n)
	return n, err
}

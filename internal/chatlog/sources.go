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

// logName matches the names of chat logs in a directory: chat.log, rotated by
// this package, by openai-forward or by logrotate.
var logName = regexp.MustCompile(`\.log(\.[0-9]+)?(\.gz|\.zst)?$`)

// otherLogs are the directories of logs that are no conversations.
var otherLogs = []string{"completion", "embedding", "speech", "audio", "whisper"}

// findLogs returns the files named by inputs: files as they are, directories
// with all logs below them. No file is listed twice. Rotated files come before
// the current one.
func findLogs(inputs []string) ([]string, error) {
	var paths []string
	var infos []os.FileInfo
	take := func(path string, info os.FileInfo) {
		if !slices.ContainsFunc(infos, func(i os.FileInfo) bool { return os.SameFile(i, info) }) {
			paths = append(paths, path)
			infos = append(infos, info)
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
			if errors.Is(err, fs.ErrNotExist) { // compressed since it was found
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
	// A compressed file beside its plain one is about to replace it.
	found = slices.DeleteFunc(found, func(path string) bool {
		plain, isPacked := strings.CutSuffix(path, packed)
		return isPacked && slices.Contains(found, plain)
	})
	slices.SortStableFunc(found, compareLogs)
	return found, err
}

// compareLogs orders the logs of a directory by age. A name without a time,
// chat.log, is the newest, and the rest sorts by its time. The numbers of
// logrotate come in the wrong order, which the time of each line corrects.
func compareLogs(a, b string) int {
	if c := cmp.Compare(filepath.Dir(a), filepath.Dir(b)); c != 0 {
		return c
	}
	dotsA := strings.Count(filepath.Base(a), ".")
	dotsB := strings.Count(filepath.Base(b), ".")
	if dotsA == 1 || dotsB == 1 {
		return cmp.Compare(dotsB, dotsA)
	}
	return cmp.Compare(a, b)
}

// source is a file that can be read twice: once in sequence, and then line by
// line at the places of the index.
type source struct {
	file    *os.File
	spooled bool // file is a temporary copy
}

// openSource opens a log. A compressed file or a pipe is copied into a
// temporary file first, for lines must be found again by their offset. damaged
// reports that compressed data ended too early; what could be read of them is
// in the source. counted receives the numbers of bytes read of path.
func openSource(ctx context.Context, path string, counted func(int)) (s *source, damaged bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(path + packed) // compressed since it was found
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading chat log: %w", err)
	}
	head, plain, err := inspect(f)
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("reading chat log: %w", err)
	}
	if plain {
		return &source{file: f}, false, nil
	}
	defer f.Close()
	content := io.MultiReader(bytes.NewReader(head), &countingReader{r: f, ctx: ctx, counted: counted})
	s, damaged, err = spool(content, unpacker(head))
	if err == nil && ctx.Err() != nil {
		s.close()
		err = ctx.Err()
	}
	if err != nil {
		return nil, false, fmt.Errorf("unpacking chat log %s: %w", path, err)
	}
	return s, damaged, nil
}

// inspect reads the first bytes of a file, by which its compression is
// recognised. If it is a plain file it is rewound.
func inspect(f *os.File) (head []byte, plain bool, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, false, err
	}
	head = make([]byte, 4)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, false, err
	}
	head = head[:n]
	if unpacker(head) != nil || !info.Mode().IsRegular() {
		return head, false, nil
	}
	_, err = f.Seek(0, io.SeekStart)
	return head, true, err
}

// unpacker returns the reader of a compression, by the first bytes of a file,
// or nil if it has none.
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

// spool copies content, unpacked, into a temporary file. err is about that file
// only; damaged is about the content.
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

// failingWriter keeps the error of a writer apart from that of the reader in a
// copy.
type failingWriter struct {
	w   io.Writer
	err error
}

func (w *failingWriter) Write(p []byte) (n int, err error) {
	n, err = w.w.Write(p)
	w.err = err
	return n, err
}

// countingReader counts the bytes read, and stops with the context.
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

package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"forward/internal/ledger"
)

// File appends rows to a file, one JSON object a line. When the file was moved
// away, as logrotate does, it makes a new one.
type File struct {
	path string
	file *os.File
}

// NewFile opens a file for appending that only its owner can read.
func NewFile(path string) (*File, error) {
	s := &File{path: path}
	return s, s.open()
}

// Name returns "file".
func (s *File) Name() string { return "file" }

// Send writes all rows with one write, so that readers see whole lines.
func (s *File) Send(_ context.Context, rows []ledger.Row) error {
	if err := s.reopen(); err != nil {
		return err
	}
	text, err := lines(rows)
	if err != nil {
		return err
	}
	before, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	if _, err := s.file.Write(text); err != nil {
		s.file.Truncate(before) // half a line would spoil the next one; if this fails too, nothing is left to do
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	return nil
}

// reopen opens the path again when it no longer leads to the open file.
func (s *File) reopen() error {
	if s.file != nil {
		have, err := s.file.Stat()
		there, statErr := os.Stat(s.path)
		if err == nil && statErr == nil && os.SameFile(have, there) {
			return nil
		}
		s.file.Close()
		s.file = nil
	}
	return s.open()
}

func (s *File) open() error {
	file, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening the usage file: %w", err)
	}
	s.file = file
	return nil
}

// Close closes the file.
func (s *File) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// lines returns rows as JSON, one object a line.
func lines(rows []ledger.Row) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	for _, r := range rows {
		if err := encoder.Encode(r); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

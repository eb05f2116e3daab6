package usage

import (
	"context"
	"fmt"
	"os"
)

// FileSink appends rows to a file, one JSON object a line. A file that was moved away, as logrotate does it, is made anew.
type FileSink struct {
	path string
	file *os.File
}

// NewFileSink opens a file to append to; only its owner can read it.
func NewFileSink(path string) (*FileSink, error) {
	s := &FileSink{path: path}
	return s, s.open()
}

// Name is "file".
func (s *FileSink) Name() string { return "file" }

// Send writes all rows with one write, so that readers see whole lines.
func (s *FileSink) Send(_ context.Context, rows []Row) error {
	if err := s.reopen(); err != nil {
		return err
	}
	text, err := jsonLines(rows)
	if err != nil {
		return err
	}
	before, err := s.file.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	if _, err := s.file.Write(text); err != nil {
		s.file.Truncate(before) // a torn line would spoil the next one; if this fails too, nothing is left to do
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	return nil
}

// reopen opens the path anew when it no longer leads to the file that is open.
func (s *FileSink) reopen() error {
	if s.file != nil {
		have, err := s.file.Stat()
		there, gone := os.Stat(s.path)
		if err == nil && gone == nil && os.SameFile(have, there) {
			return nil
		}
		s.file.Close()
		s.file = nil
	}
	return s.open()
}

func (s *FileSink) open() (err error) {
	s.file, err = os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		s.file = nil
		return fmt.Errorf("opening the usage file: %w", err)
	}
	return nil
}

// Close closes the file.
func (s *FileSink) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

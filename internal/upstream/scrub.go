package upstream

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"

	"forward/internal/keys"
)

// NewScrubber returns body with every occurrence of a secret replaced by as
// many asterisks, also one that arrives in pieces: an upstream that echoes its
// request must not give clients the API key. Nothing else changes, lengths
// included, and nothing waits but an end that may be the start of a secret,
// until the next bytes decide. Secrets that could be ordinary words are not
// looked for, see searchable. The result is read by one goroutine and closes
// body.
func NewScrubber(body io.ReadCloser, secrets ...keys.Secret) io.ReadCloser {
	s := &scrubber{body: body}
	for _, secret := range secrets {
		if text := secret.Reveal(); searchable(text) {
			s.secrets = append(s.secrets, []byte(text))
			s.longest = max(s.longest, len(text))
		}
	}
	if len(s.secrets) == 0 {
		return body
	}
	// Longer ones first, or a secret that starts with another one would be
	// found by its start only.
	slices.SortFunc(s.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return s
}

// ScrubHeader replaces the secret in every header value by as many asterisks.
func ScrubHeader(h http.Header, s keys.Secret) {
	text := s.Reveal()
	if !searchable(text) {
		return
	}
	for _, values := range h {
		for i, v := range values {
			if strings.Contains(v, text) {
				values[i] = strings.ReplaceAll(v, text, strings.Repeat("*", len(text)))
			}
		}
	}
}

// searchable reports whether a secret differs from ordinary text. Servers
// without keys of their own are given "EMPTY", "ollama" or "lm-studio" as one,
// and answers must be able to contain those words.
func searchable(secret string) bool {
	switch {
	case len(secret) < 8:
		return false
	case len(secret) >= 16, strings.HasPrefix(secret, "sk-"):
		return true
	}
	return strings.ContainsAny(secret, "0123456789")
}

// ScrubBytes replaces the secret in p by as many asterisks.
func ScrubBytes(p []byte, s keys.Secret) {
	if text := s.Reveal(); searchable(text) {
		mask(p, []byte(text))
	}
}

type scrubber struct {
	body    io.ReadCloser
	secrets [][]byte
	longest int
	held    []byte // read but not given: the start of a secret, perhaps
	ready   []byte // to be given, for readers with little space
	space   []byte // under ready
	err     error  // how body ended
}

// Read implements io.Reader.
func (s *scrubber) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	// The way of nearly every read: straight into the reader's own memory.
	if len(s.ready) == 0 && len(p) >= 2*s.longest {
		return s.fill(p)
	}
	if len(s.ready) == 0 {
		if s.space == nil {
			s.space = make([]byte, max(512, 2*s.longest))
		}
		n, err := s.fill(s.space)
		if n == 0 {
			return 0, err
		}
		s.ready = s.space[:n]
	}
	n := copy(p, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

// fill reads into p, which is longer than what is held, until there is
// something to give.
func (s *scrubber) fill(p []byte) (int, error) {
	for s.err == nil {
		kept := copy(p, s.held)
		n, err := s.body.Read(p[kept:])
		s.err = err
		data := p[:kept+n]
		for _, secret := range s.secrets {
			mask(data, secret)
		}
		give := len(data)
		if err == nil {
			give -= s.unsure(data)
		}
		s.held = append(s.held[:0], data[give:]...)
		if give > 0 || (n == 0 && err == nil) {
			return give, nil // an error waits for the next call
		}
	}
	return 0, s.err
}

// mask overwrites every occurrence of secret.
func mask(data, secret []byte) {
	for {
		i := bytes.Index(data, secret)
		if i < 0 {
			return
		}
		for j := range secret {
			data[i+j] = '*'
		}
		data = data[i+len(secret):]
	}
}

// unsure returns the length of the longest end of data that is the start of a
// secret.
func (s *scrubber) unsure(data []byte) int {
	longest := 0
	for _, secret := range s.secrets {
		end := data[max(0, len(data)-len(secret)+1):]
		for len(end) > longest {
			i := bytes.IndexByte(end, secret[0])
			if i < 0 {
				break
			}
			end = end[i:]
			if bytes.HasPrefix(secret, end) {
				longest = max(longest, len(end))
				break
			}
			end = end[1:]
		}
	}
	return longest
}

// Close implements io.Closer.
func (s *scrubber) Close() error { return s.body.Close() }

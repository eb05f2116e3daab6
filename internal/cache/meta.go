package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
)

// appendMeta appends the question without its body and the headers of the
// answer, each string preceded by its length.
func appendMeta(to []byte, q *Question, header http.Header) []byte {
	number := func(n int) { to = binary.AppendUvarint(to, uint64(n)) }
	put := func(s string) {
		number(len(s))
		to = append(to, s...)
	}
	for _, s := range []string{
		q.Route, q.Dialect, q.Operation, q.Model, q.Method, q.Path, q.Query, q.ContentType, q.Scope,
	} {
		put(s)
	}
	to = append(to, q.sum[:]...)
	to = binary.BigEndian.AppendUint64(to, uint64(q.size))
	number(len(q.Header))
	for name, value := range q.Header {
		put(name)
		put(value)
	}
	number(len(q.fields))
	for _, f := range q.fields {
		put(f.path)
		to = binary.BigEndian.AppendUint64(to, uint64(f.size))
		to = binary.BigEndian.AppendUint64(to, f.digest)
	}
	number(len(header))
	for name, values := range header {
		put(name)
		number(len(values))
		for _, value := range values {
			put(value)
		}
	}
	return to
}

// readMeta is the reverse of appendMeta. It reports whether meta was well
// formed and used up.
func readMeta(meta string, q *Question, header *http.Header) bool {
	m := metaReader{rest: meta}
	for _, s := range []*string{
		&q.Route, &q.Dialect, &q.Operation, &q.Model, &q.Method, &q.Path, &q.Query, &q.ContentType, &q.Scope,
	} {
		*s = m.text()
	}
	copy(q.sum[:], m.take(sha256.Size))
	q.size = int64(m.fixed())
	if n := m.number(); n > 0 {
		q.Header = make(map[string]string, n)
		for ; n > 0 && !m.broken; n-- {
			name := m.text()
			q.Header[name] = m.text()
		}
	}
	if n := m.number(); n > 0 {
		q.fields = make([]field, 0, min(n, fieldCount))
		for ; n > 0 && !m.broken; n-- {
			q.fields = append(q.fields, field{path: m.text(), size: int64(m.fixed()), digest: m.fixed()})
		}
	}
	n := m.number()
	*header = make(http.Header, n)
	for ; n > 0 && !m.broken; n-- {
		name := m.text()
		values := make([]string, m.number())
		for i := range values {
			values[i] = m.text()
		}
		(*header)[name] = values
	}
	return !m.broken && m.rest == "" && q.size >= 0
}

// metaReader reads what appendMeta wrote. After the first read beyond the end
// it is broken and returns zeros.
type metaReader struct {
	rest   string
	broken bool
}

func (m *metaReader) take(n int) string {
	if n > len(m.rest) {
		m.rest = ""
		m.broken = true
		return ""
	}
	s := m.rest[:n]
	m.rest = m.rest[n:]
	return s
}

// number reads a count of elements that take at least one byte each.
func (m *metaReader) number() int {
	var n uint64
	for shift := 0; shift < 64 && len(m.rest) > 0; shift += 7 {
		b := m.rest[0]
		m.rest = m.rest[1:]
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if n > uint64(len(m.rest)) {
				break
			}
			return int(n)
		}
	}
	m.rest = ""
	m.broken = true
	return 0
}

func (m *metaReader) text() string { return m.take(m.number()) }

func (m *metaReader) fixed() uint64 {
	s := m.take(8)
	if m.broken {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(s))
}

package cache

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// gapsHeader is where a record keeps the gaps of a stream among the headers. No
// answer has a header of this name.
const gapsHeader = "\x00gaps"

// maxGaps bounds how many gaps are kept; later events have none.
const maxGaps = 20_000

// withGaps returns headers that also hold the gaps, in milliseconds.
func withGaps(h http.Header, gaps []time.Duration) http.Header {
	if len(gaps) == 0 {
		return h
	}
	var b strings.Builder
	for _, gap := range gaps[:min(len(gaps), maxGaps)] {
		b.WriteString(strconv.FormatInt(gap.Milliseconds(), 36))
		b.WriteByte(' ')
	}
	all := http.Header{gapsHeader: {b.String()}}
	maps.Copy(all, h)
	return all
}

// takeGaps removes the gaps from headers and returns them. A malformed gap is
// 0.
func takeGaps(h http.Header) (gaps []time.Duration) {
	for _, text := range h[gapsHeader] {
		for field := range strings.FieldsSeq(text) {
			ms, err := strconv.ParseInt(field, 36, 32)
			if err != nil || ms < 0 {
				ms = 0
			}
			gaps = append(gaps, time.Duration(ms)*time.Millisecond)
		}
	}
	delete(h, gapsHeader)
	return gaps
}

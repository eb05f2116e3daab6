package forward

import (
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// What a compressed answer may unpack to when it is read for its usage, in
// bytes.
const (
	maxUnpacked     = 8 << 20  // and be read whole
	maxUnpackedScan = 4 << 30  // and be scanned
	maxDecoder      = 32 << 20 // the memory of one decoder
)

// unpacking undoes the Content-Encoding of an answer as it comes. It starts
// with the first Read, for it has to wait for the first bytes.
type unpacking struct {
	io.ReadCloser
	encoding string
	r        io.Reader
}

// Read implements io.Reader.
func (u *unpacking) Read(p []byte) (int, error) {
	if u.r == nil {
		r, err := newUnpacker(u.encoding, u.ReadCloser)
		if err != nil {
			return 0, err
		}
		u.r = r
	}
	return u.r.Read(p)
}

// newUnpacker reads a Content-Encoding that clients of the providers know (RFC
// 9110, section 8.4.1; RFC 7932; RFC 8878).
func newUnpacker(encoding string, packed io.Reader) (io.Reader, error) {
	switch encoding {
	case "gzip", "x-gzip":
		return gzip.NewReader(packed)
	case "br":
		return brotli.NewReader(packed), nil
	case "zstd":
		z, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoder))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, http.ErrNotSupported
}

// unpacks reports whether newUnpacker reads an encoding.
func unpacks(encoding string) bool {
	switch encoding {
	case "gzip", "x-gzip", "br", "zstd":
		return true
	}
	return false
}

// encodingOf is the one Content-Encoding of an answer, "" for none.
func encodingOf(h http.Header) string {
	e := strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding")))
	if e == "identity" {
		return ""
	}
	return e
}

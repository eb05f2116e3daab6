package forward

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// acceptedEncodings are those of requests that the gateway reads.
const acceptedEncodings = "gzip, deflate, br, zstd, identity"

// readPacked reads a body with a Content-Encoding and judges a decoded copy of
// it, as large as a body may be. What goes upstream is the body as it came: the
// coding is a part of it (RFC 9110, section 8.4), so nothing in it is changed.
// A body that cannot be decoded passes where no rule needs it.
func (g *Gateway) readPacked(a *ask) error {
	op := a.from.op
	ruled := a.judged || g.needsModel(a)
	if !op.Parsed() && !ruled {
		return nil
	}
	if !op.RunsModel() && a.in.r.ContentLength > g.maxBody(a) {
		return nil
	}
	encoding := encodingOf(a.in.r.Header)
	if len(a.in.r.Header["Content-Encoding"]) > 1 || (!unpacks(encoding) && encoding != "deflate") {
		if ruled && op.RunsModel() {
			return unsupportedEncoding()
		}
		return nil
	}
	raw, err := g.slurp(a)
	if err != nil {
		return err
	}
	a.raw = raw
	a.packed = true
	plain, err := g.decode(a, encoding)
	if errors.Is(err, errBroken) && (!ruled || !op.RunsModel()) {
		return nil
	}
	if err != nil {
		return err
	}
	return g.scan(a, plain)
}

// maxWindow is the largest window of zstd in HTTP (RFC 9659), in bytes.
const maxWindow = 8 << 20

// errBroken is inside the error of a body that is not what its encoding
// announces.
var errBroken = errors.New("the body cannot be decoded")

// decode returns the decoded copy of a body. It counts as the body does.
func (g *Gateway) decode(a *ask, encoding string) ([]byte, error) {
	r, err := decoder(encoding, a.raw)
	if err != nil {
		return nil, notDecoded(encoding, err)
	}
	if c, ok := r.(io.Closer); ok {
		defer c.Close()
	}
	most := g.maxBody(a)
	var buf bytes.Buffer
	_, err = buf.ReadFrom(&countedBody{
		Reader: io.LimitReader(r, most+1),
		all:    &g.bodies, limit: g.MaxBodies, own: &a.counted,
	})
	switch {
	case errors.Is(err, errCrowded):
		return nil, overloaded()
	case int64(buf.Len()) > most:
		return nil, tooLarge(most)
	case err != nil:
		return nil, notDecoded(encoding, err)
	}
	return buf.Bytes(), nil
}

// decoder reads a body in an encoding that clients of the providers send.
func decoder(encoding string, raw []byte) (io.Reader, error) {
	switch encoding {
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case "gzip", "x-gzip", "br":
		return newUnpacker(encoding, bytes.NewReader(raw))
	}
	packed := bufio.NewReader(bytes.NewReader(raw))
	head, _ := packed.Peek(2)
	// Deflate is the zlib format; some clients leave its header out (RFC 9110,
	// section 8.4.1.2; RFC 1950, section 2.2).
	if len(head) == 2 && head[0]&15 == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return zlib.NewReader(packed)
	}
	return flate.NewReader(packed), nil
}

func notDecoded(encoding string, err error) error {
	return refused(http.StatusBadRequest, "invalid_body",
		"The request body is not what its Content-Encoding, "+strings.ToLower(encoding)+", announces.").because(errors.Join(errBroken, err))
}

// unsupportedEncoding refuses a body that rules need and the gateway cannot
// read. Clients send it again in an encoding that the answer names (RFC 9110,
// section 15.5.16).
func unsupportedEncoding() error {
	return &refusal{status: http.StatusUnsupportedMediaType, code: "unsupported_encoding", header: http.Header{"Accept-Encoding": {acceptedEncodings}},
		message: "Rules of the gateway need to read the request body, and it has an encoding that the gateway does not know. Send it uncompressed, or with one of " + acceptedEncodings + "."}
}

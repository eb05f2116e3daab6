package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A record is an entry as it lies on disk or in Redis:
//
//	 0  magic "FWDC", format version, flags
//	 6  status, two bytes; all numbers are big endian
//	 8  stored and expires, in nanoseconds since 1970
//	24  lengths of meta, of the body as stored, and of the body as served
//	36  the key it belongs to
//	68  SHA-256 of the 68 bytes above and of all bytes below
//	100 meta: route, operation, model, headers; then the body
//
// The sum is what the store's answers are trusted by: Badger does not verify blocks by default, and a record that was
// torn, flipped or filed under another key must be a miss, never an answer.
const (
	recordMagic   = "FWDC"
	recordVersion = 1
	recordSum     = 68
	recordHead    = recordSum + sha256.Size

	flagStream = 1 << 0
	flagZstd   = 1 << 1

	// compressFrom is the length of a body from which compression is tried. Below it zstd gains little (1.75x at 2 KB)
	// and costs a hit more than the bytes saved.
	compressFrom = 1 << 10
	// maxBody bounds what a record may claim to unpack to.
	maxBody = 256 << 20
)

// errRecord is the one answer to a record that is not what was written.
var errRecord = errors.New("the record is damaged")

// codec turns entries into records and back. It is safe for concurrent use.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("preparing compression: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return nil, fmt.Errorf("preparing decompression: %w", err)
	}
	return &codec{enc: enc, dec: dec}, nil
}

func (c *codec) close() {
	c.enc.Close()
	c.dec.Close()
}

// encode returns the record of e under k.
func (c *codec) encode(k Key, e *Entry) []byte {
	rec := make([]byte, recordHead, recordHead+256+len(e.Body))
	rec = appendMeta(rec, e)
	meta := len(rec) - recordHead

	var flags byte
	if e.Stream {
		flags |= flagStream
	}
	plain := len(rec)
	if len(e.Body) >= compressFrom {
		if rec = c.enc.EncodeAll(e.Body, rec); len(rec)-plain < len(e.Body)-len(e.Body)/8 {
			flags |= flagZstd
		} else {
			rec = rec[:plain]
		}
	}
	if flags&flagZstd == 0 {
		rec = append(rec, e.Body...)
	}

	copy(rec, recordMagic)
	rec[4], rec[5] = recordVersion, flags
	binary.BigEndian.PutUint16(rec[6:], uint16(e.Status))
	binary.BigEndian.PutUint64(rec[8:], uint64(e.Stored.UnixNano()))
	binary.BigEndian.PutUint64(rec[16:], uint64(e.Expires.UnixNano()))
	binary.BigEndian.PutUint32(rec[24:], uint32(meta))
	binary.BigEndian.PutUint32(rec[28:], uint32(len(rec)-plain))
	binary.BigEndian.PutUint32(rec[32:], uint32(len(e.Body)))
	copy(rec[36:], k[:])
	sum(rec, rec[recordSum:recordSum])
	return rec
}

// sum appends the sum of a record, leaving out the place where it is kept.
func sum(rec, to []byte) []byte {
	h := sha256.New()
	h.Write(rec[:recordSum])
	h.Write(rec[recordHead:])
	return h.Sum(to)
}

// decode returns the entry of a record that must belong to k, or errRecord. Nothing of the entry shares memory with rec,
// which may be a mapped file.
func (c *codec) decode(k Key, rec []byte) (*Entry, error) {
	if len(rec) < recordHead || string(rec[:4]) != recordMagic || rec[4] != recordVersion || Key(rec[36:recordSum]) != k {
		return nil, errRecord
	}
	meta, stored, served := binary.BigEndian.Uint32(rec[24:]), binary.BigEndian.Uint32(rec[28:]), binary.BigEndian.Uint32(rec[32:])
	if uint64(recordHead)+uint64(meta)+uint64(stored) != uint64(len(rec)) || served > maxBody {
		return nil, errRecord
	}
	var digest [sha256.Size]byte
	if !bytes.Equal(sum(rec, digest[:0]), rec[recordSum:recordHead]) {
		return nil, errRecord
	}
	e := &Entry{
		Status:  int(binary.BigEndian.Uint16(rec[6:])),
		Stream:  rec[5]&flagStream != 0,
		Stored:  time.Unix(0, int64(binary.BigEndian.Uint64(rec[8:]))),
		Expires: time.Unix(0, int64(binary.BigEndian.Uint64(rec[16:]))),
	}
	if !readMeta(rec[recordHead:recordHead+meta], e) {
		return nil, errRecord
	}
	body := rec[recordHead+meta:]
	if rec[5]&flagZstd != 0 {
		var err error
		if e.Body, err = c.dec.DecodeAll(body, make([]byte, 0, served)); err != nil {
			return nil, errRecord
		}
	} else {
		e.Body = slices.Clone(body)
	}
	if len(e.Body) != int(served) {
		return nil, errRecord
	}
	return e, nil
}

// appendMeta appends the strings of an entry, each with its length in front.
func appendMeta(to []byte, e *Entry) []byte {
	put := func(s string) {
		to = binary.AppendUvarint(to, uint64(len(s)))
		to = append(to, s...)
	}
	put(e.Route)
	put(e.Operation)
	put(e.Model)
	to = binary.AppendUvarint(to, uint64(len(e.Header)))
	for name, values := range e.Header {
		put(name)
		to = binary.AppendUvarint(to, uint64(len(values)))
		for _, value := range values {
			put(value)
		}
	}
	return to
}

// readMeta is the reverse of appendMeta. It reports whether meta was well formed and used up.
func readMeta(meta []byte, e *Entry) bool {
	rest, ok := meta, true
	number := func() int {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)) { // everything counted takes a byte at least
			rest, ok = nil, false
			return 0
		}
		rest = rest[size:]
		return int(n)
	}
	text := func() string {
		n := number()
		if n > len(rest) {
			rest, ok = nil, false
			return ""
		}
		s := string(rest[:n])
		rest = rest[n:]
		return s
	}
	e.Route, e.Operation, e.Model = text(), text(), text()
	names := number()
	e.Header = make(http.Header, names)
	for ; names > 0 && ok; names-- {
		name := text()
		values := make([]string, number())
		for i := range values {
			values[i] = text()
		}
		e.Header[name] = values
	}
	return ok && len(rest) == 0
}

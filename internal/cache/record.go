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

// A record is an entry as it is on disk or in Redis:
//
//	 0  magic "FWDC", format version, flags
//	 6  status, two bytes; all numbers are big endian
//	 8  stored and expires, in nanoseconds since 1970
//	24  lengths of meta, of the question's body as stored, of the answer's body as stored and as served
//	40  the key it belongs to
//	72  SHA-256 of the 72 bytes above and of all bytes below
//	104 meta: the question and the headers of the answer; then the question's body; then the answer's
//
// Answers are trusted by the sum: Badger does not verify blocks by default, and
// a record that was torn, flipped or stored under another key must be a miss,
// never an answer.
const (
	recordMagic   = "FWDC"
	recordVersion = 2 // 1 did not know its question
	recordSum     = 72
	recordHead    = recordSum + sha256.Size

	flagStream      = 1 << 0
	flagZstd        = 1 << 1 // the answer's body is packed
	flagQuestion    = 1 << 2 // the question's body is kept
	flagZstdRequest = 1 << 3 // and packed

	// compressFrom is the length of a body from which compression is tried.
	// Below it zstd gains little (1.75x at 2 KB), and a hit costs more than the
	// bytes saved are worth.
	compressFrom = 1 << 10
	// maxBody bounds the length that a record may claim to unpack to.
	maxBody = 256 << 20
)

var (
	// errRecord means that the record is not what was written.
	errRecord = errors.New("the record is damaged")
	// errVersion means a record of an older or a newer forward: a miss, and not
	// worth a log line.
	errVersion = errors.New("the record has another format version")
)

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
	q := e.Question
	q.shorten()
	rec := make([]byte, recordHead, recordHead+512+len(q.Body)+len(e.Body))
	rec = appendMeta(rec, &q, withGaps(e.Header, e.Gaps))
	meta := len(rec) - recordHead

	var flags byte
	if e.Stream {
		flags |= flagStream
	}
	var packed bool
	if q.Body != nil {
		flags |= flagQuestion
		rec, packed = c.pack(rec, q.Body)
		if packed {
			flags |= flagZstdRequest
		}
	}
	asked := len(rec) - recordHead - meta
	rec, packed = c.pack(rec, e.Body)
	if packed {
		flags |= flagZstd
	}

	copy(rec, recordMagic)
	rec[4], rec[5] = recordVersion, flags
	binary.BigEndian.PutUint16(rec[6:], uint16(e.Status))
	binary.BigEndian.PutUint64(rec[8:], uint64(e.Stored.UnixNano()))
	binary.BigEndian.PutUint64(rec[16:], uint64(e.Expires.UnixNano()))
	binary.BigEndian.PutUint32(rec[24:], uint32(meta))
	binary.BigEndian.PutUint32(rec[28:], uint32(asked))
	binary.BigEndian.PutUint32(rec[32:], uint32(len(rec)-recordHead-meta-asked))
	binary.BigEndian.PutUint32(rec[36:], uint32(len(e.Body)))
	copy(rec[40:], k[:])
	sum(rec, rec[recordSum:recordSum])
	return rec
}

// pack appends a body to rec, compressed if that is worth it.
func (c *codec) pack(rec, body []byte) (longer []byte, packed bool) {
	if len(body) >= compressFrom {
		plain := len(rec)
		rec = c.enc.EncodeAll(body, rec)
		if len(rec)-plain < len(body)-len(body)/8 {
			return rec, true
		}
		rec = rec[:plain]
	}
	return append(rec, body...), false
}

// unpack is the reverse of pack for a body of size bytes. The result shares
// nothing with stored.
func (c *codec) unpack(stored []byte, packed bool, size int64) ([]byte, error) {
	if !packed {
		if int64(len(stored)) != size {
			return nil, errRecord
		}
		return slices.Clone(stored), nil
	}
	if size > maxBody {
		return nil, errRecord
	}
	body, err := c.dec.DecodeAll(stored, make([]byte, 0, size))
	if err != nil || int64(len(body)) != size {
		return nil, errRecord
	}
	return body, nil
}

// sum appends the sum of a record, leaving out the place where it is kept.
func sum(rec, to []byte) []byte {
	h := sha256.New()
	h.Write(rec[:recordSum])
	h.Write(rec[recordHead:])
	return h.Sum(to)
}

// decode returns the entry of a record that must belong to k, or errRecord or
// errVersion. The entry shares no memory with rec, which may be a mapped file.
// The body of the question is not unpacked, because no answer needs it.
func (c *codec) decode(k Key, rec []byte) (*Entry, error) {
	r, err := open(k, rec)
	if err != nil {
		return nil, err
	}
	packed := r.flags&flagZstd != 0
	body, err := c.unpack(r.body, packed, r.info.Answered)
	if err != nil {
		return nil, err
	}
	gaps := takeGaps(r.header)
	e := &Entry{
		Status: r.info.Status, Header: r.header, Body: body, Stream: r.info.Stream, Gaps: gaps,
		Stored: r.info.Stored, Expires: r.info.Expires, Question: r.info.Question,
	}
	if packed {
		e.Zstd = slices.Clone(r.body)
	}
	return e, nil
}

// decodeWhole is decode with the body of the question, if it was kept.
func (c *codec) decodeWhole(k Key, rec []byte) (*Entry, error) {
	e, err := c.decode(k, rec)
	if err != nil {
		return nil, err
	}
	r, err := open(k, rec)
	if err != nil {
		return nil, err
	}
	return e, c.asked(r, &e.Question)
}

// asked sets the body of the question, if it was kept.
func (c *codec) asked(r *opened, q *Question) (err error) {
	if r.flags&flagQuestion != 0 {
		q.Body, err = c.unpack(r.asked, r.flags&flagZstdRequest != 0, q.size)
	}
	return err
}

// opened is a verified record with its bodies still packed. They share memory
// with the record.
type opened struct {
	info        Info
	header      http.Header
	flags       byte
	asked, body []byte
}

// open verifies a record and reads all of it but the bodies.
func open(k Key, rec []byte) (*opened, error) {
	if len(rec) < 6 || string(rec[:4]) != recordMagic {
		return nil, errRecord
	}
	if rec[4] != recordVersion {
		return nil, errVersion
	}
	if len(rec) < recordHead || Key(rec[40:recordSum]) != k {
		return nil, errRecord
	}
	meta := uint64(binary.BigEndian.Uint32(rec[24:]))
	asked := uint64(binary.BigEndian.Uint32(rec[28:]))
	stored := uint64(binary.BigEndian.Uint32(rec[32:]))
	served := binary.BigEndian.Uint32(rec[36:])
	if recordHead+meta+asked+stored != uint64(len(rec)) || served > maxBody {
		return nil, errRecord
	}
	var digest [sha256.Size]byte
	if !bytes.Equal(sum(rec, digest[:0]), rec[recordSum:recordHead]) {
		return nil, errRecord
	}
	r := &opened{flags: rec[5], asked: rec[recordHead+meta : recordHead+meta+asked], body: rec[recordHead+meta+asked:]}
	r.info = Info{
		Key: k, Status: int(binary.BigEndian.Uint16(rec[6:])), Stream: rec[5]&flagStream != 0,
		Stored:  time.Unix(0, int64(binary.BigEndian.Uint64(rec[8:]))),
		Expires: time.Unix(0, int64(binary.BigEndian.Uint64(rec[16:]))),
		Kept:    int64(len(rec)), Answered: int64(served),
	}
	// All strings of the entry are parts of this one.
	if !readMeta(string(rec[recordHead:recordHead+meta]), &r.info.Question, &r.header) {
		return nil, errRecord
	}
	r.info.Asked = r.info.Question.size
	return r, nil
}

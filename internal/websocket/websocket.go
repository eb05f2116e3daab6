// Package websocket reads the frames of a WebSocket (RFC 6455) as they pass.
//
// The gateway is no endpoint of the protocol: it stands between two. What one
// peer sends has to reach the other one byte by byte, with its masks, its
// fragments and the pings between them. So frames are cut and not decoded: a
// [Reader] returns the head of each frame as it came, and a [Message] holds one
// back until it was read, and writes it as it came. Libraries do neither; those
// that know frames write heads of their own, and the others messages only.
//
// What is no frame ends the connection with code 1002 and never reaches the
// other side: a reader that is lenient could see other messages in the same
// bytes than the gateway has judged. Extensions change what frames mean, so
// they must not be negotiated; a frame that uses one is an error.
package websocket

import (
	"crypto/rand"
	"encoding/binary"
	"unicode/utf8"
)

// Opcode is what a frame is.
type Opcode byte

// The opcodes (RFC 6455, section 5.2).
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// IsControl reports whether frames of the opcode may stand between the
// fragments of a message.
func (op Opcode) IsControl() bool { return op >= Close }

// The codes with which the gateway closes (RFC 6455, section 7.4.1, and IANA's
// registry).
const (
	Normal          = 1000
	GoingAway       = 1001
	Protocol        = 1002
	PolicyViolation = 1008
	TooBig          = 1009
	Internal        = 1011
	ServiceRestart  = 1012
)

// maxControl bounds the payload of a control frame, in bytes.
const maxControl = 125

// ProtocolError reports bytes that are no frame, or one that may not come now.
type ProtocolError struct{ Reason string }

func (e *ProtocolError) Error() string { return "a frame that RFC 6455 does not allow: " + e.Reason }

// Append appends a whole frame to dst. A client's frames are masked: key is
// their masking key. Those of a server have none.
func Append(dst []byte, op Opcode, payload []byte, key *[4]byte) []byte {
	dst = append(dst, 0x80|byte(op))
	mask := byte(0)
	if key != nil {
		mask = 0x80
	}
	switch n := len(payload); {
	case n <= maxControl:
		dst = append(dst, mask|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, mask|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, mask|127), uint64(n))
	}
	if key == nil {
		return append(dst, payload...)
	}
	dst = append(dst, key[:]...)
	start := len(dst)
	dst = append(dst, payload...)
	xor(dst[start:], key, 0)
	return dst
}

// NewKey returns a masking key that the peer cannot foresee (RFC 6455, section
// 10.3).
func NewKey() *[4]byte {
	key := new([4]byte)
	rand.Read(key[:]) // never fails, see its documentation
	return key
}

// ClosePayload returns the payload of a close frame. A reason that is too long
// is cut.
func ClosePayload(code int, reason string) []byte {
	const most = maxControl - 2
	if len(reason) > most {
		const dots = "…"
		end := most - len(dots)
		for !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end] + dots
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// CloseCode returns the code of a close frame; 0 if it has none.
func CloseCode(payload []byte) int {
	if len(payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16(payload))
}

// xor masks, or unmasks, what stands at an offset of a payload.
func xor(p []byte, key *[4]byte, at int64) {
	word := uint64(0)
	for i := range 8 {
		word |= uint64(key[(at+int64(i))&3]) << (8 * i)
	}
	n := 0
	for ; len(p)-n >= 8; n += 8 {
		binary.LittleEndian.PutUint64(p[n:], binary.LittleEndian.Uint64(p[n:])^word)
	}
	for ; n < len(p); n++ {
		p[n] ^= key[(at+int64(n))&3]
	}
}

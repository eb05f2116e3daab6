package upstreamtest

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net/http"
)

// realtime accepts a WebSocket (RFC 6455) and sends every text or binary
// message back until the other side closes. It is an echo and no realtime
// model: what a gateway must show is that bytes pass both ways after the
// upgrade.
func (x *exchange) realtime() reply {
	key := x.r.Header.Get("Sec-Websocket-Key")
	if key == "" {
		return x.failure(http.StatusUpgradeRequired, "upgrade_required", "This endpoint speaks WebSocket.")
	}
	conn, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return x.failure(http.StatusInternalServerError, "no_hijack", err.Error())
	}
	defer conn.Close()
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n")
	for rw.Flush() == nil {
		opcode, payload, err := readFrame(rw.Reader)
		if err != nil {
			break
		}
		writeFrame(rw.Writer, opcode, payload)
		if opcode == 8 { // close: the echo is the closing handshake
			_ = rw.Flush()
			break
		}
	}
	x.abort() // the connection is no longer HTTP's
	return reply{}
}

// readFrame reads one unfragmented client frame, which is always masked.
func readFrame(r *bufio.Reader) (opcode byte, payload []byte, err error) {
	var head [2]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := uint64(head[1] & 0x7f)
	switch size {
	case 126:
		var n uint16
		err = binary.Read(r, binary.BigEndian, &n)
		size = uint64(n)
	case 127:
		err = binary.Read(r, binary.BigEndian, &size)
	}
	if err != nil {
		return 0, nil, err
	}
	var mask [4]byte
	if _, err = io.ReadFull(r, mask[:]); err != nil {
		return 0, nil, err
	}
	if size > keptBody {
		return 0, nil, io.ErrShortBuffer
	}
	payload = make([]byte, size)
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, err
}

// writeFrame buffers one unmasked server frame; the caller flushes.
func writeFrame(w *bufio.Writer, opcode byte, payload []byte) {
	head := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		head = append(head, byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, 126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, 127), uint64(n))
	}
	_, _ = w.Write(head)
	_, _ = w.Write(payload)
}

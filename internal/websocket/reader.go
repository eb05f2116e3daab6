package websocket

import (
	"bufio"
	"encoding/binary"
	"io"
)

// Frame is the head of a frame.
type Frame struct {
	Opcode Opcode
	Fin    bool  // the message ends with it
	Length int64 // bytes of the payload
	masked bool
	key    [4]byte
	head   [14]byte // as it came
	size   int      // bytes of it
}

// Head returns the head as it came.
func (f *Frame) Head() []byte { return f.head[:f.size] }

// A Reader cuts what one peer sends into frames. Each frame's payload has to be
// read to its end before the next one. It is used by one goroutine.
type Reader struct {
	from    *bufio.Reader
	clients bool // the peer is a client, which masks
	frame   Frame
	at      int64 // bytes of the payload that were read
	within  bool  // a message has started and not ended
}

// NewReader returns a reader of the frames of a client, or of a server.
func NewReader(from *bufio.Reader, clients bool) *Reader {
	return &Reader{from: from, clients: clients}
}

// Within reports whether a fragmented message has started and not ended.
func (r *Reader) Within() bool { return r.within }

// Left returns how many bytes of the frame's payload were not read yet.
func (r *Reader) Left() int64 { return r.frame.Length - r.at }

// Next reads the head of the next frame, which is valid until the next call.
// The error is io.EOF where the peer ended between two frames, and a
// *ProtocolError for what is no frame.
func (r *Reader) Next() (*Frame, error) {
	f := &r.frame
	*f = Frame{}
	r.at = 0
	err := r.fill(2)
	if err != nil {
		return nil, err
	}
	f.Fin = f.head[0]&0x80 != 0
	f.Opcode = Opcode(f.head[0] & 0x0F)
	f.masked = f.head[1]&0x80 != 0
	err = r.readLength(f.head[1] & 0x7F)
	if err != nil {
		return nil, err
	}
	if f.masked {
		err = r.fill(4)
		if err != nil {
			return nil, err
		}
		f.key = [4]byte(f.head[f.size-4 : f.size])
	}
	return f, r.check()
}

// fill reads n more bytes of the head.
func (r *Reader) fill(n int) error {
	f := &r.frame
	_, err := io.ReadFull(r.from, f.head[f.size:f.size+n])
	if err == io.EOF && f.size > 0 {
		err = io.ErrUnexpectedEOF
	}
	f.size += n
	return err
}

// readLength reads the length, which has to be in its shortest form.
func (r *Reader) readLength(short byte) error {
	f := &r.frame
	f.Length = int64(short)
	least := uint64(0)
	switch short {
	case 126:
		err := r.fill(2)
		if err != nil {
			return err
		}
		f.Length = int64(binary.BigEndian.Uint16(f.head[2:]))
		least = 126
	case 127:
		err := r.fill(8)
		if err != nil {
			return err
		}
		f.Length = int64(binary.BigEndian.Uint64(f.head[2:]))
		least = 1 << 16
	}
	if f.Length < 0 || uint64(f.Length) < least {
		return &ProtocolError{"its length is not in the shortest form"}
	}
	return nil
}

// check judges the frame, and where it stands.
func (r *Reader) check() error {
	f := &r.frame
	control := f.Opcode.IsControl()
	switch {
	case f.head[0]&0x70 != 0:
		return &ProtocolError{"it uses an extension that was not agreed"}
	case (f.Opcode > Binary && !control) || f.Opcode > Pong:
		return &ProtocolError{"its opcode is reserved"}
	case f.masked != r.clients && r.clients:
		return &ProtocolError{"it is not masked"}
	case f.masked != r.clients:
		return &ProtocolError{"it is masked"}
	case control && (!f.Fin || f.Length > maxControl):
		return &ProtocolError{"a control frame is too long, or has fragments"}
	case control:
		return nil
	case (f.Opcode == Continuation) != r.within:
		return &ProtocolError{"a message starts before the end of the one before, or goes on without a start"}
	}
	r.within = !f.Fin
	return nil
}

// Read reads the payload of the frame, unmasked. It returns io.EOF at its end.
func (r *Reader) Read(p []byte) (int, error) {
	f := &r.frame
	left := f.Length - r.at
	if left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := r.from.Read(p)
	if f.masked {
		xor(p[:n], &f.key, r.at)
	}
	r.at += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
		if r.at == f.Length {
			err = nil // which the next head will meet
		}
	}
	return n, err
}

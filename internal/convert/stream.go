package convert

import "strconv"

// Stream is a stream that is being written.
type Stream struct {
	// Numbered is set if events have a sequence_number.
	Numbered bool

	out    []byte
	most   int // length at which writing stops
	events int
}

// newStream returns a stream for a body of n bytes. A stream that grows far
// beyond its body has an id that was made to be repeated.
func newStream(n int) *Stream {
	return &Stream{out: make([]byte, 0, 4*n), most: 32*n + 1<<20}
}

func (s *Stream) full() bool { return len(s.out) > s.most }

func (s *Stream) write(texts ...string) {
	for _, text := range texts {
		if !s.full() {
			s.out = append(s.out, text...)
		}
	}
}

// Event writes an event whose name is also the type of its data; members are
// further members of the data, each with a comma before it.
func (s *Stream) Event(name, members string) {
	number := ""
	if s.Numbered {
		number = `,"sequence_number":` + strconv.Itoa(s.events)
	}
	s.events++
	s.write("event: ", name, "\ndata: {\"type\":\"", name, `"`, number, members, "}\n\n")
}

package chatlog

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

const (
	maxPieces = 1 << 20 // of one line
	maxHeld   = 1 << 21 // pieces that a restorer remembers, of 16 bytes
	maxChain  = 1 << 16 // lines that refer to each other
)

// errLost is why a line cannot be restored.
var errLost = errors.New("a line refers to one that is not there or was changed")

// restorer puts back what lines refer to. It works with places and not with
// text: a line is a list of pieces of files, which are read once it is wanted.
type restorer struct {
	sources []*source
	bases   map[place][]place // by line that refers to others: those, in its order
	pieces  map[place][]place
	held    int // pieces in it
	buf     []byte
}

func newRestorer() *restorer {
	return &restorer{bases: make(map[place][]place), pieces: make(map[place][]place)}
}

// references are the last member of a line.
type references struct {
	head []byte // the line before them, without its last brace
	sum  string
	from gjson.Result
}

// referencesOf returns the references of a line, if it has them. Only a last
// member is meant; what a client named so is elsewhere.
func referencesOf(line []byte) (r references, ok bool) {
	if !bytes.HasSuffix(line, []byte("]}}")) {
		return r, false
	}
	i := bytes.LastIndex(line, []byte(repeatsField))
	if i < 0 {
		return r, false
	}
	v := jsonscan.View(line[i+len(`,"repeats":`) : len(line)-1])
	if !gjson.Valid(v.Raw) {
		return r, false
	}
	r = references{line[:i], v.Get("sum").Str, v.Get("from")}
	return r, r.from.IsArray()
}

// uids calls f with the requests that are referred to, in order.
func (r references) uids(f func(string)) {
	r.from.ForEach(func(_, v gjson.Result) bool {
		if v.Type == gjson.String {
			f(v.Str)
		}
		return true
	})
}

// appendLine appends the whole text of a line that refers to others.
func (r *restorer) appendLine(dst []byte, p place) ([]byte, error) {
	pieces, err := r.piecesOf(p, 0)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	for _, piece := range pieces {
		n := len(dst)
		dst = append(dst, make([]byte, piece.length)...)
		if err := r.read(dst[n:], piece); err != nil {
			return dst, err
		}
	}
	if r.buf, err = r.line(r.buf, p); err != nil {
		return dst, err
	}
	refs, _ := referencesOf(r.buf)
	if want, err := strconv.ParseUint(refs.sum, 16, 32); err != nil || checksum(dst[start:]) != uint32(want) {
		return dst, errLost
	}
	return dst, nil
}

func (r *restorer) read(dst []byte, p place) error {
	s := r.sources[p.source]
	if _, err := s.file.ReadAt(dst, p.offset); err != nil {
		return fmt.Errorf("reading %s again: %w", s.file.Name(), err)
	}
	return nil
}

// line reads a line as it is in its file.
func (r *restorer) line(dst []byte, p place) ([]byte, error) {
	if cap(dst) < int(p.length) {
		dst = make([]byte, p.length)
	}
	dst = dst[:p.length]
	return dst, r.read(dst, p)
}

// piecesOf returns where the parts of a whole line are. Lines come in the order
// of time, so that the pieces of the turn before are mostly known.
func (r *restorer) piecesOf(p place, depth int) ([]place, error) {
	if known, ok := r.pieces[p]; ok {
		return known, nil
	}
	text, err := r.line(nil, p)
	if err != nil {
		return nil, err
	}
	refs, ok := referencesOf(text)
	if !ok {
		return []place{p}, nil
	}
	if depth > maxChain {
		return nil, errLost
	}
	pieces, err := r.assemble(p, refs, depth)
	if err != nil {
		return nil, err
	}
	if r.held += len(pieces); r.held > maxHeld {
		clear(r.pieces)
		r.held = len(pieces)
	}
	r.pieces[p] = pieces
	return pieces, nil
}

// assemble lists the pieces of a line that has references.
func (r *restorer) assemble(p place, refs references, depth int) (list assembly, err error) {
	bases := r.bases[p]
	var base []place
	var numbers [3]int64 // the offset of a placeholder, and offset and length of what is there
	n := 0
	done := int64(0) // bytes of the line that were listed
	size := int64(0) // bytes of other lines that were listed
	refs.from.ForEach(func(_, v gjson.Result) bool {
		if v.Type == gjson.String {
			if len(bases) == 0 || bases[0].length == 0 || n != 0 {
				err = errLost
				return false
			}
			base, err = r.piecesOf(bases[0], depth+1)
			bases = bases[1:]
			return err == nil
		}
		numbers[n] = v.Int()
		n++
		if n < len(numbers) {
			return true
		}
		n = 0
		at, offset, length := numbers[0], numbers[1], numbers[2]
		end := at + int64(len(placeholder))
		if at < done || end > int64(len(refs.head)) || string(refs.head[at:end]) != placeholder {
			err = errLost
			return false
		}
		list = list.with(place{p.offset + done, int32(at - done), p.source})
		done = end
		size += length
		var whole bool
		if list, whole = list.withPart(base, offset, length); !whole || size > maxLine || len(list) > maxPieces {
			err = errLost
		}
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	list = list.with(place{p.offset + done, int32(int64(len(refs.head)) - done), p.source})
	return list.with(place{p.offset + int64(p.length) - 1, 1, p.source}), nil // the last brace
}

// assembly is a list of pieces.
type assembly []place

// with returns the list with one more piece.
func (a assembly) with(p place) assembly {
	if n := len(a); n > 0 {
		last := &a[n-1]
		if last.source == p.source && last.offset+int64(last.length) == p.offset {
			last.length += p.length
			return a
		}
	}
	if p.length == 0 {
		return a
	}
	return append(a, p)
}

// withPart returns the list with a part of a line, given its pieces, and
// reports whether the line has that part.
func (a assembly) withPart(line []place, offset, length int64) (assembly, bool) {
	if offset < 0 || length <= 0 || length > maxLine {
		return a, false
	}
	for _, p := range line {
		size := int64(p.length)
		if offset >= size {
			offset -= size
			continue
		}
		take := min(size-offset, length)
		a = a.with(place{p.offset + offset, int32(take), p.source})
		length -= take
		offset = 0
		if length == 0 {
			return a, true
		}
	}
	return a, false
}

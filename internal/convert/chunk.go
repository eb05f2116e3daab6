package convert

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"

	"forward/internal/framing"
	"forward/internal/jsonscan"
)

// writeChunks writes a body as a chunk that Fold makes it of again, and its
// usage, if that comes on demand, as another.
func (f *Form) writeChunks(s *Stream, body Object, includeUsage bool) bool {
	chunk, ok := f.Body.chunk(body)
	if f.Usage == "" {
		s.out = f.Framing.Append(s.out, []byte(chunk.String()))
		return ok
	}
	usage, chunk := chunk.Split(f.Usage)
	last := slices.Clone(chunk)
	if includeUsage {
		chunk = append(chunk, Member{f.Usage, "null"})
	}
	s.out = f.Framing.Append(s.out, []byte(chunk.String()))
	if includeUsage && IsObject(usage.Get(f.Usage)) {
		last.Set(f.List, "[]")
		s.out = f.Framing.Append(s.out, []byte(append(last, usage...).String()))
	}
	s.out = f.Framing.Append(s.out, []byte(f.End))
	return ok
}

// chunk returns an object of the body as a chunk has it. ok is false if it
// lacks what Fold would add by itself.
func (s *Shape) chunk(body Object) (chunk Object, ok bool) {
	for _, m := range body {
		f := s.inBody(m.Name)
		switch {
		case f.Rule == Nested && IsObject(m.Value):
			inner, _ := ParseObject(m.Value)
			if inner, ok = f.Shape.chunk(inner); !ok {
				return nil, false
			}
			m.Value = inner.String()
		case f.Rule == Keyed && IsArray(m.Value):
			if m.Value, ok = f.chunks(m.Value); !ok {
				return nil, false
			}
		}
		chunk = append(chunk, Member{cmp.Or(f.Name, m.Name), m.Value})
	}
	for _, f := range s.Fields {
		value := chunk.Get(f.Name)
		switch {
		case f.Chunk != "":
			chunk.Set(f.Name, f.Chunk)
		case f.Default != "" && ((f.Rule == Nested && !IsObject(value)) || (f.Rule == Text && !IsString(value))):
			return nil, false
		}
	}
	return chunk, true
}

// chunks returns a list of the body as a chunk has it: with the index of each
// item, by which items are known.
func (f *Field) chunks(list string) (chunks string, ok bool) {
	index := f.Shape.field("index")
	var items []string
	for i, raw := range Items(list) {
		item, ok := ParseObject(raw)
		if ok && index.Rule == Drop {
			item.Set("index", strconv.Itoa(i))
		} else if index.Default != "" && item.Get("index") == "" {
			item.Set("index", index.Default)
		}
		item, whole := f.Shape.chunk(item)
		if !ok || !whole {
			return "", false
		}
		items = append(items, item.String())
	}
	return "[" + strings.Join(items, ",") + "]", true
}

// withoutUsage returns a stream without the chunks that have nothing but usage.
// name is the usage's, in quotes: most events do not have it, and are not
// parsed.
func (f *Form) withoutUsage(stream, name []byte) []byte {
	var out []byte
	copied, read := 0, 0
	f.Framing.Each(stream, func(raw []byte, ev framing.Event, ok bool) bool {
		start := read
		read += len(raw)
		if ok && bytes.Contains(ev.Data, name) && f.onlyUsage(ev.Data) {
			out = append(out, stream[copied:start]...)
			copied = read
		}
		return true
	})
	if copied == 0 {
		return stream
	}
	return append(out, stream[copied:]...)
}

func (f *Form) onlyUsage(data []byte) bool {
	if !jsonscan.Valid(data) {
		return false
	}
	root := jsonscan.View(data)
	list := root.Get(f.List)
	return list.IsArray() && !list.Get("0").Exists() && root.Get(f.Usage).IsObject()
}

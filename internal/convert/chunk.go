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

// A chunk is an event that is itself a piece of the body: of OpenAI's chats and
// completions, Gemini and Ollama. One chunk can have a whole answer, since each
// of its fields is merged into nothing; compatible servers and Google do send
// short answers so.

// writeChunks writes a body as one chunk, and the usage, where it is sent on
// demand, as another. Clients of OpenAI's protocol expect null for the usage in
// all chunks before the one that has it.
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
	if includeUsage && jsonscan.IsObject(usage.Get(f.Usage)) {
		last.Set(f.List, "[]")
		s.out = f.Framing.Append(s.out, []byte(append(last, usage...).String()))
	}
	s.out = f.Framing.Append(s.out, []byte(f.End))
	return ok
}

// chunk returns an object of the body as a chunk has it: the way of Fold, back.
// ok is false if it lacks content that Fold would add by itself, such as the
// message of a choice, for the object is not an answer then.
func (s *Shape) chunk(body Object) (chunk Object, ok bool) {
	for _, m := range body {
		f := s.inBody(m.Name)
		value, ok := f.chunk(m.Value)
		if !ok {
			return nil, false
		}
		chunk = append(chunk, Member{cmp.Or(f.Name, m.Name), value})
	}
	for _, f := range s.Fields {
		value := chunk.Get(f.Name)
		lacks := (f.Rule == Nested && !jsonscan.IsObject(value)) || (f.Rule == Text && !jsonscan.IsString(value))
		if lacks && f.Default != "" {
			return nil, false
		}
		if f.Chunk != "" {
			chunk.Set(f.Name, f.Chunk)
		}
	}
	return chunk, true
}

// chunk returns a value of the body as a chunk has it.
func (f *Field) chunk(value string) (chunk string, ok bool) {
	switch {
	case f.Rule == Nested && jsonscan.IsObject(value):
		object, parsed := ParseObject(value)
		inner, ok := f.Shape.chunk(object)
		return inner.String(), parsed && ok
	case f.Rule == Keyed && jsonscan.IsArray(value):
		return f.chunks(value)
	}
	return value, true
}

// chunks returns a list of the body as a chunk has it: there an item needs an
// index, by which its pieces are known.
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
func (f *Form) withoutUsage(stream []byte) []byte {
	name := []byte(`"` + f.Usage + `"`) // most events lack it, and are not parsed
	if !bytes.Contains(stream, name) {
		return stream
	}
	var out []byte
	copied := 0
	read := 0
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

// onlyUsage reports whether a chunk has usage and no answer.
func (f *Form) onlyUsage(data []byte) bool {
	if !jsonscan.Valid(data) {
		return false
	}
	root := jsonscan.View(data)
	list := root.Get(f.List)
	return list.IsArray() && !list.Get("0").Exists() && root.Get(f.Usage).IsObject()
}

package convert

import (
	"slices"
	"strconv"
	"strings"

	"forward/internal/jsonscan"
)

// Blocks is how the items of a list are streamed in events for when an item
// starts, what it consists of and when it ends. A text of an Anthropic message,
// for example, is three events:
//
//	content_block_start  "index":0,"content_block":{"type":"text","text":""}
//	content_block_delta  "index":0,"delta":{"type":"text_delta","text":"Hi"}
//	content_block_stop   "index":0
//
// The first has the block with the members emptied that are sent after it, so
// that a client can add to it. OpenAI's items are streamed in the same way, and
// have lists of parts that are blocks again.
type Blocks struct {
	// Start and Stop name the events around an item, Name is the member of the
	// event that has the item, Index the one that has its number. With Repeat,
	// the event at the end has the item once more.
	Start, Stop, Name, Index string
	Repeat                   bool

	// ID is the member that has the item's id in events of its parts, if there
	// is one. OpenAI's SDK throws without; so items must have an id then.
	ID string

	// Types are the parts of the items of each type that are sent one by one.
	// An item of another type is whole at its start.
	Types map[string][]Part
}

// Part is a step in the life of a block: a member of it that is sent.
type Part struct {
	Name     string // of the member
	Kind     Kind
	Empty    string // what stands for the member at the start of the block
	Required bool   // whether the block must have the member

	// Event is sent with the members Data, in which $value stands for the
	// value, $number for its number in a list, and $with for the value of With:
	// a member of the block, and what stands for it when it is absent.
	Event, Data string
	With        Member

	Blocks *Blocks // of Kind InBlocks
}

// Kind is how a part is sent.
type Kind int

// The kinds of parts.
const (
	Unsent   Kind = iota // it only has another value at the start
	AsString             // a string
	AsText               // an object, as a string of its JSON
	Listed               // an array, item by item
	InBlocks             // an array of blocks
)

// Write writes the events of a list of blocks. at are members of all of these
// events, each with a comma before it. It reports false for blocks that are not
// what the table expects.
func (b *Blocks) Write(s *Stream, list, at string) bool {
	for i, raw := range Items(list) {
		block, ok := ParseObject(raw)
		id := block.Get("id")
		if !ok || !jsonscan.IsString(block.Get("type")) || (b.ID != "" && !IsText(id)) {
			return false
		}
		// Events around an item have its place, those inside its id as well.
		own := at + `,"` + b.Index + `":` + strconv.Itoa(i)
		inside := own
		if b.ID != "" {
			inside = `,"` + b.ID + `":` + id + own
		}
		parts := b.Types[Inner(block.Get("type"))]
		start := slices.Clone(block)
		for _, p := range parts {
			if !IsAbsent(block.Get(p.Name)) {
				start.Set(p.Name, p.Empty)
			} else if p.Required {
				return false
			}
		}
		s.Event(b.Start, own+`,"`+b.Name+`":`+start.String())
		for _, p := range parts {
			if !p.write(s, block, inside) {
				return false
			}
		}
		if b.Repeat {
			own += `,"` + b.Name + `":` + raw
		}
		s.Event(b.Stop, own)
	}
	return true
}

// write writes the events of a part. Text that a template is filled with is not
// searched for placeholders again.
func (p *Part) write(s *Stream, block Object, at string) bool {
	value := block.Get(p.Name)
	if p.Kind == Unsent || IsAbsent(value) {
		return true
	}
	with := block.Get(p.With.Name)
	if IsAbsent(with) {
		with = p.With.Value
	}
	values := []string{value}
	ok := jsonscan.IsString(value)
	switch p.Kind {
	case InBlocks:
		return jsonscan.IsArray(value) && p.Blocks.Write(s, value, at)
	case Listed:
		ok = jsonscan.IsArray(value)
		values = Items(value)
	case AsText:
		ok = jsonscan.IsObject(value)
		values[0] = string(jsonscan.AppendString(nil, value))
	}
	before, after, _ := strings.Cut(p.Data, "$value")
	after = strings.Replace(after, "$with", with, 1)
	for i, value := range values {
		s.Event(p.Event, at+strings.Replace(before, "$number", strconv.Itoa(i), 1)+value+after)
	}
	return ok
}

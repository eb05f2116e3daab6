package cache

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// maxDepth bounds the nesting of a body that can be cached. Requests to models nest a dozen levels deep; the bound keeps
// a body of a million brackets from growing the stack.
const maxDepth = 1000

// ErrDepth is returned by Canonical for JSON nested deeper than a request to a model can sensibly be.
var ErrDepth = errors.New("JSON is nested deeper than 1000 levels")

// Canonical writes JSON in the one spelling that stands for all spellings of the same value: members sorted by name on
// every level, no white space, strings with the fewest escapes. Top-level members for which drop returns true are left
// out; drop may be nil and sees the name with its escapes decoded.
//
// What might be read as different stays different, because a wrong hit is worse than a miss: numbers keep their literal
// text (1 and 1.0, and integers beyond 2^53, are not the same to every reader), duplicate names are all kept in their
// order and never merged, and half a surrogate pair stays an escape instead of becoming U+FFFD.
func Canonical(body []byte, drop func(topLevelKey string) bool) ([]byte, error) {
	c := canonicaliser{in: body, out: make([]byte, 0, len(body)), drop: drop}
	c.space()
	if err := c.value(0); err != nil {
		return nil, err
	}
	if c.space(); c.at < len(c.in) {
		return nil, c.invalid()
	}
	return c.out, nil
}

// canonicaliser reads JSON at in[at:] and appends its canonical form to out.
type canonicaliser struct {
	in      []byte
	at      int
	out     []byte
	drop    func(string) bool
	members []member // of all objects being read, the innermost last
	scratch []byte
}

// member is where one member of an object lies in out: out[name:colon] is its quoted name, out[name:end] all of it.
type member struct{ name, colon, end int }

func (c *canonicaliser) invalid() error {
	if c.at >= len(c.in) {
		return fmt.Errorf("invalid JSON: unexpected end at byte %d", len(c.in))
	}
	return fmt.Errorf("invalid JSON at byte %d", c.at)
}

func (c *canonicaliser) space() {
	for c.at < len(c.in) {
		switch c.in[c.at] {
		case ' ', '\t', '\r', '\n':
			c.at++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end. A NUL is valid nowhere outside a string, so the two need no distinction.
func (c *canonicaliser) peek() byte {
	if c.at < len(c.in) {
		return c.in[c.at]
	}
	return 0
}

func (c *canonicaliser) value(depth int) error {
	if depth > maxDepth {
		return ErrDepth
	}
	switch b := c.peek(); {
	case b == '{':
		return c.object(depth)
	case b == '[':
		return c.array(depth)
	case b == '"':
		return c.text()
	case b == '-' || '0' <= b && b <= '9':
		return c.number()
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(c.in[c.at:], []byte(word)) {
			c.at += len(word)
			c.out = append(c.out, word...)
			return nil
		}
	}
	return c.invalid()
}

func (c *canonicaliser) array(depth int) error {
	c.at++
	c.out = append(c.out, '[')
	if c.space(); c.peek() == ']' {
		c.at++
		c.out = append(c.out, ']')
		return nil
	}
	for {
		c.space()
		if err := c.value(depth + 1); err != nil {
			return err
		}
		c.space()
		switch c.peek() {
		case ',', ']':
			c.out = append(c.out, c.in[c.at])
			c.at++
			if c.in[c.at-1] == ']' {
				return nil
			}
		default:
			return c.invalid()
		}
	}
}

// object writes the members in the order they come, each followed by a comma, and puts them in order at the end.
func (c *canonicaliser) object(depth int) error {
	c.at++
	c.out = append(c.out, '{')
	first, start := len(c.members), len(c.out)
	if c.space(); c.peek() == '}' {
		c.at++
		c.out = append(c.out, '}')
		return nil
	}
	for {
		if err := c.member(depth); err != nil {
			return err
		}
		c.space()
		last := c.peek() == '}'
		if !last && c.peek() != ',' {
			return c.invalid()
		}
		if c.at++; last {
			break
		}
	}
	c.sort(start, c.members[first:])
	c.members = c.members[:first]
	if len(c.out) > start {
		c.out = c.out[:len(c.out)-1] // the comma after the last member
	}
	c.out = append(c.out, '}')
	return nil
}

func (c *canonicaliser) member(depth int) error {
	m := member{name: len(c.out)}
	if c.space(); c.peek() != '"' {
		return c.invalid()
	}
	if err := c.text(); err != nil {
		return err
	}
	m.colon = len(c.out)
	if c.space(); c.peek() != ':' {
		return c.invalid()
	}
	c.at++
	c.out = append(c.out, ':')
	c.space()
	if err := c.value(depth + 1); err != nil {
		return err
	}
	if depth == 0 && c.drop != nil && c.drop(plain(c.out[m.name:m.colon])) {
		c.out = c.out[:m.name]
		return nil
	}
	c.out = append(c.out, ',')
	m.end = len(c.out)
	c.members = append(c.members, m)
	return nil
}

// sort reorders the members that fill out[start:] by name; equal names keep their order.
func (c *canonicaliser) sort(start int, members []member) {
	byName := func(a, b member) int {
		return bytes.Compare(c.out[a.name+1:a.colon-1], c.out[b.name+1:b.colon-1])
	}
	if slices.IsSortedFunc(members, byName) {
		return
	}
	slices.SortStableFunc(members, byName)
	c.scratch = c.scratch[:0]
	for _, m := range members {
		c.scratch = append(c.scratch, c.out[m.name:m.end]...)
	}
	copy(c.out[start:], c.scratch)
}

func (c *canonicaliser) digits() bool {
	start := c.at
	for '0' <= c.peek() && c.peek() <= '9' {
		c.at++
	}
	return c.at > start
}

func (c *canonicaliser) number() error {
	start := c.at
	if c.peek() == '-' {
		c.at++
	}
	if c.peek() == '0' {
		c.at++
	} else if !c.digits() {
		return c.invalid()
	}
	if c.peek() == '.' {
		if c.at++; !c.digits() {
			return c.invalid()
		}
	}
	if c.peek() == 'e' || c.peek() == 'E' {
		if c.at++; c.peek() == '+' || c.peek() == '-' {
			c.at++
		}
		if !c.digits() {
			return c.invalid()
		}
	}
	c.out = append(c.out, c.in[start:c.at]...)
	return nil
}

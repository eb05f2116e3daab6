package tokens

import (
	"unicode"
	"unicode/utf8"
)

// The classes of runes that the patterns of the encodings distinguish. A rune
// without any bit is a symbol.
const (
	upper    uint8 = 1 << iota // \p{Lu}, \p{Lt}
	lower                      // \p{Ll}
	caseless                   // \p{Lm}, \p{Lo}: Han, Arabic, Thai, modifier letters
	mark                       // \p{M}: combining accents, variation selectors
	number                     // \p{N}
	space                      // \s, newlines included
	newline                    // \r and \n

	letter   = upper | lower | caseless
	noSymbol = letter | number | space
)

// classes holds the class of each rune. It is flat so that a lookup is one
// load. The address space is 1.1 MB, but only pages with letters, marks,
// numbers and spaces are written and become resident.
type classes [unicode.MaxRune + 1]uint8

// newClasses fills the table from the tables of the unicode package, which are
// those of tiktoken-go's regular expressions.
func newClasses() *classes {
	c := new(classes)
	for _, set := range []struct {
		bit    uint8
		tables []*unicode.RangeTable
	}{
		{upper, []*unicode.RangeTable{unicode.Lu, unicode.Lt}},
		{lower, []*unicode.RangeTable{unicode.Ll}},
		{caseless, []*unicode.RangeTable{unicode.Lm, unicode.Lo}},
		{mark, []*unicode.RangeTable{unicode.M}},
		{number, []*unicode.RangeTable{unicode.N}},
		{space, []*unicode.RangeTable{unicode.White_Space}},
	} {
		for _, table := range set.tables {
			for _, r := range table.R16 {
				c.fill(rune(r.Lo), rune(r.Hi), rune(r.Stride), set.bit)
			}
			for _, r := range table.R32 {
				c.fill(rune(r.Lo), rune(r.Hi), rune(r.Stride), set.bit)
			}
		}
	}
	c['\r'] |= newline
	c['\n'] |= newline
	return c
}

func (c *classes) fill(lo, hi, stride rune, bit uint8) {
	for r := lo; r <= hi; r += stride {
		c[r] |= bit
	}
}

// at returns the class and the length in bytes of the rune at text[i]. text
// must be valid UTF-8.
func (c *classes) at(text []byte, i int) (class uint8, size int) {
	if b := text[i]; b < utf8.RuneSelf {
		return c[b], 1
	}
	return c.wide(text, i)
}

// wide is at for runes of more than one byte, kept apart so that at can be
// inlined. It decodes without checking, because the text was checked as a
// whole; utf8.DecodeRune would check each rune again.
func (c *classes) wide(text []byte, i int) (class uint8, size int) {
	t := text[i:]
	switch b := rune(t[0]); {
	case b < 0xE0:
		return c[(b&0x1F)<<6|rune(t[1]&0x3F)], 2
	case b < 0xF0:
		return c[(b&0x0F)<<12|rune(t[1]&0x3F)<<6|rune(t[2]&0x3F)], 3
	default:
		r := (b&0x07)<<18 | rune(t[1]&0x3F)<<12 | rune(t[2]&0x3F)<<6 | rune(t[3]&0x3F)
		return c[r], 4
	}
}

// run returns the end of the run of runes of the classes in mask that starts at
// text[i].
func (c *classes) run(text []byte, i int, mask uint8) int {
	for i < len(text) {
		class, size := c.at(text, i)
		if class&mask == 0 {
			break
		}
		i += size
	}
	return i
}

// symbols returns the end of the run of runes other than letters, numbers and
// spaces: [^\s\p{L}\p{N}]*.
func (c *classes) symbols(text []byte, i int) int {
	for i < len(text) {
		class, size := c.at(text, i)
		if class&noSymbol != 0 {
			break
		}
		i += size
	}
	return i
}

package dialect

import "unicode/utf8"

// maxPieces bounds into how many chunks one text is cut, so that a long answer does not grow a hundredfold.
const maxPieces = 2048

// mostOut is how long a stream may get that is cut from a body of n bytes. An event weighs some ten times the token that
// it carries; what gets beyond this has an id or a name that was made to be repeated.
func mostOut(n int) int { return 32*n + 1<<20 }

// pieces writes the chunks of one JSON string, quoted in raw. A text with logprobs stays in one piece with them, for
// which of them belong to which part of it cannot be told in general.
func (c *cutting) pieces(before, raw, after string) {
	text := raw[1 : len(raw)-1]
	if c.logprobs != "" && c.logprobs != "null" {
		if text != "" {
			c.chunk(before+raw+after, c.takeLogprobs(), "null")
		}
		return
	}
	least := len(text)/maxPieces + 1
	for text != "" {
		n := piece(text, least)
		c.chunk(before+`"`+text[:n]+`"`+after, c.logprobs, "null")
		text = text[n:]
	}
}

// piece returns the length of the first piece of what is between the quotes of a JSON string: up to the next space,
// like a token, one character of a script without spaces, or 32 bytes; never the half of a character or an escape.
func piece(text string, least int) int {
	for n := 0; ; {
		wide := false
		switch c := text[n]; {
		case c == '\\':
			n += escape(text[n:])
		case c < utf8.RuneSelf:
			n++
		default:
			r, size := utf8.DecodeRuneInString(text[n:])
			n += size
			wide = r >= 0x2E80
		}
		switch {
		case n >= len(text):
			return len(text)
		case n < least:
		case wide || n >= 32 || text[n] == ' ' && text[n-1] != ' ':
			return n
		}
	}
}

// escape returns the length of the escape that text begins with; the two halves of a surrogate pair are one.
func escape(text string) int {
	if len(text) < 6 || text[1] != 'u' {
		return min(2, len(text))
	}
	if len(text) >= 12 && (text[2]|0x20) == 'd' && text[6] == '\\' && text[7] == 'u' && (text[8]|0x20) == 'd' {
		return 12
	}
	return 6
}

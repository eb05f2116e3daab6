package dialect

import (
	"cmp"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// Length returns a number of seconds in a request, digits in a string too, and
// otherwise where there is none that a video can have.
func Length(v gjson.Result, otherwise float64) float64 {
	n, _ := number(v)
	if n > 0 && n <= MaxBound {
		return n
	}
	return otherwise
}

// Word returns a word of a request in the spelling of price lists, and
// otherwise where there is none. A word that no price list has is "other".
func Word(v gjson.Result, otherwise string) string {
	s := strings.ToLower(strings.TrimSpace(jsonscan.String(v)))
	if len(s) > 32 {
		return "other"
	}
	return strings.Clone(cmp.Or(s, otherwise))
}

// Ask completes a usage with what the request has asked for, where the answer
// does not report it: the answer's count goes first. Images and videos that are
// charged in tokens have these in the usage, and are not counted beside them.
func (u *Usage) Ask(asked Usage) {
	m := &u.Media
	m.Characters = cmp.Or(m.Characters, asked.Media.Characters)
	if m.Images > 0 || u.Output == 0 {
		m.Images = cmp.Or(m.Images, asked.Media.Images)
		m.ImageKind = cmp.Or(m.ImageKind, asked.Media.ImageKind)
	}
	if m.VideoSeconds > 0 || u.Output == 0 {
		m.VideoSeconds = cmp.Or(m.VideoSeconds, asked.Media.VideoSeconds)
		m.VideoKind = cmp.Or(m.VideoKind, asked.Media.VideoKind)
	}
}

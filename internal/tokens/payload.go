package tokens

import (
	"strings"

	"forward/internal/jsonscan"
)

// Approximations, before it is read, for data without a published count: pages
// of documents and seconds of sound.
const (
	pageBytes    = 40 << 10 // of a document per page: a page of text with its fonts
	openAIPage   = 1500     // text and image of a page; "PDF files" of OpenAI's guide gives no number
	claudePage   = 2250     // "1,500 to 3,000 tokens per page": https://docs.claude.com, "PDF support"
	geminiPage   = 258      // https://ai.google.dev/gemini-api/docs/document-processing
	openAISecond = 10       // of sound: one token for each 100 ms, https://platform.openai.com/docs/guides/realtime-costs
	geminiSecond = 32       // of sound: https://ai.google.dev/gemini-api/docs/tokens
	geminiVideo  = 263      // of video, a second: the same page
	soundBytes   = 16_000   // a second of sound without a rate in its header: 128 kbit/s
	videoBytes   = 250_000  // a second of video: 2 Mbit/s

	unknownSeconds = 60 // of a recording behind a URL
)

// payload returns the base64 of a data URL, "" for any other URL. Bare base64
// is none.
func payload(url string) string {
	if !strings.HasPrefix(url, "data:") {
		return ""
	}
	head, data, ok := strings.Cut(url, ",")
	if !ok || !strings.HasSuffix(head, ";base64") {
		return ""
	}
	return data
}

// document adds a file in base64, or one that is elsewhere and counts as a
// page.
func (r *request) document(data string, page int64) {
	r.inexact = true
	r.add(page * max(ceil(decodedLen(data), pageBytes), 1))
}

// openAIAudio adds {"data":…,"format":…}.
func (r *request) openAIAudio(value string) {
	for c := jsonscan.WalkString(value); c.Next(); {
		if c.Key == "data" {
			r.sound(jsonscan.Inner(c.Raw()), openAISecond)
		}
	}
}

// sound adds a recording in base64.
func (r *request) sound(data string, second int64) {
	r.inexact = true
	rate := int64(soundBytes)
	b := encoded{data}
	if b.is(0, "RIFF") && b.is(8, "WAVE") && b.is(12, "fmt ") {
		if n := b.little(28, 4); n > 0 {
			rate = n
		}
	}
	r.add(ceil(decodedLen(data)*second, rate))
}

func decodedLen(data string) int64 { return int64(len(data)) * 3 / 4 }

// encoded reads bytes of base64 where they are, standard or URL-safe, so that a
// header far inside a large file costs no more than one at its start. There
// must be no escapes in it.
type encoded struct{ data string }

// at returns byte i, or 0 if there is none.
func (e encoded) at(i int) byte {
	digit := i / 3 * 4
	if i < 0 || digit+i%3+1 >= len(e.data) {
		return 0
	}
	shift := 2 * (i%3 + 1)
	return sextet(e.data[digit+i%3])<<shift | sextet(e.data[digit+i%3+1])>>(6-shift)
}

func sextet(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c - 'A'
	case 'a' <= c && c <= 'z':
		return c - 'a' + 26
	case '0' <= c && c <= '9':
		return c - '0' + 52
	case c == '+' || c == '-':
		return 62
	case c == '/' || c == '_':
		return 63
	}
	return 0
}

// all returns n if the n bytes from i on are there, else 0, so that nothing
// makes a number of half of it.
func (e encoded) all(i, n int) int {
	if last := i + n - 1; i < 0 || last/3*4+last%3+1 >= len(e.data) {
		return 0
	}
	return n
}

// is reports whether s stands at byte i.
func (e encoded) is(i int, s string) bool {
	for j := range len(s) {
		if e.at(i+j) != s[j] {
			return false
		}
	}
	return true
}

func (e encoded) big(i, n int) (v int64) {
	for j := range e.all(i, n) {
		v = v<<8 | int64(e.at(i+j))
	}
	return v
}

func (e encoded) little(i, n int) (v int64) {
	for j := range e.all(i, n) {
		v |= int64(e.at(i+j)) << (8 * j)
	}
	return v
}

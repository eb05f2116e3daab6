package openai

import (
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// The seconds of a video whose request has no length: the default of a new one,
// and the longest, which one that is made from another may have.
const (
	defaultVideo = 4
	longestVideo = 12
)

// pieces returns what a request asks for that is billed by the piece. Where it
// leaves something open, that is what the API takes then. n is how many images
// it asks for. Source: API reference, "Create speech", "Create image", "Create
// video".
func pieces(op dialect.Operation, path string, n int64, b *dialect.Body) (m dialect.Media) {
	switch op {
	case dialect.Speech:
		m.Characters = characters(b.Get("input"))
	case dialect.Image, dialect.ImageEdit:
		m.Images = max(n, 1)
		m.ImageKind = dialect.Word(b.Get("size"), "1024x1024") + "/" + dialect.Word(b.Get("quality"), "standard")
	case dialect.Video:
		m.VideoSeconds = dialect.Length(b.Get("seconds"), defaultVideo)
		m.VideoKind = dialect.Word(b.Get("size"), "720x1280")
		if _, last := dialect.CutLast(strings.TrimRight(path, "/")); !strings.EqualFold(last, "videos") {
			// A remix has the length and the size of another video.
			m.VideoSeconds = dialect.Length(b.Get("seconds"), longestVideo)
			m.VideoKind = dialect.Word(b.Get("size"), "")
		}
	}
	return m
}

// characters counts a text. What is no text counts as it is written.
func characters(v gjson.Result) int64 {
	if v.Type == gjson.String {
		return int64(utf8.RuneCountInString(v.Str))
	}
	return int64(len(v.Raw))
}

package gemini

import (
	"cmp"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
)

// pieces returns what a request asks for that is billed by the piece. Where it
// leaves something open, that is what the API takes then. n is how many images
// or videos it asks for. Source: https://ai.google.dev/gemini-api/docs/imagen
// and /video, "Parameters".
func pieces(op dialect.Operation, n int64, b *dialect.Body) (m dialect.Media) {
	config := b.Get("parameters")
	either := func(names ...string) (v gjson.Result) {
		for _, name := range names {
			if v = config.Get(name); v.Exists() {
				break
			}
		}
		return v
	}
	switch op {
	case dialect.Image:
		m.Images = cmp.Or(n, 4)
	case dialect.Video:
		m.VideoSeconds = dialect.Length(either("durationSeconds", "duration_seconds"), 8) * float64(max(n, 1))
		m.VideoKind = dialect.Word(config.Get("resolution"), "720p")
	}
	return m
}

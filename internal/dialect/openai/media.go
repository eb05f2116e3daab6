package openai

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// mediaEvent reads one event of streamed speech, transcription or images; their
// bytes are not kept. Each ends with one event that reports usage, and without
// [DONE]. Sources: API reference, "Streaming events" of "Audio"
// (speech.audio.delta and .done, transcript.text.delta, .segment and .done) and
// of "Images" (image_generation.partial_image and .completed,
// image_edit.partial_image and .completed).
func (a reader) mediaEvent(root gjson.Result) {
	switch jsonscan.String(root.Get("type")) {
	case "transcript.text.delta":
		a.Draft(0).AddText(jsonscan.String(root.Get("delta")))
	case "transcript.text.done":
		if c := a.Draft(0); c.Empty() {
			c.AddText(jsonscan.String(root.Get("text")))
		}
		a.Ended = true
	case "speech.audio.done", "image_generation.completed", "image_edit.completed":
		a.Ended = true
	}
	a.TakeUsage(root.Get("usage"))
	a.Fail(root.Get("error"))
}

// images counts the pictures of an answer that reports no tokens, and takes
// their size and quality where these are repeated in it.
func (a reader) images(root gjson.Result) {
	data := root.Get("data")
	n := jsonscan.Count(data) // of a long answer only their number is kept, see dialect.Skim
	if data.IsArray() {
		n = int64(len(data.Array()))
	}
	if n == 0 || a.Usage != nil {
		return
	}
	kind := jsonscan.String(root.Get("size"))
	if quality := jsonscan.String(root.Get("quality")); kind != "" && quality != "" {
		kind += "/" + quality
	}
	a.SetUsage(dialect.Usage{Media: dialect.Media{Images: n, ImageKind: strings.Clone(kind)}}, "")
}

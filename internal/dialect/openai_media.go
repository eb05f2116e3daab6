package dialect

import (
	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// mediaEvent reads one event of streamed speech, transcription or images; their bytes are not kept. Each ends with one
// event that tells usage, and without [DONE]. Sources: API reference, "Streaming events" of "Audio" (speech.audio.delta
// and .done, transcript.text.delta, .segment and .done) and of "Images" (image_generation.partial_image and .completed,
// image_edit.partial_image and .completed).
func (a *Answer) mediaEvent(root gjson.Result) {
	switch jsonscan.String(root.Get("type")) {
	case "transcript.text.delta":
		a.keep(&a.choice(0).text, jsonscan.String(root.Get("delta")))
	case "transcript.text.done":
		if c := a.choice(0); len(c.text) == 0 {
			a.keep(&c.text, jsonscan.String(root.Get("text")))
		}
		a.Ended = true
	case "speech.audio.done", "image_generation.completed", "image_edit.completed":
		a.Ended = true
	}
	a.openAIUsage(root.Get("usage"))
	a.fail(root.Get("error"))
}

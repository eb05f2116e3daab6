package dialect_test

import (
	"fmt"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
)

// TestPieces reads what requests ask for that is billed by the piece, with the
// defaults of the APIs.
func TestPieces(t *testing.T) {
	for _, c := range []struct {
		dialect    *dialect.Dialect
		op         dialect.Operation
		path, body string
		want       dialect.Media
	}{
		{openai.Dialect, dialect.Speech, "/v1/audio/speech", `{"input":"gr\u00fc\u00df \ud83d\ude00"}`, dialect.Media{Characters: 6}},
		{openai.Dialect, dialect.Speech, "/v1/audio/speech", `{"input":["ab"]}`, dialect.Media{Characters: 6}},
		{openai.Dialect, dialect.Speech, "/v1/audio/speech", `{}`, dialect.Media{}},
		{openai.Dialect, dialect.Image, "/v1/images/generations", `{}`, dialect.Media{Images: 1, ImageKind: "1024x1024/standard"}},
		{openai.Dialect, dialect.Image, "/v1/images/generations", `{"n":"3","size":"1792X1024","quality":"HD"}`, dialect.Media{Images: 3, ImageKind: "1792x1024/hd"}},
		{openai.Dialect, dialect.ImageEdit, "/v1/images/edits", `{"n":2,"size":"512x512"}`, dialect.Media{Images: 2, ImageKind: "512x512/standard"}},
		{openai.Dialect, dialect.Video, "/v1/videos", `{}`, dialect.Media{VideoSeconds: 4, VideoKind: "720x1280"}},
		{openai.Dialect, dialect.Video, "/v1/videos/", `{"seconds":"12","size":"1280x720"}`, dialect.Media{VideoSeconds: 12, VideoKind: "1280x720"}},
		{openai.Dialect, dialect.Video, "/v1/videos", `{"seconds":-8}`, dialect.Media{VideoSeconds: 4, VideoKind: "720x1280"}},
		{openai.Dialect, dialect.Video, "/v1/videos/video_1/remix", `{"prompt":"a"}`, dialect.Media{VideoSeconds: 12}},
		{openai.Dialect, dialect.Chat, "/v1/chat/completions", `{"n":2,"input":"abc"}`, dialect.Media{}},
		{gemini.Dialect, dialect.Image, "/v1beta/models/imagen-4.0-generate-001:predict", `{"instances":[{"prompt":"a"}]}`, dialect.Media{Images: 4}},
		{gemini.Dialect, dialect.Image, "/v1beta/models/imagen-4.0-generate-001:predict", `{"parameters":{"sampleCount":2}}`, dialect.Media{Images: 2}},
		{gemini.Dialect, dialect.Video, "/v1beta/models/veo-3.0-generate-001:predictLongRunning", `{"instances":[{"prompt":"a"}]}`, dialect.Media{VideoSeconds: 8, VideoKind: "720p"}},
		{gemini.Dialect, dialect.Video, "/v1beta/models/veo-3.0-generate-001:predictLongRunning", `{"parameters":{"sampleCount":2,"durationSeconds":"6","resolution":"1080p"}}`, dialect.Media{VideoSeconds: 12, VideoKind: "1080p"}},
	} {
		b, err := dialect.Scan([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if got := c.dialect.Request(c.op, c.path, "", b).Media; got != c.want {
			t.Errorf("%s %s: %+v, want %+v", c.path, c.body, got, c.want)
		}
	}
}

// TestPredictions counts the images of Imagen's answers. Where there is none
// the count is that of the request.
func TestPredictions(t *testing.T) {
	for body, want := range map[string]int64{
		`{"predictions":[{"mimeType":"image/png","bytesBase64Encoded":"iVBO"},{"mimeType":"image/png","bytesBase64Encoded":"iVBO"}]}`: 2,
		`{"predictions":[{"gcsUri":"gs://bucket/1.png"},{"raiFilteredReason":"blocked"},{"safetyAttributes":{}}]}`:                    1,
		`{"predictions":[{"raiFilteredReason":"blocked"}]}`:                                                                           0,
		`{"predictions":[]}`:             0,
		`{"predictions":[3,""]}`:         0,
		`{"predictions":"2"}`:            0,
		`{"data":[{"b64_json":"iVBO"}]}`: 1, // from OpenAI's path
	} {
		var a dialect.Answer
		if err := gemini.Dialect.ReadBody(dialect.Image, &a, []byte(body)); err != nil {
			t.Fatal(err)
		}
		var got int64
		if a.Usage != nil {
			got = a.Usage.Media.Images
		}
		if got != want {
			t.Errorf("%s: %d images, want %d", body, got, want)
		}
	}
}

// TestOfferedTools reads which calls of the provider's tools a request allows.
func TestOfferedTools(t *testing.T) {
	for body, want := range map[string]string{
		`{"tools":[{"type":"web_search_20250305","name":"web_search","max_uses":2}]}`:              "[{web_search 2}]",
		`{"max_tool_calls":3,"tools":[{"type":"web_search_preview"},{"type":"file_search"}]}`:      "[{web_search 3} {file_search 3}]",
		`{"tools":[{"type":"function","name":"web_search","description":"\"web_search"}]}`:         "[]",
		`{"tools":[{"google_search":{}},{"functionDeclarations":[{"name":"google_search"}]}]}`:     "[{google_search 5}]",
		`{"tools":[{"googleSearch":{}}]}`:                                                          "[{google_search 5}]",
		`{"tools":[{"type":"code_interpreter","container":{"type":"auto","memory_limit":"16g"}}]}`: "[{code_interpreter/16g 5}]",
		`{"tools":[{"type":"code_interpreter","container":{"type":"auto","memory_limit":"1g"}}]}`:  "[{code_interpreter 5}]",
		`{"tools":[{"type":"code_interpreter","container":"cntr_1"}]}`:                             "[{code_interpreter 5}]",
		`{"tools":"web_search"}`:                                "[]",
		`{"messages":[{"role":"user","content":"web_search"}]}`: "[]",
	} {
		b, err := dialect.Scan([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(b.OfferedTools()); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

// TestTermsOfRequests reads what multiplies the price of a message, and the
// default model of moderations.
func TestTermsOfRequests(t *testing.T) {
	b, err := dialect.Scan([]byte(`{"model":"claude-opus-5","speed":"Fast","inference_geo":"us"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := anthropic.Dialect.Request(dialect.Messages, "/v1/messages", "", b).Terms; got.Speed != "fast" || got.Geo != "us" {
		t.Errorf("%+v", got)
	}
	b, err = dialect.Scan([]byte(`{"input":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := openai.Dialect.Request(dialect.Moderation, "/v1/moderations", "", b).Model; got != "omni-moderation-latest" {
		t.Errorf("%q", got)
	}
}

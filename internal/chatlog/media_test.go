package chatlog_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

func TestMediaIsWrittenAsDigest(t *testing.T) {
	image := append([]byte("\x89PNG\r\n\x1a\n"), []byte(strings.Repeat("\x00\xff\xfe", 500))...)
	data := base64.StdEncoding.EncodeToString(image)
	digest := fmt.Sprintf("[image/png, %d bytes, sha256:%x]", len(image), sha256.Sum256(image))
	for name, row := range map[string]struct {
		op         dialect.Operation
		body, want string // of the line; DATA is the image, DIGEST what is written for it
	}{
		"image_url":               {dialect.Chat, `{"messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"data:image/png;base64,DATA"}}]}]}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"DIGEST"}}]}]`},
		"slashes escaped":         {dialect.Chat, `{"messages":[{"role":"user","content":[{"image_url":{"url":"data:image\/png;base64,DATA"}}]}]}`, `"url":"DIGEST"`},
		"in the midst of text":    {dialect.Chat, `{"messages":[{"role":"user","content":"a ![x](data:image/png;charset=x;base64,DATA) b"}]}`, `"a ![x](DIGEST) b"`},
		"two in a text":           {dialect.Chat, `{"messages":[{"role":"user","content":"data:image/png;base64,DATA data:;base64,DATA"}]}`, `"DIGEST DIGEST"`},
		"input_audio":             {dialect.Chat, `{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"DATA","format":"wav"}}]}]}`, `{"data":"DIGEST","format":"wav"}`},
		"a file":                  {dialect.Chat, `{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a","file_data":"DATA"}}]}]}`, `"file_data":"DIGEST"`},
		"input_image":             {dialect.Responses, `{"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:image/png;base64,DATA"}]}]}`, `"image_url":"DIGEST"`},
		"input_file":              {dialect.Responses, `{"input":[{"role":"user","content":[{"type":"input_file","file_data":"data:image/png;base64,DATA"}]}]}`, `"file_data":"DIGEST"`},
		"encrypted reasoning":     {dialect.Responses, `{"input":[{"type":"reasoning","encrypted_content":"DATA"}]}`, `"encrypted_content":"DIGEST"`},
		"source":                  {dialect.Messages, `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"DATA"}}]}]}`, `"data":"DIGEST"`},
		"inlineData":              {dialect.Generate, `{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png","data":"DATA"}}]}]}`, `"data":"DIGEST"`},
		"inline_data":             {dialect.Generate, `{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":"DATA"}}]}]}`, `"data":"DIGEST"`},
		"images":                  {dialect.Chat, `{"messages":[{"role":"user","content":"see","images":["DATA"]}]}`, `"images":["DIGEST"]`},
		"images at the top":       {dialect.Completion, `{"prompt":"see","images":["DATA"]}`, `"images":["DIGEST"]`},
		"a text document":         {dialect.Messages, `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"hello"}}]}]}`, `"data":"hello"`},
		"an argument called data": {dialect.Chat, `{"messages":[{"role":"user","content":"x"}],"other":{"data":"hello","base64":";base64,"}}`, `"other":{"data":"hello","base64":";base64,"}`},
		"a long word":             {dialect.Chat, `{"messages":[{"role":"user","content":"` + strings.Repeat("x", 3000) + `"}]}`, strings.Repeat("x", 3000)},
	} {
		t.Run(name, func(t *testing.T) {
			fill := strings.NewReplacer("DATA", data, "DIGEST", digest).Replace
			for _, content := range []string{"full", "redacted"} {
				line := lineOf(t, chatlog.Options{Content: content}, row.op, fill(row.body))
				if !strings.Contains(line, fill(row.want)) || strings.Contains(line, data[:40]) {
					t.Errorf("%s: %.2000s", content, line)
				}
				kept := lineOf(t, chatlog.Options{Content: content, KeepMedia: true}, row.op, fill(row.body))
				if strings.Contains(row.body, "DATA") && !strings.Contains(kept, data) {
					t.Errorf("%s, kept whole: %.2000s", content, kept)
				}
			}
		})
	}
}

// TestConvertMedia converts logs with and without their images.
func TestConvertMedia(t *testing.T) {
	data := "data:image/png;base64," + strings.Repeat("iVBO", 100)
	for _, keep := range []bool{false, true} {
		dir := t.TempDir()
		l := open(t, chatlog.Options{Dir: dir, KeepMedia: keep})
		exchange(t, l, "1", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"see"},{"type":"image_url","image_url":{"url":"`+data+`"}}]}]}`,
			`{"choices":[{"index":0,"message":{"role":"assistant","content":"a cat"},"finish_reason":"stop"}]}`)
		l.Close()
		for _, format := range []string{"openai-forward", "jsonl", "openai-ft", "sharegpt", "csv"} {
			text, sum := convert(t, chatlog.ConvertOptions{Inputs: []string{dir}, Format: format})
			written := keep || format != "openai-ft" // OpenAI would take a digest for an address
			if (sum.Exchanges == 1) != written || strings.Contains(text, "a cat") != written || strings.Contains(text, data) && !keep {
				t.Errorf("%s, kept: %t: %+v\n%s", format, keep, sum, text)
			}
		}
	}
}

// lineOf is the line of a request with a body.
func lineOf(t *testing.T, o chatlog.Options, op dialect.Operation, raw string) string {
	t.Helper()
	o.Dir = t.TempDir()
	l := open(t, o)
	l.Request(chatlog.Request{Route: "r", UID: "u", Operation: op, Body: body(t, raw)})
	l.Close()
	return allLines(t, filepath.Join(o.Dir, "r", string(op)))[0]
}

package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
)

// BatchItem is one answer in the results of a batch.
type BatchItem struct {
	ID        string // of the answer, the same however often the results are fetched
	CustomID  string // as the client named it
	Operation dialect.Operation
	Model     string
	Usage     dialect.Usage
}

// maxBatchLine bounds what is kept of a line that does not end, in bytes.
// Longer lines are skipped.
const maxBatchLine = 32 << 20

// BatchReader finds the answers in the results of a batch while a client
// fetches them: what the client gets is written to it, and it calls Each for
// every answer with a usage. Only the results report what a batch used, and
// they come hours after the batch, in another request.
//
// It knows the files of OpenAI's Batch API, the results of Anthropic's Message
// Batches and the files of Gemini's Batch API, each with one JSON object a
// line. At the first line that is none of them it stops reading, so that any
// file may be written to it. Not safe for concurrent use.
type BatchReader struct {
	Each func(BatchItem)

	line    []byte
	skip    bool // the rest of a line that is too long
	foreign bool
}

// Write reads a part of the results. It never fails.
func (b *BatchReader) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !b.foreign {
		part, rest, ended := bytes.Cut(p, []byte("\n"))
		if b.startsForeign(part) {
			b.foreign = true
			break
		}
		if len(b.line)+len(part) > maxBatchLine {
			b.skip = true
			b.line = nil
		}
		if !b.skip {
			b.line = append(b.line, part...)
		}
		if !ended {
			break
		}
		b.Close()
		b.skip = false
		p = rest
	}
	return n, nil
}

// startsForeign reports whether part starts a line that is no JSON object, in a
// picture for example. Nothing of it has to be kept to know that.
func (b *BatchReader) startsForeign(part []byte) bool {
	start := bytes.TrimSpace(part)
	return len(b.line) == 0 && !b.skip && len(start) > 0 && start[0] != '{'
}

// Close reads a last line without an end.
func (b *BatchReader) Close() error {
	line := bytes.TrimSpace(b.line)
	b.line = b.line[:0]
	if len(line) > 0 && !b.foreign {
		b.read(line)
	}
	return nil
}

// ReadInline finds the answers in a batch of Gemini's whose requests came with
// it. Its results are in the batch itself, in the output of its metadata and
// again in the operation's response (https://ai.google.dev/api/batch-api).
// Other bodies have none.
func (b *BatchReader) ReadInline(body []byte) {
	if !gjson.ValidBytes(body) {
		return
	}
	root := gjson.ParseBytes(body)
	for _, at := range []string{"metadata.output", "response"} {
		list := root.Get(at + ".inlinedResponses.inlinedResponses")
		list.ForEach(func(_, answer gjson.Result) bool {
			b.read([]byte(answer.Raw))
			return true
		})
		if list.IsArray() {
			return
		}
	}
}

func (b *BatchReader) read(line []byte) {
	if !gjson.ValidBytes(line) {
		b.foreign = true
		return
	}
	item, d, body := batchAnswer(gjson.ParseBytes(line))
	if d == nil {
		// Failed requests of all three providers have an error and cost
		// nothing.
		b.foreign = !gjson.GetBytes(line, "error").Exists() && !gjson.GetBytes(line, "response").Exists()
		return
	}
	var answer dialect.Answer
	if !body.IsObject() || d.Body(item.Operation, &answer, []byte(body.Raw)) != nil || answer.Usage == nil {
		return
	}
	if item.ID == "" { // the line identifies it
		sum := sha256.Sum256(line)
		item.ID = "batch_line_" + hex.EncodeToString(sum[:16])
	}
	item.Model = answer.Model
	item.Usage = *answer.Usage
	b.Each(item)
}

// batchAnswer returns the answer in a line of a batch's results and its
// dialect, which is nil where there is none.
func batchAnswer(line gjson.Result) (item BatchItem, d *dialect.Dialect, body gjson.Result) {
	item.CustomID = line.Get("custom_id").Str
	switch {
	case line.Get("response.body").IsObject():
		body = line.Get("response.body")
		item.ID = line.Get("id").Str
		item.Operation = openAIBatch(body.Get("object").Str)
		return item, openai.Dialect, body
	case line.Get("result.type").Exists():
		body = line.Get("result.message")
		item.ID = body.Get("id").Str
		item.Operation = dialect.Messages
		return item, anthropic.Dialect, body
	case line.Get("response.candidates").Exists() || line.Get("response.usageMetadata").Exists():
		body = line.Get("response")
		item.ID = body.Get("responseId").Str
		item.CustomID = line.Get("key").Str
		item.Operation = dialect.Generate
		return item, gemini.Dialect, body
	}
	return item, nil, body
}

// openAIBatch returns the operation that answers with an object of this name.
func openAIBatch(object string) dialect.Operation {
	switch object {
	case "text_completion":
		return dialect.Completion
	case "response":
		return dialect.Responses
	case "list":
		return dialect.Embedding
	}
	return dialect.Chat
}

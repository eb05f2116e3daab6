package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialects"
)

// BatchItem is one answer out of a batch's results.
type BatchItem struct {
	ID        string // of this answer, the same however often the results are fetched: as a Row's ID it makes it count once
	CustomID  string // what the client called it
	Operation dialect.Operation
	Model     string
	Usage     dialect.Usage
}

// maxBatchLine bounds what is kept of a line that does not end, in bytes. Longer lines are passed over.
const maxBatchLine = 32 << 20

// BatchReader finds the answers in the results of a batch while they are fetched: it is written to what the client gets, and calls Each
// for every answer that has a usage. Batches are made through one door and fetched, hours later, through another, and only their results
// tell what was used; rows made of it, priced with the tier "batch", settle them. It knows the files of OpenAI's Batch API, the results of
// Anthropic's Message Batches and the files of Gemini's Batch API, each one JSON object a line. At the first line that is none of them it
// stops looking, so that any file may be written to it. Not safe for concurrent use.
type BatchReader struct {
	Each func(BatchItem)

	line    []byte
	skip    bool // the rest of a line that is too long
	foreign bool
}

// Write looks at a part of the results. It never fails.
func (b *BatchReader) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && !b.foreign {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if start := bytes.TrimSpace(part); len(b.line) == 0 && !b.skip && len(start) > 0 && start[0] != '{' {
			b.foreign = true // a picture, say, of which nothing has to be kept to know it
			break
		}
		if len(b.line)+len(part) > maxBatchLine {
			b.skip, b.line = true, nil
		}
		if !b.skip {
			b.line = append(b.line, part...)
		}
		if end < 0 {
			break
		}
		b.Close()
		b.skip = false
		p = p[end+1:]
	}
	return n, nil
}

// Close looks at a last line without an end.
func (b *BatchReader) Close() error {
	line := bytes.TrimSpace(b.line)
	b.line = b.line[:0]
	if len(line) > 0 && !b.foreign {
		b.read(line)
	}
	return nil
}

// ReadInline finds the answers in a batch of Gemini's whose requests came with it: its results are in the batch itself, in the output of
// its metadata and once more in the operation's response (https://ai.google.dev/api/batch-api). Other bodies have none.
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
	root := gjson.ParseBytes(line)
	item := BatchItem{CustomID: root.Get("custom_id").Str}
	var d *dialect.Dialect
	var body gjson.Result
	switch {
	case root.Get("response.body").IsObject():
		d, body, item.ID, item.Operation = dialects.Default, root.Get("response.body"), root.Get("id").Str, openAIBatch(root.Get("response.body.object").Str)
	case root.Get("result.type").Exists():
		d, body, item.Operation = anthropic.Dialect, root.Get("result.message"), dialect.Messages
		item.ID = body.Get("id").Str
	case root.Get("response.candidates").Exists() || root.Get("response.usageMetadata").Exists():
		d, body, item.Operation = gemini.Dialect, root.Get("response"), dialect.Generate
		item.ID, item.CustomID = body.Get("responseId").Str, root.Get("key").Str
	default:
		// Failed requests of all three have an error and nothing to pay.
		b.foreign = !root.Get("error").Exists() && !root.Get("response").Exists()
		return
	}
	var answer dialect.Answer
	if !body.IsObject() || d.Body(item.Operation, &answer, []byte(body.Raw)) != nil || answer.Usage == nil {
		return
	}
	if item.ID == "" { // the line itself tells it apart
		sum := sha256.Sum256(line)
		item.ID = "batch_line_" + hex.EncodeToString(sum[:16])
	}
	item.Model, item.Usage = answer.Model, *answer.Usage
	b.Each(item)
}

// openAIBatch is the operation that answers with an object of this name.
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

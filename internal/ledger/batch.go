package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/tidwall/gjson"

	"forward/internal/dialect"
	"forward/internal/dialects"
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
// It knows the results of every dialect with batches, each with one JSON object
// a line. At the first line that is none of them it stops reading, so that any
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

// ReadInline finds the answers in a batch object that holds its results. Other
// bodies have none.
func (b *BatchReader) ReadInline(body []byte) {
	if !gjson.ValidBytes(body) {
		return
	}
	batch := gjson.ParseBytes(body)
	for _, d := range dialects.All {
		for _, line := range d.InlineResults(batch) {
			b.read([]byte(line.Raw))
		}
	}
}

func (b *BatchReader) read(line []byte) {
	if !gjson.ValidBytes(line) {
		b.foreign = true
		return
	}
	root := gjson.ParseBytes(line)
	d, result := readResult(root)
	if d == nil {
		// Failed requests of all providers have an error and cost nothing.
		b.foreign = !root.Get("error").Exists() && !root.Get("response").Exists()
		return
	}
	var answer dialect.Answer
	body := result.Answer
	if !body.IsObject() || d.ReadBody(result.Operation, &answer, []byte(body.Raw)) != nil || answer.Usage == nil {
		return
	}
	id := result.ID
	if id == "" { // the line identifies the answer
		sum := sha256.Sum256(line)
		id = "batch_line_" + hex.EncodeToString(sum[:16])
	}
	b.Each(BatchItem{
		ID: id, CustomID: result.CustomID, Operation: result.Operation, Model: answer.Model, Usage: *answer.Usage,
	})
}

// readResult returns the answer in a line of a batch's results and its dialect,
// which is nil where there is none.
func readResult(line gjson.Result) (*dialect.Dialect, dialect.Result) {
	for _, d := range dialects.All {
		if d.Results == nil {
			continue
		}
		if r, ok := d.Results.Line(line); ok {
			return d, r
		}
	}
	return nil, dialect.Result{}
}

package dialect

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// BatchUse is what a request has to do with batches: requests that a provider
// works off later, at a price of their own.
type BatchUse int

// The uses.
const (
	NoBatch      BatchUse = iota
	MakesBatch            // the answer is a batch that was made for it
	ShowsBatches          // the answer is a batch or a list of batches
	FetchesFile           // the answer is a file, which may be the results of a batch
	FetchesBatch          // the answer is the results of the batch itself
)

// Batch is what an answer reports of a batch.
type Batch struct {
	ID      string // as paths name it: batch_1, msgbatch_1, batches/1
	Results string // the file with its results, once there is one; "" where they are had by the batch's own id
	Model   string // of all its requests, where that is reported
}

// BatchUse returns what a request has to do with batches, and the file or batch
// whose content it fetches. Sources: OpenAI's API reference, "Batch" and
// "Files"; Anthropic's, "Message Batches"; https://ai.google.dev/api/batch-api,
// and for the download of files the official SDKs.
func (d *Dialect) BatchUse(op Operation, method, path string) (use BatchUse, object string) {
	if op != Other || method != "GET" && method != "POST" {
		return NoBatch, ""
	}
	path, verb, _ := strings.Cut(path, ":")
	verb = FoldPath(verb)
	if verb != "" && d.Objects.starts(verb) {
		if method == "POST" && strings.Contains(verb, "batch") {
			return MakesBatch, ""
		}
		return NoBatch, ""
	}
	parent, object := CutLast(path)
	above, id := CutLast(parent)
	_, collection := CutLast(above)
	last, within, collection := FoldPath(object), FoldPath(id), FoldPath(collection)
	switch {
	case method == "GET" && verb == "download" && within == "files": // files/ID:download
		return FetchesFile, "files/" + object
	case verb != "":
	case method == "GET" && last == "content" && collection == "files":
		return FetchesFile, id
	case method == "GET" && last == "results" && collection == "batches":
		return FetchesBatch, id
	case last == "batches" && method == "POST":
		return MakesBatch, ""
	case last == "batches", within == "batches", collection == "batches":
		return ShowsBatches, ""
	}
	return NoBatch, ""
}

// Batches reads the batches that the answer to a request with [MakesBatch] or
// [ShowsBatches] lists. Only fields that the provider fills are looked at, and
// never the metadata that a client chose.
func (d *Dialect) Batches(answer []byte) (list []Batch) {
	if !jsonscan.Valid(answer) {
		return nil
	}
	facts, root := d.Objects, jsonscan.View(answer)
	take := func(v gjson.Result) {
		if b := facts.batch(v); b.ID != "" && len(b.ID) <= maxName && len(b.Results) <= maxName && len(list) < maxState {
			list = append(list, b)
		}
	}
	take(root)
	for _, name := range facts.Lists {
		root.Get(name).ForEach(func(_, v gjson.Result) bool {
			take(v)
			return true
		})
	}
	return list
}

// batch reads one object; what is no batch has no id.
func (f *Objects) batch(v gjson.Result) Batch {
	text := func(path string) string { return strings.Clone(jsonscan.String(v.Get(path))) }
	if !f.Qualified {
		if kind := text("object") + text("type"); kind != "batch" && kind != "message_batch" {
			return Batch{}
		}
		return Batch{ID: text("id"), Results: text("output_file_id"), Model: text("model")}
	}
	b := Batch{ID: text("name"), Model: strings.TrimPrefix(text("metadata.model"), "models/")}
	if !strings.HasPrefix(b.ID, "batches/") {
		return Batch{}
	}
	for _, at := range []string{"metadata.output.responsesFile", "response.responsesFile"} {
		if file := text(at); file != "" {
			b.Results = f.qualify(file)
		}
	}
	return b
}

// Results is how the results of a batch are read: files with one JSON object a
// line, or answers in the batch itself.
type Results struct {
	// Line reads one line. ok is false if it is no answer in the dialect's
	// form.
	Line func(line gjson.Result) (r Result, ok bool)

	// Inline are the paths in a batch object where lists of lines may be; the
	// first list counts.
	Inline []string
}

// Result is an answer of a batch.
type Result struct {
	ID        string // of this answer; "" if it has none
	CustomID  string // the client's name for its request
	Operation Operation
	Answer    gjson.Result // for Body
}

// InlineResults returns the lines of the results that a batch object holds.
func (d *Dialect) InlineResults(batch gjson.Result) []gjson.Result {
	if d.Results == nil {
		return nil
	}
	for _, at := range d.Results.Inline {
		if list := batch.Get(at); list.IsArray() {
			return list.Array()
		}
	}
	return nil
}

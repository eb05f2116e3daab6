package dialect_test

import (
	"fmt"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/dialects"
)

func TestBatchUse(t *testing.T) {
	for name, c := range map[string]struct {
		d            *dialect.Dialect
		method, path string
		use          dialect.BatchUse
		object       string
	}{
		"a new batch":                {openai.Dialect, "POST", "/v1/batches", dialect.MakesBatch, ""},
		"the list":                   {openai.Dialect, "GET", "/openai/batches/", dialect.ShowsBatches, ""},
		"one":                        {openai.Dialect, "GET", "/v1/batches/batch_1", dialect.ShowsBatches, ""},
		"one that is cancelled":      {openai.Dialect, "POST", "/v1/batches/batch_1/cancel", dialect.ShowsBatches, ""},
		"a file's content":           {openai.Dialect, "GET", "/v1/files/file-1/content", dialect.FetchesFile, "file-1"},
		"spelled differently":        {openai.Dialect, "GET", "/v1/fil%65s/file%2D1/content", dialect.FetchesFile, "file-1"},
		"a file":                     {openai.Dialect, "GET", "/v1/files/file-1", dialect.NoBatch, ""},
		"files of a vector store":    {openai.Dialect, "POST", "/v1/vector_stores/vs_1/file_batches", dialect.NoBatch, ""},
		"a deleted file":             {openai.Dialect, "DELETE", "/v1/files/file-1/content", dialect.NoBatch, ""},
		"a chat":                     {openai.Dialect, "POST", "/v1/chat/completions", dialect.NoBatch, ""},
		"a new batch of messages":    {anthropic.Dialect, "POST", "/v1/messages/batches", dialect.MakesBatch, ""},
		"its state":                  {anthropic.Dialect, "GET", "/v1/messages/batches/msgbatch_1", dialect.ShowsBatches, ""},
		"its results":                {anthropic.Dialect, "GET", "/v1/messages/batches/msgbatch_1/results", dialect.FetchesBatch, "msgbatch_1"},
		"a new batch of Gemini's":    {gemini.Dialect, "POST", "/v1beta/models/gemini-2.5-flash:batchGenerateContent", dialect.MakesBatch, ""},
		"a video of Gemini's":        {gemini.Dialect, "POST", "/v1beta/models/veo:predictLongRunning", dialect.NoBatch, ""},
		"a batch of Gemini's":        {gemini.Dialect, "GET", "/v1beta/batches/b1", dialect.ShowsBatches, ""},
		"cancelled there":            {gemini.Dialect, "POST", "/v1beta/batches/b1:cancel", dialect.NoBatch, ""},
		"a file of Gemini's":         {gemini.Dialect, "GET", "/download/v1beta/files/batch-b1:download", dialect.FetchesFile, "files/batch-b1"},
		"the same with OpenAI's":     {gemini.Dialect, "GET", "/v1beta/openai/batches/batch_1", dialect.ShowsBatches, ""},
		"a file's content, OpenAI's": {gemini.Dialect, "GET", "/v1beta/openai/files/file-1/content", dialect.FetchesFile, "file-1"},
	} {
		t.Run(name, func(t *testing.T) {
			path := dialect.JudgedPath(c.path)
			op, d := dialects.Read(c.d, c.method, path)
			use, object := d.BatchUse(op, c.method, path)
			if use != c.use || object != c.object {
				t.Errorf("%d %q, want %d %q", use, object, c.use, c.object)
			}
		})
	}
}

func TestBatches(t *testing.T) {
	for name, c := range map[string]struct {
		d            *dialect.Dialect
		answer, want string
	}{
		"made":      {openai.Dialect, `{"id":"batch_1","object":"batch","output_file_id":null,"metadata":{"id":"batch_2","output_file_id":"file-2"}}`, "[{batch_1  }]"},
		"completed": {openai.Dialect, `{"id":"batch_1","object":"batch","model":"gpt-5-2025-08-07","output_file_id":"file-1","error_file_id":"file-e"}`, "[{batch_1 file-1 gpt-5-2025-08-07}]"},
		"listed":    {openai.Dialect, `{"object":"list","data":[{"id":"batch_1","object":"batch","output_file_id":"file-1"},{"id":"batch_2","object":"batch"},{"id":"file-3","object":"file"}]}`, "[{batch_1 file-1 } {batch_2  }]"},
		"messages":  {anthropic.Dialect, `{"id":"msgbatch_1","type":"message_batch","results_url":null}`, "[{msgbatch_1  }]"},
		"Gemini's": {gemini.Dialect,
			`{"name":"batches/b1","metadata":{"@type":"type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch","model":"models/gemini-2.5-flash","name":"batches/b1"}}`, "[{batches/b1  gemini-2.5-flash}]"},
		"Gemini's with a file": {gemini.Dialect, `{"name":"batches/b1","metadata":{"model":"models/m","output":{"responsesFile":"files/batch-b1"}},"done":true,"response":{"responsesFile":"files/batch-b1"}}`, "[{batches/b1 files/batch-b1 m}]"},
		"an error":             {openai.Dialect, `{"error":{"message":"no such batch"}}`, "[]"},
		"no JSON":              {openai.Dialect, `{"id":"batch_1","object":"batch"`, "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fmt.Sprint(c.d.Batches([]byte(c.answer))); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

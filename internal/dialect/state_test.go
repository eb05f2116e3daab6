package dialect_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/dialect/anthropic"
	"forward/internal/dialect/gemini"
	"forward/internal/dialect/openai"
	"forward/internal/dialects"

	"github.com/google/go-cmp/cmp"
)

func TestRefers(t *testing.T) {
	for name, test := range map[string]struct {
		d          *dialect.Dialect
		path, body string
		want       []string
	}{
		"a chat":                  {openai.Dialect, "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"my file_id is \"file_id\""}]}`, nil},
		"a chat about a file":     {openai.Dialect, "/v1/chat/completions", `{"messages":[{"role":"user","content":[{"type":"text","text":"?"},{"type":"file","file":{"file_id":"file-1"}}]}]}`, []string{"file-1"}},
		"a chat after an audio":   {openai.Dialect, "/v1/chat/completions", `{"audio":{"voice":"alloy"},"messages":[{"role":"assistant","audio":{"id":"audio_1"}}]}`, []string{"audio_1"}},
		"a stored chat":           {openai.Dialect, "/v1/chat/completions/chatcmpl-1/messages", "", []string{"chatcmpl-1"}},
		"an embedding":            {openai.Dialect, "/v1/embeddings", `{"input":"x","file_id":"file-1"}`, nil},
		"a first response":        {openai.Dialect, "/v1/responses", `{"model":"m","input":"hello"}`, nil},
		"a follow-up":             {openai.Dialect, "/v1/responses", `{"previous_response_id":"resp_1","input":"and?"}`, []string{"resp_1"}},
		"a conversation":          {openai.Dialect, "/v1/responses", `{"conversation":{"id":"conv_1"},"input":"and?"}`, []string{"conv_1"}},
		"a conversation's id":     {openai.Dialect, "/v1/responses", `{"conversation":"conv_1"}`, []string{"conv_1"}},
		"earlier items":           {openai.Dialect, "/v1/responses", `{"input":[{"type":"item_reference","id":"msg_1"},{"type":"reasoning","id":"rs_1","encrypted_content":"x"},{"role":"user","content":[{"type":"input_file","file_id":"file-1"},{"type":"input_image","file_id":"file-2"}]}]}`, []string{"file-1", "file-2", "msg_1", "rs_1", "encrypted:2d711642b726b04401627ca9fbac32f5"}},
		"tools with state":        {openai.Dialect, "/v1/responses", `{"tools":[{"type":"file_search","vector_store_ids":["vs_1","vs_2"]},{"type":"code_interpreter","container":"cntr_1"},{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-3"]}}]}`, []string{"vs_1", "vs_2", "cntr_1", "file-3"}},
		"the name of a parameter": {openai.Dialect, "/v1/responses", `{"tools":[{"type":"function","parameters":{"properties":{"file_id":{"type":"string"}}}}]}`, nil},
		"a response again":        {openai.Dialect, "/v1/responses/resp_1", "", []string{"resp_1"}},
		"a batch":                 {openai.Dialect, "/v1/batches", `{"input_file_id":"file-1","endpoint":"/v1/responses"}`, []string{"file-1"}},
		"a batch's state":         {openai.Dialect, "/openai/v1/batches/batch_1/cancel", "", []string{"batch_1"}},
		"a file of a store":       {openai.Dialect, "/v1/vector_stores/vs_1/files/file-1", "", []string{"vs_1", "file-1"}},
		"a store of files":        {openai.Dialect, "/v1/vector_stores", `{"file_ids":["file-1","file-2"]}`, []string{"file-1", "file-2"}},
		"a tuning job":            {openai.Dialect, "/v1/fine_tuning/jobs", `{"training_file":"file-1","validation_file":"file-2"}`, []string{"file-1", "file-2"}},
		"a tuning job's events":   {openai.Dialect, "/v1/fine_tuning/jobs/ftjob-1/events", "", []string{"ftjob-1"}},
		"a part of an upload":     {openai.Dialect, "/v1/uploads/upload_1/parts", "", []string{"upload_1"}},
		"an escaped path":         {openai.Dialect, "/v1/fil%65s/file%2D1/content", "", []string{"file-1"}},
		"nothing but slashes":     {openai.Dialect, "/v1/files//", "", nil},
		"a video of a video":      {openai.Dialect, "/v1/videos/edits", `{"video":{"id":"video_1"}}`, []string{"edits", "video_1"}},
		"a message":               {anthropic.Dialect, "/v1/messages", `{"messages":[{"role":"user","content":"hello"}],"metadata":{"user_id":"u"}}`, nil},
		"a message about a file":  {anthropic.Dialect, "/v1/messages", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_1"}}]}]}`, []string{"file_1"}},
		"a file to count":         {anthropic.Dialect, "/v1/messages/count_tokens", `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"file_1"}}]}]}`, []string{"file_1"}},
		"a container":             {anthropic.Dialect, "/v1/messages", `{"container":"container_1"}`, []string{"container_1"}},
		"a container with skills": {anthropic.Dialect, "/v1/messages", `{"container":{"id":"container_1","skills":[{"type":"custom","skill_id":"skill_1"}]}}`, []string{"container_1", "skill_1"}},
		"results of a batch":      {anthropic.Dialect, "/v1/messages/batches/msgbatch_1/results", "", []string{"msgbatch_1"}},
		"contents":                {gemini.Dialect, "/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"hello file"}]}]}`, nil},
		"a cached content":        {gemini.Dialect, "/v1beta/models/m:generateContent", `{"cachedContent":"cachedContents/c1"}`, []string{"cachedContents/c1"}},
		"a file by its URL":       {gemini.Dialect, "/v1beta/models/m:streamGenerateContent", `{"contents":[{"parts":[{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/f1"}}]}]}`, []string{"files/f1"}},
		"a file in snake case":    {gemini.Dialect, "/v1beta/models/m:countTokens", `{"contents":[{"parts":[{"file_data":{"file_uri":"https://x/v1beta/files/f1?alt=media"}}]}]}`, []string{"files/f1"}},
		"a video elsewhere":       {gemini.Dialect, "/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"fileData":{"fileUri":"https://www.youtube.com/watch?v=1"}}]}]}`, []string{"https://www.youtube.com/watch?v=1"}},
		"a file's state":          {gemini.Dialect, "/v1beta/files/f1", "", []string{"files/f1"}},
		"a file's bytes":          {gemini.Dialect, "/v1beta/files/f1:download", "", []string{"files/f1"}},
		"a batch of a file":       {gemini.Dialect, "/v1beta/models/m:batchGenerateContent", `{"batch":{"input_config":{"file_name":"files/f1"}}}`, []string{"files/f1"}},
		"a search in stores":      {gemini.Dialect, "/v1beta/models/m:generateContent", `{"tools":[{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/s1"]}}]}`, []string{"fileSearchStores/s1"}},
		"a next interaction":      {gemini.Dialect, "/v1beta/interactions", `{"previous_interaction_id":"v1_1"}`, []string{"interactions/v1_1"}},
		"a long operation":        {gemini.Dialect, "/v1beta/models/veo/operations/op1", "", []string{"operations/op1"}},
		"a compatible path":       {gemini.Dialect, "/v1beta/openai/batches/batch_1", "", []string{"batch_1"}},
		"a compatible chat":       {anthropic.Dialect, "/v1/chat/completions", `{"messages":[{"content":[{"file":{"file_id":"file-1"}}]}]}`, []string{"file-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			method := "POST"
			var b *dialect.Body
			if test.body != "" {
				var err error
				if b, err = dialect.Scan([]byte(test.body)); err != nil {
					t.Fatal(err)
				}
			}
			path := dialect.JudgedPath(test.path)
			op, d := dialects.Read(test.d, method, path)
			if diff := cmp.Diff(test.want, d.Refers(op, path, b)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCreates(t *testing.T) {
	for name, test := range map[string]struct {
		d                    *dialect.Dialect
		method, path, answer string
		want                 []string
	}{
		"a chat":                     {openai.Dialect, "POST", "/v1/chat/completions", `{"id":"chatcmpl-1","choices":[]}`, nil},
		"an embedding":               {openai.Dialect, "POST", "/v1/embeddings", `{"data":[{"id":"x"}]}`, nil},
		"a file":                     {openai.Dialect, "POST", "/v1/files", `{"id":"file-1","object":"file"}`, []string{"file-1"}},
		"a list":                     {openai.Dialect, "GET", "/v1/files", `{"object":"list","data":[{"id":"file-1"},{"id":"file-2"}],"first_id":"file-1"}`, []string{"file-1", "file-2"}},
		"what a file holds":          {openai.Dialect, "GET", "/v1/files/file-1/content", `{"id":"resp_of_somebody_else"}`, nil},
		"items that a client wrote":  {openai.Dialect, "GET", "/v1/responses/resp_1/input_items", `{"data":[{"id":"resp_of_somebody_else"}]}`, nil},
		"metadata of a client":       {openai.Dialect, "POST", "/v1/batches", `{"id":"batch_1","metadata":{"id":"batch_of_somebody_else"}}`, []string{"batch_1"}},
		"a batch that is done":       {openai.Dialect, "GET", "/v1/batches/batch_1", `{"id":"batch_1","input_file_id":"file-1","output_file_id":"file-2","error_file_id":null}`, []string{"batch_1", "file-2"}},
		"a tuning job that is done":  {openai.Dialect, "GET", "/v1/fine_tuning/jobs/ftjob-1", `{"id":"ftjob-1","result_files":["file-3"]}`, []string{"ftjob-1", "file-3"}},
		"an upload that is done":     {openai.Dialect, "POST", "/v1/uploads/upload_1/complete", `{"id":"upload_1","file":{"id":"file-1"}}`, []string{"upload_1", "file-1"}},
		"something deleted":          {openai.Dialect, "DELETE", "/v1/files/file-1", `{"id":"file-1","deleted":true}`, nil},
		"an unknown path":            {openai.Dialect, "POST", "/v1/hello", `{"id":"x"}`, nil},
		"no JSON":                    {openai.Dialect, "POST", "/v1/files", `<html>`, nil},
		"a response":                 {openai.Dialect, "POST", "/v1/responses", `{"id":"resp_1","status":"completed","conversation":{"id":"conv_1"},"metadata":{"id":"x"},"output":[{"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1"},{"type":"message","id":"msg_1"}]}`, []string{"resp_1", "conv_1", "ci_1", "cntr_1", "msg_1"}},
		"a message in a container":   {anthropic.Dialect, "POST", "/v1/messages", `{"id":"msg_1","content":[],"container":{"id":"container_1"}}`, []string{"container_1"}},
		"a batch of messages":        {anthropic.Dialect, "POST", "/v1/messages/batches", `{"id":"msgbatch_1","results_url":null}`, []string{"msgbatch_1"}},
		"a cached content":           {gemini.Dialect, "POST", "/v1beta/cachedContents", `{"name":"cachedContents/c1","displayName":"x"}`, []string{"cachedContents/c1"}},
		"an uploaded file":           {gemini.Dialect, "POST", "/upload/v1beta/files", `{"file":{"name":"files/f1","uri":"https://x/v1beta/files/f1"}}`, []string{"files/f1"}},
		"a list of files":            {gemini.Dialect, "GET", "/v1beta/files", `{"files":[{"name":"files/f1"},{"name":"files/f2"}],"nextPageToken":"x"}`, []string{"files/f1", "files/f2"}},
		"a batch of contents":        {gemini.Dialect, "POST", "/v1beta/models/m:batchGenerateContent", `{"name":"batches/b1","metadata":{}}`, []string{"batches/b1"}},
		"a batch of contents's file": {gemini.Dialect, "GET", "/v1beta/batches/b1", `{"name":"batches/b1","done":true,"response":{"responsesFile":"files/f1"}}`, []string{"files/f1", "batches/b1"}},
		"a video":                    {gemini.Dialect, "POST", "/v1beta/models/veo:predictLongRunning", `{"name":"models/veo/operations/o1"}`, []string{"operations/o1"}},
		"a video that is done":       {gemini.Dialect, "GET", "/v1beta/models/veo/operations/o1", `{"name":"models/veo/operations/o1","response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"https://x/v1beta/files/f1:download?alt=media"}}]}}}`, []string{"files/f1", "operations/o1"}},
		"an interaction":             {gemini.Dialect, "POST", "/v1beta/interactions", `{"id":"v1_1","status":"completed"}`, []string{"interactions/v1_1"}},
		"contents":                   {gemini.Dialect, "POST", "/v1beta/models/m:generateContent", `{"candidates":[],"name":"x"}`, nil},
		"a model":                    {gemini.Dialect, "GET", "/v1beta/models/m", `{"name":"models/m"}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			path := dialect.JudgedPath(test.path)
			op, d := dialects.Read(test.d, test.method, path)
			got := d.Creates(op, test.method, path, []byte(test.answer))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestStateOfStreams reads the ids from the events of an answer, before its
// end.
func TestStateOfStreams(t *testing.T) {
	in, err := os.ReadFile("testdata/openai/responses-text.sse")
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(in), "\n\n")
	if diff := cmp.Diff([]string{"resp_67c9fdcecf488190bdd9a0409de3a1ec"}, read(openai.Dialect, dialect.Responses, []byte(first+"\n\n")).State); diff != "" {
		t.Error("after response.created:", diff)
	}
	if diff := cmp.Diff([]string{"resp_67c9fdcecf488190bdd9a0409de3a1ec", "rs_1", "msg_1"}, read(openai.Dialect, dialect.Responses, in).State); diff != "" {
		t.Error("at the end:", diff)
	}
}

// TestStateIsBounded names thousands of ids, and nests one deeper than any
// protocol does.
func TestStateIsBounded(t *testing.T) {
	var ids []string
	for i := range 5000 {
		ids = append(ids, fmt.Sprintf(`{"type":"item_reference","id":"msg_%d","file_id":"file-%d"}`, i, i))
	}
	b, err := dialect.Scan([]byte(`{"input":[` + strings.Join(ids, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(openai.Dialect.Refers(dialect.Responses, "/v1/responses", b)); n != 128 {
		t.Errorf("%d ids of a request", n)
	}
	if n := len(openai.Dialect.Creates(dialect.Responses, "POST", "/v1/responses", []byte(`{"id":"resp_1","output":[`+strings.Join(ids, ",")+`]}`))); n != 128 {
		t.Errorf("%d ids of an answer", n)
	}
	deep, err := dialect.Scan([]byte(`{"x":` + strings.Repeat("[", 900) + `{"file_id":"file-1"}` + strings.Repeat("]", 900) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	if ids := openai.Dialect.Refers(dialect.Other, "/v1/batches", deep); len(ids) > 0 {
		t.Errorf("found %q", ids)
	}
}

func FuzzState(f *testing.F) {
	f.Add("/v1/responses", []byte(`{"input":[{"id":"msg_1","file_id":["file-1",{"id":3}]}]}`))
	f.Add("/v1beta/files/f1:download", []byte(`{"name":"files/f1","response":{"responsesFile":[]},"files":[{"name":1}]}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		b, _ := dialect.Scan(body)
		for _, d := range []*dialect.Dialect{openai.Dialect, anthropic.Dialect, gemini.Dialect} {
			path := dialect.JudgedPath(path)
			op, d := dialects.Read(d, "POST", path)
			for _, id := range append(d.Refers(op, path, b), d.Creates(op, "POST", path, body)...) {
				if id == "" || len(id) > 1<<11 {
					t.Errorf("%s: %q", d.Name, id)
				}
			}
		}
	})
}

func BenchmarkRefersOfAChat(b *testing.B) {
	body, err := dialect.Scan([]byte(`{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat(`a profile of the audio filter, \"quoted\", `, 256) + `"}]}`))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body.Raw())))
	b.ReportAllocs()
	for b.Loop() {
		if ids := openai.Dialect.Refers(dialect.Chat, "/v1/chat/completions", body); ids != nil {
			b.Fatal(ids)
		}
	}
}

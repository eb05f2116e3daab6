package dialect

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

const (
	maxState      = 128     // ids of one request or answer
	maxStateDepth = 8       // levels of a request body in which an id is looked for; content parts are at the sixth
	maxStateBody  = 4 << 20 // bytes of an answer that is searched for ids
)

// stateFacts say where a protocol names what its provider keeps for the account of an API key.
type stateFacts struct {
	// collections are the path segments behind which an id stands, as in /v1/files/file-1/content.
	collections map[string]bool

	// named are the fields of a request body that hold an id: as a string, as strings in an array, or as the "id" of
	// an object.
	named map[string]bool

	// marks are what the names of these fields have in common as far as a message may have them: one without any of
	// them names nothing, which takes microseconds to know.
	marks []string

	// made are the fields at the top of an answer that hold an id that the provider gave, in the same forms; deep are
	// the paths to further ones.
	made map[string]bool
	deep []string

	// lists are the fields at the top of an answer that hold the objects of a collection.
	lists []string

	// starts are the methods of a model that make something.
	starts map[string]bool

	// qualified says that an id is written with its collection: files/abc.
	qualified bool
}

// openAIState. Source: API reference; the paths and fields of the official SDK's resources.
var openAIState = stateFacts{
	collections: set("files", "batches", "responses", "vector_stores", "assistants", "threads", "jobs", "uploads",
		"containers", "conversations", "evals", "videos", "characters", "skills", "completions", "calls", "sessions"),
	named: set("previous_response_id", "conversation", "file_id", "file_ids", "input_file_id", "training_file", "validation_file",
		"vector_store_ids", "vector_store_id", "container", "container_id", "assistant_id", "thread_id", "eval_id",
		"skill_id", "video", "audio"),
	marks: []string{"file_id", `"audio"`},
	made:  set("id", "output_file_id", "error_file_id", "result_files", "file", "thread_id", "conversation", "container_id"),
	lists: []string{"data"},
}

// anthropicState. Source: API reference, "Files", "Message Batches", "Skills", "Code execution tool" and the official
// SDK's beta resources.
var anthropicState = stateFacts{
	collections: set("files", "batches", "skills", "agents", "sessions", "environments", "deployments", "deployment_runs",
		"memory_stores", "vaults", "dreams", "threads"),
	named: set("file_id", "container", "skill_id", "agent", "agent_id", "environment_id", "session_id", "vault_ids",
		"memory_store_id"),
	marks: []string{"file_id", "skill_id", `"container"`},
	made:  set("id"),
	lists: []string{"data"},
}

// geminiState. Source: https://ai.google.dev/api, "Files", "Caching", "Batch API", "File search", "Interactions".
var geminiState = stateFacts{
	collections: set("files", "cachedContents", "batches", "fileSearchStores", "tunedModels", "corpora", "operations", "interactions"),
	named: set("cachedContent", "cached_content", "fileUri", "file_uri", "fileName", "file_name", "fileSearchStoreNames",
		"file_search_store_names", "previous_interaction_id", "previousInteractionId"),
	marks: []string{"cachedContent", "cached_content", "fileUri", "file_uri", "ileSearchStore", "ile_search_store"},
	made:  set("name", "file", "id"),
	deep: []string{"response.responsesFile", "metadata.output.responsesFile",
		"response.generateVideoResponse.generatedSamples.#.video.uri"},
	starts:    set("batchGenerateContent", "asyncBatchEmbedContent", "predictLongRunning"),
	lists:     []string{"files", "cachedContents", "batches", "operations", "fileSearchStores", "tunedModels"},
	qualified: true,
}

func set(words ...string) map[string]bool {
	m := make(map[string]bool, len(words))
	for _, w := range words {
		m[w] = true
	}
	return m
}

// Refers returns the ids of what the provider is to keep already for a request to be served, those of the path first:
// files, batches, responses, conversations, vector stores, containers, cached contents and so on. Such things belong to
// the account of the API key that made them, so of several keys only that one will do. b may be nil. An ordinary chat
// costs a search of its bytes for a few words; with a single API key there is no reason to ask.
//
// What is named there is the client's claim, and it may well be nobody's id. At most 128 are returned.
func (d *Dialect) Refers(op Operation, path string, b *Body) []string {
	facts := d.stateAt(op, path)
	ids := found{facts: facts}
	ids.path(path)
	switch op {
	case Other, Responses:
	case Chat, Messages, Generate, CountTokens:
		if b == nil || !slices.ContainsFunc(facts.marks, func(mark string) bool { return bytes.Contains(b.raw, []byte(mark)) }) {
			return ids.list
		}
	default:
		return ids.list
	}
	if b == nil {
		return ids.list
	}
	ids.in(jsonscan.View(b.raw), 0)
	if op == Responses {
		b.Get("input").ForEach(func(_, item gjson.Result) bool { // items of earlier answers, whole or {"type":"item_reference"}
			ids.add(item.Get("id"))
			return true
		})
	}
	return ids.list
}

// Creates returns the ids that the answer to a successful request gave to what the provider keeps, or told anew: those
// of a created, fetched or listed object, and those of the files that a batch or a job has written. Only places that
// the provider fills are looked at, never what an answer repeats of its request, so that no client can give an id out
// as its own. Of a stream, and of answers that are read anyway, [Answer.State] has them.
func (d *Dialect) Creates(op Operation, method, path string, answer []byte) []string {
	switch {
	case method == "DELETE" || method == "HEAD" || len(answer) > maxStateBody:
		return nil
	case op == Responses || op == Chat || op == Messages:
		var a Answer
		if d.Body(op, &a, answer) != nil {
			return nil
		}
		return a.State
	case op != Other:
		return nil
	}
	facts := d.stateAt(op, path)
	within, own := facts.place(path)
	if !within || !jsonscan.Valid(answer) {
		return nil
	}
	ids := found{facts: facts}
	root := jsonscan.View(answer)
	for _, deep := range facts.deep {
		ids.value(root.Get(deep))
	}
	root.ForEach(func(k, v gjson.Result) bool {
		switch {
		case facts.made[k.Str]:
			ids.value(v)
		case own && v.IsArray() && slices.Contains(facts.lists, k.Str):
			ids.value(v)
		}
		return true
	})
	return ids.list
}

// stateAt returns the facts for a path: on an OpenAI-compatible one of any provider they are OpenAI's.
func (d *Dialect) stateAt(op Operation, path string) *stateFacts {
	if op != Other && op.openAI() || d.compatible != nil && strings.Contains(path, "/openai/") {
		return &openAIState
	}
	return d.state
}

// place reports whether a path is within a collection, and whether it is that of the collection itself and not of one
// of its objects. The content of a file is no answer of the provider's: whoever uploaded it chose what is in there.
func (f *stateFacts) place(path string) (within, own bool) {
	path, verb, _ := strings.Cut(strings.TrimSuffix(plainPath(path), "/"), ":")
	if verb != "" && f.starts[verb] {
		return true, false
	}
	_, last := cutLast(path)
	if last == "content" || last == "results" || verb == "download" {
		return false, false
	}
	for segment := range strings.SplitSeq(path, "/") {
		if within {
			return true, false
		}
		within = f.collections[segment]
	}
	return within, within
}

// found gathers ids, each once.
type found struct {
	facts *stateFacts
	list  []string
}

// path takes the ids that follow collections in a path.
func (f *found) path(path string) {
	path, _, _ = strings.Cut(plainPath(path), ":")
	collection := ""
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case collection != "" && segment != "":
			if f.facts.qualified {
				segment = collection + "/" + segment
			}
			f.id(segment)
			collection = ""
		case f.facts.collections[segment]:
			collection = segment
		}
	}
}

// in looks for named fields in v and below.
func (f *found) in(v gjson.Result, depth int) {
	if depth == maxStateDepth || len(f.list) == maxState || !v.IsObject() && !v.IsArray() {
		return
	}
	array := v.IsArray()
	v.ForEach(func(k, v gjson.Result) bool {
		if !array && f.facts.named[k.Str] {
			f.value(v)
		}
		f.in(v, depth+1)
		return true
	})
}

// value takes an id, the id of an object, or an array of these.
func (f *found) value(v gjson.Result) {
	switch {
	case v.IsArray():
		v.ForEach(func(_, v gjson.Result) bool {
			if v.IsObject() {
				f.object(v)
			} else {
				f.add(v)
			}
			return len(f.list) < maxState
		})
	case v.IsObject():
		f.object(v)
	default:
		f.add(v)
	}
}

func (f *found) object(v gjson.Result) {
	if f.facts.qualified {
		f.add(v.Get("name"))
	} else {
		f.add(v.Get("id"))
	}
}

// add takes a string.
func (f *found) add(v gjson.Result) {
	s := jsonscan.String(v)
	if s != "" && f.facts.qualified {
		s = f.facts.qualify(s)
	}
	f.id(s)
}

func (f *found) id(s string) {
	if s == "" || len(s) > maxName || len(f.list) == maxState || slices.Contains(f.list, s) {
		return
	}
	f.list = append(f.list, strings.Clone(s))
}

// qualify writes a name or a URL as collection/id: …/v1beta/files/abc:download as files/abc. The only ids without a
// collection are those of interactions.
func (f *stateFacts) qualify(s string) string {
	if !strings.Contains(s, "/") {
		return "interactions/" + s
	}
	last := ""
	for segment := range strings.SplitSeq(s, "/") {
		if i := strings.IndexAny(segment, ":?"); i >= 0 {
			segment = segment[:i]
		}
		if f.collections[last] && segment != "" {
			return last + "/" + segment
		}
		last = segment
	}
	return s
}

// made takes note of an id that the provider gave out in an answer.
func (a *Answer) made(v gjson.Result) {
	s := jsonscan.String(v)
	if s == "" || len(s) > maxName || len(a.State) == maxState || slices.Contains(a.State, s) {
		return
	}
	a.State = append(a.State, strings.Clone(s))
}

// madeConversation takes the id of the conversation that a response was added to: {"id":…}.
func (a *Answer) madeConversation(v gjson.Result) { a.made(v.Get("id")) }

// madeItem takes the ids of an output item: its own, which later requests refer to instead of repeating it, and that
// of the container in which its code ran.
func (a *Answer) madeItem(item gjson.Result) {
	a.made(item.Get("id"))
	a.made(item.Get("container_id"))
}

package dialect

// Operation is what a request asks for, as far as the gateway cares. It is the
// same for a thing that several dialects have, each in its own form.
type Operation string

// The operations, with the paths of the dialects that name them.
const (
	Other        Operation = ""              // known to cost nothing: lists, stored objects, deletions
	Unknown      Operation = "unknown"       // a path that no dialect knows: it may cost anything
	Chat         Operation = "chat"          // POST …/chat/completions
	Completion   Operation = "completion"    // POST …/completions
	Embedding    Operation = "embedding"     // POST …/embeddings
	Responses    Operation = "responses"     // POST …/responses
	Moderation   Operation = "moderation"    // POST …/moderations
	Image        Operation = "image"         // POST …/images/generations
	ImageEdit    Operation = "image_edit"    // POST …/images/edits and …/images/variations, multipart
	Speech       Operation = "speech"        // POST …/audio/speech
	Audio        Operation = "audio"         // POST …/audio/transcriptions and translations, multipart
	Models       Operation = "models"        // GET …/models and …/models/ID
	Messages     Operation = "messages"      // Anthropic: POST …/messages
	CountTokens  Operation = "count_tokens"  // Anthropic: POST …/messages/count_tokens, Gemini: …:countTokens
	Generate     Operation = "generate"      // Gemini: POST …:generateContent and …:streamGenerateContent
	EmbedContent Operation = "embed_content" // Gemini: POST …:embedContent and …:batchEmbedContents
	Rerank       Operation = "rerank"        // POST …/rerank
	Realtime     Operation = "realtime"      // a response on a WebSocket: GET …/realtime, Gemini: …BidiGenerateContent
	Video        Operation = "video"         // POST …/videos and …/videos/ID/remix, Gemini: POST …:predictLongRunning
)

// Parsed reports whether the request body of the operation is JSON, whatever
// its type is declared to be. That of others may be JSON, a form or a file.
func (op Operation) Parsed() bool {
	switch op {
	case Other, Unknown, Audio, ImageEdit, Video, Models:
		return false
	}
	return true
}

// AnswersText reports whether a model answers the operation in text, as long as
// it likes. A complete answer of this kind has a finish reason.
func (op Operation) AnswersText() bool {
	switch op {
	case Chat, Completion, Responses, Messages, Generate, Realtime:
		return true
	}
	return false
}

// Embeds reports whether the operation is answered with vectors.
func (op Operation) Embeds() bool { return op == Embedding || op == EmbedContent }

// Generates reports whether a model works for the operation. Providers limit
// the rate of these requests.
func (op Operation) Generates() bool {
	switch op {
	case Other, Models, CountTokens:
		return false
	}
	return true
}

// RunsModel reports whether a model is asked, also if that is free.
func (op Operation) RunsModel() bool { return op != Other && op != Models }

// Paid reports whether usage of the operation costs money.
func (op Operation) Paid() bool { return op.Generates() && op != Moderation }

// OpenAI reports whether answers of the operation have OpenAI's form in every
// dialect.
func (op Operation) OpenAI() bool {
	switch op {
	case Messages, CountTokens, Generate, EmbedContent, Realtime:
		return false
	}
	return true
}

// Operation returns what a request asks for in the protocol's own paths, and
// Unknown for all others. path is a judged one on the upstream's side, after
// the route prefix. Base paths before the API's own (/v1, /openai/v1,
// /openai/deployments/X, /v1beta/openai) are tolerated.
func (d *Dialect) Operation(method, path string) Operation {
	folded := Fold(path)
	return d.Paths.Find(method, &folded).Operation
}

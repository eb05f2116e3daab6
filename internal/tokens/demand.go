package tokens

import (
	"strconv"

	"forward/internal/dialect"
	"forward/internal/jsonscan"
)

// Demand is what a request asks for, in tokens. Neither number is ever negative
// or above 2^53.
type Demand struct {
	Prompt     int64
	Completion int64 // the most that may be answered in all choices, 0 when the request sets no limit
	Exact      bool  // Prompt follows from the provider's published rules; otherwise it is an estimate
}

// Prompt counts the tokens of a request: by the provider's published rules
// where there are any, otherwise by o200k_base and the approximations described
// at the functions of each dialect. It fails for no request and no model; a nil
// body (as of a multipart upload) demands nothing.
//
// Text is counted exactly up to MaxExact bytes per request and sampled beyond,
// and nothing that is encoded in base64 is counted as text. Of a key that
// occurs twice both values count, because it is unknown which of them the
// upstream reads.
func Prompt(op dialect.Operation, model string, body *dialect.Body) Demand {
	if body == nil {
		return Demand{}
	}
	return newTally(model, len(body.Raw())).demand(op, model, body)
}

// Bound is an upper bound of Prompt: it takes each byte of text for a token and
// looks nothing up. For prose it is a few times as much as Prompt.
func Bound(op dialect.Operation, model string, body *dialect.Body) Demand {
	if body == nil {
		return Demand{}
	}
	return newBound(model).demand(op, model, body)
}

// demand reads a request and releases the tally.
func (t *tally) demand(op dialect.Operation, model string, body *dialect.Body) Demand {
	defer t.release()
	r := request{tally: t, model: baseName(model), answers: 1, prompts: 1}
	if !r.read(op, view(body.Raw())) {
		return Demand{}
	}
	return Demand{Prompt: t.total(), Completion: times(times(r.limit, r.answers), r.prompts), Exact: !t.inexact}
}

// read adds all of a request. It reports false for operations that cost no
// tokens, like counting them.
func (r *request) read(op dialect.Operation, json string) bool {
	switch op {
	case dialect.Chat:
		r.chat(json)
	case dialect.Responses:
		r.responses(json)
	case dialect.Completion, dialect.Embedding, dialect.Moderation, dialect.Image, dialect.Speech:
		r.single(op, json)
	case dialect.Messages:
		r.messages(json)
	case dialect.Generate, dialect.EmbedContent:
		r.gemini(json)
	default:
		return false
	}
	return true
}

// request is a request while it is read.
type request struct {
	*tally
	model   string // without "openai/" and "ft:"
	limit   int64  // tokens of one answer
	firm    bool   // limit came from the key that wins over others
	answers int64  // per prompt
	prompts int64
	system  bool // there is a system message
}

// option reads the keys that limit the answer, in OpenAI's and Anthropic's
// spelling. As in dialect.Request max_completion_tokens wins over max_tokens.
func (r *request) option(key, value string) {
	switch key {
	case "max_completion_tokens":
		if n := amount(value); n > 0 {
			r.limit, r.firm = n, true
		}
	case "max_tokens", "max_output_tokens":
		if n := amount(value); n > 0 && !r.firm {
			r.limit = n
		}
	case "n", "best_of":
		r.answers = max(r.answers, amount(value))
	}
}

// amount reads a JSON number of things; anything else and negative numbers are
// 0.
func amount(value string) int64 {
	if value == "" || (value[0] != '-' && (value[0] < '0' || value[0] > '9')) {
		return 0
	}
	f, err := strconv.ParseFloat(value, 64)
	switch {
	case f > maxTokens:
		return maxTokens
	case err != nil || !(f > 0):
		return 0
	}
	return int64(f)
}

// single reads the requests whose text is one key: completions, embeddings,
// moderations, images and speech. A prompt may be a text, a list of texts, a
// list of token ids or a list of such lists (OpenAI's API reference, "Create
// completion" and "Create embeddings"). What a provider counts for moderations,
// images and speech is not published.
func (r *request) single(op dialect.Operation, json string) {
	if op != dialect.Completion && op != dialect.Embedding {
		r.inexact = true
	}
	for c := jsonscan.WalkString(json); c.Next(); {
		switch c.Key {
		case "prompt", "input":
			r.prompts = max(r.prompts, r.input(c.Raw()))
		case "suffix", "instructions":
			r.string(c.Raw())
		default:
			r.option(c.Key, c.Raw())
		}
	}
}

// input adds a text, texts or token ids, and returns how many prompts they are.
func (r *request) input(value string) (prompts int64) {
	if !jsonscan.IsArray(value) {
		r.string(value)
		return 1
	}
	ids := int64(0)
	for c := jsonscan.WalkString(value); c.Next(); {
		switch {
		case jsonscan.IsString(c.Raw()):
			r.string(c.Raw())
			prompts++
		case jsonscan.IsArray(c.Raw()):
			for id := c.Enter(); id.Next(); {
				ids++
			}
			prompts++
		case jsonscan.IsObject(c.Raw()): // moderations of pictures: {"type":"text","text":…}
			r.part(c.Raw())
		default:
			ids++
		}
	}
	r.add(ids)
	return max(prompts, 1)
}

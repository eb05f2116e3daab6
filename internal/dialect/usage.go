package dialect

import (
	"math"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// Usage is read by its shape and not by the provider that an answer is expected
// from: behind one base URL there may be any server, and the numbers are money.
// Each member is known by its name, whichever object it stands in, and the sums
// decide what the names leave open, such as whether reasoning is part of the
// output or beside it. What does not add up is counted as the larger of what it
// may be, so that the ledger is never below the provider's bill.

// ReadUsage reads a usage object of any provider. ok is false for values that
// count nothing.
func ReadUsage(v gjson.Result) (u Usage, ok bool) {
	r := readUsage(v)
	return r.Usage, r.found
}

// A usageReader collects the members of a usage object. Its Usage is complete
// after add.
type usageReader struct {
	Usage
	found    bool
	tier     string
	produces bool // names its output

	tools          int64 // prompt tokens that tools added, beside Input
	thoughts       int64 // reasoning beside Output, unless the total denies it
	byKind         kinds // of Input
	byKindOut      kinds // of Output
	beside         bool  // the cached tokens are not part of Input
	within         bool  // they are
	fiveMinutes    int64 // parts of CachedWrite
	rounds         gjson.Result
	cost, upstream float64 // in dollars: the provider's amount, and what its own provider takes beside it
	ownKey         bool    // upstream is paid too
}

// kinds are the parts of a count by modality, which add up to it.
type kinds struct{ all, audio int64 }

func readUsage(v gjson.Result) usageReader {
	var r usageReader
	if !v.IsObject() {
		return r
	}
	for w := jsonscan.WalkValue(v); w.Next(); {
		if !r.count(&w) {
			r.term(&w)
		}
	}
	r.add()
	return r
}

// most raises a count to that of a member.
func (r *usageReader) most(count *int64, w *jsonscan.Walker) {
	v := w.Value()
	r.found = r.found || v.Type == gjson.Number
	*count = max(*count, jsonscan.Count(v))
}

// count reads a member that counts tokens or seconds, and reports whether it is
// one. Sources: the API references of the providers; what is named by one of
// them only has its name beside it.
func (r *usageReader) count(w *jsonscan.Walker) bool {
	switch w.Key {
	case "prompt_tokens", "promptTokenCount", "prompt_token_count", "total_input_tokens",
		"prompt_eval_count", "tokens_evaluated", "inputTextTokenCount": // Ollama, llama.cpp, Titan
		r.most(&r.Input, w)
		r.within = true
	case "input_tokens", "inputTokens", "inputTokenCount":
		r.most(&r.Input, w)
	case "completion_tokens", "output_tokens", "outputTokens", "outputTokenCount", "total_output_tokens",
		"candidatesTokenCount", "candidates_token_count", "responseTokenCount",
		"eval_count", "tokens_predicted", "generation_token_count": // Ollama, llama.cpp, Llama on Bedrock
		r.produces = true
		r.most(&r.Output, w)
	case "total_tokens", "totalTokens", "totalTokenCount", "total_token_count":
		r.most(&r.Total, w)
	case "cached_tokens", "prompt_cache_hit_tokens", "total_cached_tokens", "cachedContentTokenCount", "cached_content_token_count":
		r.most(&r.CachedRead, w)
	case "cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount":
		r.most(&r.CachedRead, w)
		r.beside = true
	case "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount":
		r.most(&r.CachedWrite, w)
		r.beside = true
	case "cache_creation":
		v := w.Value()
		r.CachedWriteHour = jsonscan.Count(v.Get("ephemeral_1h_input_tokens"))
		r.fiveMinutes = jsonscan.Count(v.Get("ephemeral_5m_input_tokens"))
	case "toolUsePromptTokenCount", "tool_use_prompt_token_count", "total_tool_use_tokens":
		r.most(&r.tools, w)
	case "thoughtsTokenCount", "thoughts_token_count", "total_thought_tokens":
		r.most(&r.thoughts, w)
	case "reasoning_tokens":
		r.most(&r.Reasoning, w)
	case "prompt_tokens_details", "input_tokens_details", "input_token_details", "promptTokensDetails", "prompt_tokens_details_list":
		r.details(&r.byKind, w)
	case "toolUsePromptTokensDetails":
		var k kinds
		r.details(&k, w)
		r.byKind.audio += k.audio
	case "completion_tokens_details", "output_tokens_details", "output_token_details", "candidatesTokensDetails", "responseTokensDetails":
		r.details(&r.byKindOut, w)
	case "seconds", "prompt_audio_seconds": // {"type":"duration","seconds":…}, Mistral
		v := w.Value()
		r.found = r.found || v.Type == gjson.Number
		r.Seconds = max(r.Seconds, jsonscan.Seconds(v))
	case "billed_units", "tokens": // Cohere: what is billed, and what was read for it
		r.billed(w)
	default:
		return false
	}
	return true
}

// details reads the parts of a count: an object of OpenAI's, or Gemini's list
// of {modality, tokenCount}.
func (r *usageReader) details(k *kinds, w *jsonscan.Walker) {
	if w.First() == '[' {
		w.Value().ForEach(func(_, d gjson.Result) bool {
			n := jsonscan.Count(d.Get("tokenCount"))
			k.all += n
			if jsonscan.String(d.Get("modality")) == "AUDIO" {
				k.audio += n
			}
			return true
		})
		return
	}
	if w.First() != '{' {
		return
	}
	in := w.Enter()
	for in.Next() {
		switch in.Key {
		case "cached_tokens":
			r.CachedRead = max(r.CachedRead, jsonscan.Count(in.Value()))
			r.within = true
		case "cache_write_tokens", "cache_creation_tokens": // OpenRouter, LiteLLM
			r.CachedWrite = max(r.CachedWrite, jsonscan.Count(in.Value()))
		case "reasoning_tokens", "thinking_tokens":
			r.Reasoning = max(r.Reasoning, jsonscan.Count(in.Value()))
		case "audio_tokens":
			n := jsonscan.Count(in.Value())
			k.audio += n
			k.all += n
		case "text_tokens", "image_tokens", "video_tokens":
			k.all += jsonscan.Count(in.Value())
		}
	}
	w.Leave(&in)
}

// billed reads the counts of Cohere. What it bills goes before what it read.
func (r *usageReader) billed(w *jsonscan.Walker) {
	units := w.Key == "billed_units"
	v := w.Value()
	input, output := v.Get("input_tokens"), v.Get("output_tokens")
	if input.Exists() || output.Exists() {
		r.found = true
		r.produces = r.produces || output.Exists()
		if units || r.Input+r.Output == 0 {
			r.Input = jsonscan.Count(input)
			r.Output = jsonscan.Count(output)
		}
	}
	if units {
		r.fee("search_unit", v.Get("search_units"))
		r.fee("classification", v.Get("classifications"))
	}
}

// term reads a member that changes or adds to the price.
func (r *usageReader) term(w *jsonscan.Walker) {
	switch w.Key {
	case "service_tier", "serviceTier":
		r.tier = jsonscan.String(w.Value())
	case "speed":
		r.Terms.Speed = ordinary(w, "standard")
	case "inference_geo":
		r.Terms.Geo = ordinary(w, "global", "not_available")
	case "server_tool_use", "server_side_tool_usage_details": // Anthropic and OpenRouter; xAI
		w.Value().ForEach(func(k, n gjson.Result) bool {
			name := strings.TrimSuffix(strings.TrimSuffix(k.Str, "_requests"), "_calls")
			if name != "web_fetch" { // costs the tokens that it reads, and nothing beside them
				r.fee(name, n)
			}
			return true
		})
	case "num_sources_used": // xAI
		r.fee("live_search", w.Value())
	case "iterations":
		r.rounds = w.Value()
	case "cost", "estimated_cost": // OpenRouter; Perplexity, in parts; DeepInfra
		v := w.Value()
		if v.IsObject() {
			v = v.Get("total_cost")
		}
		r.report(&r.cost, v)
	case "cost_in_usd_ticks": // xAI: 10^10 of them are a dollar
		v := w.Value()
		v.Num /= 1e10
		r.report(&r.cost, v)
	case "cost_details": // OpenRouter
		r.upstream = jsonscan.Seconds(w.Value().Get("upstream_inference_cost"))
	case "is_byok": // our key of the provider behind OpenRouter pays that provider too
		r.ownKey = w.First() == 't'
	}
}

func (r *usageReader) report(amount *float64, v gjson.Result) {
	if v.Type == gjson.Number && v.Num >= 0 {
		r.found = true
		r.Terms.HasReported = true
		*amount = v.Num
	}
}

// fee notes calls of a tool.
func (r *usageReader) fee(name string, n gjson.Result) {
	if count := jsonscan.Count(n); count > 0 {
		r.found = true
		r.Terms.Fees = moreFees(r.Terms.Fees, Fee{Name: name, Count: count})
	}
}

// moreFees adds a fee. Of two counts of one tool, which come from different
// places of an answer, the larger one is taken.
func moreFees(fees []Fee, f Fee) []Fee {
	for i := range fees {
		if fees[i].Name == f.Name {
			fees[i].Count = max(fees[i].Count, f.Count)
			return fees
		}
	}
	if len(fees) == maxFees {
		return fees
	}
	return append(fees, Fee{Name: clip(f.Name, maxName), Count: f.Count})
}

// maxFees bounds the tools of an answer that are counted.
const maxFees = 32

// ordinary returns a word, and "" for those that leave the price as it is.
func ordinary(w *jsonscan.Walker, words ...string) string {
	s := jsonscan.String(w.Value())
	if slices.Contains(words, s) {
		return ""
	}
	return clip(s, maxName)
}

// add works out the sums.
func (r *usageReader) add() {
	r.CachedWrite = max(r.CachedWrite, r.CachedWriteHour+r.fiveMinutes)
	r.Input = max(r.Input, r.byKind.all)
	r.Output = max(r.Output, r.byKindOut.all)
	if cached := r.CachedRead + r.CachedWrite; (r.beside && !r.within) || cached > r.Input {
		r.Input += cached
	}
	r.Input += r.tools
	if r.thoughts > 0 {
		r.Reasoning = max(r.Reasoning, r.thoughts)
		if r.Total != r.Input+r.Output || r.thoughts > r.Output {
			r.Output += r.thoughts
		}
	}
	r.addRest()
	if r.Reasoning > r.Output {
		r.Output += r.Reasoning
	}
	r.AudioOutput = r.byKindOut.audio
	r.Audio = r.byKind.audio + r.byKindOut.audio
	r.addRounds()
	r.Total = max(r.Total, r.Input+r.Output)
	if r.Terms.HasReported {
		if r.ownKey {
			r.cost += r.upstream
		}
		r.Terms.Reported = int64(math.Ceil(min(r.cost, 1e6) * 1e9 * (1 - 1e-12))) // a nano-dollar is not to come out of a float's last digit
	}
}

// addRest assigns what the total has more than its parts: to what is known to
// be left out by its exact number, and else to the output, which is dearer.
func (r *usageReader) addRest() {
	rest := r.Total - r.Input - r.Output
	cached := r.CachedRead + r.CachedWrite
	switch {
	case rest <= 0:
	case rest == cached && rest != r.Reasoning:
		r.Input += rest
	default:
		r.Output += rest
	}
}

// addRounds adds the rounds of sampling that the counts leave out: of
// Anthropic's iterations these are the compactions. Those of the message are
// what the counts consist of, and a fallback that declined is not billed. Any
// other type may be billed, also as another model.
func (r *usageReader) addRounds() {
	r.rounds.ForEach(func(_, round gjson.Result) bool {
		switch kind := jsonscan.String(round.Get("type")); {
		case kind == "message" || strings.HasPrefix(kind, "fallback"):
		case kind == "compaction":
			c := readUsage(round)
			r.Input += c.Input
			r.Output += c.Output
			r.CachedRead += c.CachedRead
			r.CachedWrite += c.CachedWrite
			r.CachedWriteHour += c.CachedWriteHour
			r.Reasoning += c.Reasoning
		default:
			if c := readUsage(round); c.Total > 0 {
				r.Terms.Doubt = "the usage has a round of type " + clip(kind, 64) + ", whose price is not known"
			}
		}
		return true
	})
}

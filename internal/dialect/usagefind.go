package dialect

import (
	"bytes"
	"slices"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// Where usage stands in an answer.
var (
	usageNames = []string{"usage", "usageMetadata", "usage_metadata", "amazon-bedrock-invocationMetrics"}
	flatNames  = []string{"prompt_eval_count", "eval_count", "tokens_evaluated", "tokens_predicted",
		"prompt_token_count", "generation_token_count", "inputTextTokenCount", "billed_units"}
)

// FindUsage looks for usage in an answer of any provider, or in one event of
// it: at the top, beside other members, and one level down (response.usage,
// message.usage, choices[].usage, x_groq.usage, meta.billed_units).
func FindUsage(root gjson.Result) (usage gjson.Result, ok bool) {
	if usage, ok = usageOf(root); ok {
		return usage, true
	}
	for w := jsonscan.WalkValue(root); w.Next(); {
		first := w.First()
		if w.Key == "metadata" || (first != '{' && first != '[') || !mayCount([]byte(w.Raw())) {
			continue
		}
		each(w.Value(), func(item gjson.Result) {
			if found, is := usageOf(item); is {
				usage, ok = found, true
			}
		})
	}
	return usage, ok
}

// each calls f for the items of an array, or for the value itself.
func each(v gjson.Result, f func(gjson.Result)) {
	if !v.IsArray() {
		f(v)
		return
	}
	for w := jsonscan.WalkValue(v); w.Next(); {
		if w.First() == '{' {
			f(w.Value())
		}
	}
}

// mayCount reports whether usage may be in a value. Chunks of a chat that is to
// report its usage in the last one have "usage":null, which is none.
func mayCount(json []byte) bool {
	for rest := json; ; {
		_, after, ok := bytes.Cut(rest, usageMark)
		if !ok {
			break
		}
		if !bytes.HasPrefix(after, noUsage) {
			return true
		}
		rest = after
	}
	for _, mark := range marks {
		if bytes.Contains(json, mark) {
			return true
		}
	}
	return false
}

// usageMark, which noUsage may follow, and marks are parts of the names under
// which usage stands.
var (
	usageMark = []byte(`"usage`)
	noUsage   = []byte(`":null`)
	marks     = [][]byte{[]byte(`"billed_units"`), []byte(`_count"`), []byte(`"tokens_`), []byte(`TokenCount"`), []byte(`invocationMetrics"`)}
)

// usageOf returns the usage object of an object, or one of the counts that
// stand in it.
func usageOf(v gjson.Result) (usage gjson.Result, ok bool) {
	var flat []byte
	for w := jsonscan.WalkValue(v); w.Next(); {
		switch {
		case slices.Contains(usageNames, w.Key):
			if w.First() == '{' {
				usage, ok = w.Value(), true
			}
		case slices.Contains(flatNames, w.Key):
			flat = append(jsonscan.AppendString(append(flat, ','), w.Key), ':')
			flat = append(flat, w.Raw()...)
		}
	}
	if ok || flat == nil || len(flat) > maxUsage {
		return usage, ok
	}
	flat[0] = '{'
	return gjson.ParseBytes(append(flat, '}')), true
}

// TakeUsage sets the usage to what an object counts, if it is one. Of several
// the last one counts, unless it counts nothing.
func (a *Answer) TakeUsage(v gjson.Result) {
	r := readUsage(v)
	if !r.found || (a.Usage != nil && r.Total == 0 && r.Seconds == 0 && !r.Terms.HasReported && len(r.Terms.Fees) == 0) {
		return
	}
	if r.tier != "" {
		a.Tier = clip(r.tier, maxName)
	}
	if !r.produces && a.op.readsOnly() {
		r.Input += r.Output
		r.Output = 0
	}
	a.SetUsage(r.Usage, v.Raw)
}

// MergeUsage is TakeUsage where usage is cumulative and comes in parts:
// Anthropic's message_start reports the input, message_delta the output so far
// and, in newer versions, the input again. What an object does not name stays
// as it was.
func (a *Answer) MergeUsage(v gjson.Result) {
	if !v.IsObject() {
		return
	}
	if a.Usage != nil && len(a.Usage.Raw) > 0 {
		v = gjson.Parse(mergeObjects(string(a.Usage.Raw), v.Raw))
	}
	a.TakeUsage(v)
}

// mergeObjects lays the members of over, except null, empty ones and zeros,
// above those of base: counts do not shrink, and some servers repeat with 0
// what they have reported before.
func mergeObjects(base, over string) string {
	type member struct{ key, value string }
	var all []member
	for _, raw := range []string{base, over} {
		for w := jsonscan.WalkString(raw); w.Next(); {
			value := w.Raw()
			i := slices.IndexFunc(all, func(m member) bool { return m.key == w.Key })
			switch {
			case i < 0:
				all = append(all, member{w.Key, value})
			case value == "null":
			case all[i].value != "null" && (value == "{}" || value == "[]" || value == "0"):
			case jsonscan.IsObject(value) && jsonscan.IsObject(all[i].value):
				all[i].value = mergeObjects(all[i].value, value)
			default:
				all[i].value = value
			}
		}
	}
	out := []byte{'{'}
	for i, m := range all {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(jsonscan.AppendString(out, m.key), ':')
		out = append(out, m.value...)
	}
	return string(append(out, '}'))
}

// readsOnly reports whether the operation generates no tokens, so that all of a
// total are of the prompt.
func (op Operation) readsOnly() bool { return op.Embeds() || op == Rerank || op == Moderation }

// SearchUsage takes the usage that is anywhere in an answer or in an event of
// it, see FindUsage. Which protocol it is of is not known, so it may come in
// parts.
func (a *Answer) SearchUsage(root gjson.Result) {
	if v, ok := FindUsage(root); ok {
		a.MergeUsage(v)
	}
}

// describe reads what an answer, or an event, reports of itself in any
// protocol: where no dialect knows the operation there is nothing else to read.
func (a *Answer) describe(root gjson.Result) {
	if !root.IsObject() {
		return
	}
	for _, v := range []gjson.Result{root, root.Get("response"), root.Get("message"), root.Get("result")} {
		if !v.IsObject() {
			continue
		}
		a.Identify(jsonscan.String(v.Get("id")), jsonscan.String(v.Get("model")))
		a.Identify(jsonscan.String(v.Get("responseId")), jsonscan.String(v.Get("modelVersion")))
		a.SetTier(v.Get("service_tier"))
		a.AddState(v.Get("id"))
	}
	a.Fail(root.Get("error"))
	a.SearchUsage(root)
}

// AddFee adds n calls of a tool that the provider ran, where they are seen in
// the answer and not in its usage.
func (a *Answer) AddFee(name string, n int64) {
	for _, f := range a.Fees {
		if f.Name == name {
			n += f.Count
		}
	}
	a.RaiseFee(name, n)
}

// RaiseFee is AddFee where the calls may have been counted before: of two
// counts the larger one stays.
func (a *Answer) RaiseFee(name string, n int64) {
	a.Fees = moreFees(a.Fees, Fee{Name: name, Count: n})
	a.payFees()
}

// payFees brings what was counted into the usage, once there is one.
func (a *Answer) payFees() {
	if a.Usage == nil {
		return
	}
	for _, f := range a.Fees {
		a.Usage.Terms.Fees = moreFees(a.Usage.Terms.Fees, f)
	}
}

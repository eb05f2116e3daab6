package dialect

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/form"
	"forward/internal/jsonscan"
)

// FormBody returns the kept fields of a form as the JSON object that asks for
// the same, so that all that reads a request reads forms too. Numbers, true and
// false are written as JSON has them, JSON objects are taken as they are, and
// fields of a list (models[]) have the name of the list. It fails like [Scan],
// for instance if the form has two models.
func FormBody(fields []form.Field) (*Body, error) {
	object := []byte{'{'}
	for _, f := range fields {
		if !f.Kept {
			continue
		}
		if len(object) > 1 {
			object = append(object, ',')
		}
		name, _, _ := strings.Cut(f.Name, "[")
		object = append(jsonscan.AppendString(object, name), ':')
		object = appendField(object, f)
	}
	return Scan(append(object, '}'))
}

// appendField appends the value of a field as JSON.
func appendField(dst []byte, f form.Field) []byte {
	if form.Names(f.Name, "model") {
		return jsonscan.AppendString(dst, f.Value)
	}
	if f.Value == "true" || f.Value == "false" {
		return append(dst, f.Value...)
	}
	if n, err := strconv.ParseInt(f.Value, 10, 64); err == nil && strconv.FormatInt(n, 10) == f.Value {
		return append(dst, f.Value...)
	}
	if strings.HasPrefix(f.Value, "{") && jsonscan.Valid([]byte(f.Value)) {
		return append(dst, f.Value...)
	}
	return jsonscan.AppendString(dst, f.Value)
}

// places are where a request body names a model that it runs: the names of the
// members from the top, with lists passed over. Sources: OpenAI's API reference
// (realtime sessions, evals, graders, hosted tools), OpenRouter's ("models",
// plugins), Anthropic's (fallbacks), LiteLLM's and Vercel's gateways
// (fallbacks, providerOptions).
var places = [][]string{
	{"model"}, // the first one: see Models
	{"models"},
	{"fallbacks"},
	{"fallbacks", "model"},
	{"session", "model"},
	{"session", "input_audio_transcription", "model"},
	{"session", "audio", "input", "transcription", "model"},
	{"input_audio_transcription", "model"},
	{"audio", "input", "transcription", "model"},
	{"response", "model"},
	{"data_source", "model"},
	{"grader", "model"},
	{"testing_criteria", "model"},
	{"tools", "model"},
	{"plugins", "model"},
	{"plugins", "models"},
	{"setup", "model"},
	{"generateContentRequest", "model"},
	{"requests", "model"},
	{"requests", "params", "model"},
	{"providerOptions", "gateway", "models"},
}

// Models calls visit with every model that the body names, in order and by
// whatever spelling of a member a decoder could take for the right one, until
// it returns false. A value that is no name is given as it is written. Names
// alias Raw. inPath is true if the path names the model: servers that have it
// there do not read the one at the top of the body.
func (b *Body) Models(inPath bool, visit func(model string) bool) {
	n := named{visit: visit}
	from := places
	if inPath {
		from = places[1:]
	}
	for i := range b.fields {
		f := &b.fields[i]
		n.member(f.key, jsonscan.View(b.raw[f.value:f.end]), from)
	}
}

// named visits names of models.
type named struct {
	visit func(model string) bool
	over  bool // visit has returned false
}

// member visits the models of a member, whose places start with its name.
func (n *named) member(key string, v gjson.Result, from [][]string) {
	var within [][]string
	named := false
	for _, place := range from {
		switch {
		case !strings.EqualFold(key, place[0]):
		case len(place) > 1:
			within = append(within, place[1:])
		default:
			named = true
		}
	}
	if within != nil {
		n.below(v, within)
	}
	if named {
		n.names(v, within != nil)
	}
}

// below visits the models of an object, or of the objects of a list.
func (n *named) below(v gjson.Result, from [][]string) {
	list := v.IsArray()
	if !list && !v.IsObject() {
		return
	}
	v.ForEach(func(k, v gjson.Result) bool {
		if list {
			n.below(v, from)
		} else {
			n.member(k.Str, v, from)
		}
		return !n.over
	})
}

// names visits a name, or a list of them. objects is true if the objects among
// them are no names.
func (n *named) names(v gjson.Result, objects bool) {
	switch {
	case n.over || v.Type == gjson.Null || (objects && v.IsObject()):
	case v.IsArray():
		v.ForEach(func(_, item gjson.Result) bool {
			n.names(item, objects)
			return !n.over
		})
	default:
		if s := v.String(); s != "" {
			n.over = !n.visit(s)
		}
	}
}

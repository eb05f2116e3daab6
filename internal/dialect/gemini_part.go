package dialect

import "github.com/tidwall/gjson"

// foldingPart is one part: text that can be continued, or any other as it came.
type foldingPart struct {
	text    []byte // between the quotes
	thought string // the JSON text of that member
	raw     string // of a part that is not plain text
}

// partOf reads a part. It is plain text when it has nothing else but the mark of a thought.
func partOf(v gjson.Result) (p foldingPart, ok bool) {
	all, ok := fieldsOf(v)
	if !ok {
		return p, false
	}
	if text := all.get("text"); isString(text) && all.only("text", "thought") {
		return foldingPart{text: []byte(inner(text)), thought: all.get("thought")}, true
	}
	return foldingPart{raw: v.Raw}, true
}

func (p foldingPart) appendTo(dst []byte) []byte {
	if p.raw != "" {
		return append(dst, p.raw...)
	}
	dst = append(append(append(dst, `{"text":"`...), p.text...), '"')
	if p.thought != "" {
		dst = append(append(dst, `,"thought":`...), p.thought...)
	}
	return append(dst, '}')
}

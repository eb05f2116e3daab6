package dialect

import (
	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// node is a JSON value that is put together from the pieces of a stream. It works on the text of the pieces: what is
// between the quotes of two strings is joined as it is spelled, so an escape that only both halves together make up
// (a surrogate pair) stays whole, and numbers keep their digits.
type node struct {
	kind    kind
	text    []byte // isText: between the quotes; isArray: between the brackets; isOther: all of it
	members []*member
	calls   []*toolNode // isCalls
}

type kind int

const (
	unset kind = iota
	isNull
	isText
	isArray
	isObject
	isCalls
	isOther // a number, a boolean, or an object that is not known to come in pieces
)

type member struct {
	key string
	node
}

// toolNode is one call of a list of tool calls, which are continued by index.
type toolNode struct {
	CallKey
	node
}

// pieced are the objects that come in pieces; any other one must come once, or always be the same.
func pieced(key string) bool {
	switch key {
	case "function_call", "function", "custom", "logprobs":
		return true
	}
	return false
}

// sticky are the strings that are not continued: the first one that is not empty stays.
func sticky(key string) bool {
	switch key {
	case "role", "id", "type", "name":
		return true
	}
	return false
}

// member finds a member of an object, or makes it.
func (n *node) member(key string) *node {
	for _, m := range n.members {
		if m.key == key {
			return &m.node
		}
	}
	m := &member{key: key}
	n.members = append(n.members, m)
	return &m.node
}

// has reports whether an object has a member.
func (n *node) has(key string) bool {
	for _, m := range n.members {
		if m.key == key {
			return true
		}
	}
	return false
}

// add continues the value of key by another piece. It reports false when the two cannot be joined.
func (n *node) add(key string, v gjson.Result) bool {
	switch {
	case v.Type == gjson.Null:
		if n.kind == unset {
			n.kind = isNull
		}
		return true
	case key == "tool_calls" && v.IsArray():
		return n.become(isCalls) && n.addCalls(v)
	case v.IsArray():
		return n.become(isArray) && n.addItems(v)
	case v.IsObject() && pieced(key):
		return n.become(isObject) && n.addMembers(v)
	case v.Type != gjson.String:
		if n.kind == isOther {
			return string(n.text) == v.Raw
		}
		return n.become(isOther) && n.set(v.Raw)
	}
	if !n.become(isText) {
		return false
	}
	if !sticky(key) || len(n.text) == 0 {
		n.text = append(n.text, v.Raw[1:len(v.Raw)-1]...)
	}
	return true
}

// become reports whether the node can be of a kind, which null and nothing can.
func (n *node) become(k kind) bool {
	if n.kind == unset || n.kind == isNull {
		n.kind = k
	}
	return n.kind == k
}

func (n *node) set(raw string) bool {
	n.text = append(n.text[:0], raw...)
	return true
}

// replace is for values that are told again and again: the last one that says something stays.
func (n *node) replace(v gjson.Result) {
	if v.Type == gjson.Null {
		n.become(isNull)
		return
	}
	if n.kind == isOther && (v.Raw == "{}" || v.Raw == "[]") { // as Azure's filter has on its last chunk
		return
	}
	n.kind = isOther
	n.set(v.Raw)
}

// once is for values that the first pieces may not know yet: the first one that says something stays.
func (n *node) once(v gjson.Result) {
	if v.Type == gjson.Null || v.Raw == `""` || v.Raw == "0" {
		if n.kind == unset {
			n.replace(v)
		}
		return
	}
	if n.kind != isOther || string(n.text) == `""` || string(n.text) == "0" {
		n.replace(v)
	}
}

func (n *node) addItems(v gjson.Result) bool {
	v.ForEach(func(_, item gjson.Result) bool {
		if len(n.text) > 0 {
			n.text = append(n.text, ',')
		}
		n.text = append(n.text, item.Raw...)
		return true
	})
	return true
}

func (n *node) addMembers(v gjson.Result) (ok bool) {
	ok = true
	v.ForEach(func(k, v gjson.Result) bool {
		ok = n.member(k.Str).add(k.Str, v)
		return ok
	})
	return ok
}

// addCalls continues tool calls; see findCall for the ways in which they are told apart.
func (n *node) addCalls(v gjson.Result) (ok bool) {
	ok = true
	v.ForEach(func(_, d gjson.Result) bool {
		if !d.IsObject() {
			ok = false
			return false
		}
		t := n.call(d)
		d.ForEach(func(k, v gjson.Result) bool {
			ok = k.Str == "index" || t.member(k.Str).add(k.Str, v)
			return ok
		})
		return ok
	})
	return ok
}

func (n *node) call(d gjson.Result) *toolNode {
	key := CallKey{Index: -1, ID: jsonscan.String(d.Get("id")), Name: jsonscan.String(d.Get("function.name"))}
	if key.Name == "" {
		key.Name = jsonscan.String(d.Get("custom.name"))
	}
	if i := d.Get("index"); i.Type == gjson.Number {
		key.Index = jsonscan.Count(i)
	}
	if t, ok := findCall(n.calls, key); ok {
		return t
	}
	t := &toolNode{CallKey: key.start(len(n.calls)), node: node{kind: isObject}}
	n.calls = append(n.calls, t)
	return t
}

// append writes the value as JSON.
func (n *node) append(dst []byte) []byte {
	switch n.kind {
	case isText:
		return append(append(append(dst, '"'), n.text...), '"')
	case isArray:
		return append(append(append(dst, '['), n.text...), ']')
	case isOther:
		return append(dst, n.text...)
	case isObject:
		dst = append(dst, '{')
		for i, m := range n.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(jsonscan.AppendString(dst, m.key), ':')
			dst = m.node.append(dst)
		}
		return append(dst, '}')
	case isCalls:
		sortCalls(n.calls)
		dst = append(dst, '[')
		for i, t := range n.calls {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = t.node.append(dst)
		}
		return append(dst, ']')
	}
	return append(dst, "null"...)
}

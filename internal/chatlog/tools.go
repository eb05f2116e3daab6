package chatlog

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// customInput is the schema of a function in place of a custom tool.
const customInput = `{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}`

// toolsOf returns the tools of a request line, in the first of the named
// fields, as chat completions have them.
// What the provider runs itself is no function and left out.
func toolsOf(r gjson.Result, names ...string) gjson.Result {
	tools := first(r, names...)
	if !r.Get("operation").Exists() || !tools.IsArray() {
		return tools
	}
	list := object{open: '['}
	add := func(name, description, schema gjson.Result) {
		list.next()
		list.dst = appendTool(list.dst, name, description, schema)
	}
	tools.ForEach(func(_, t gjson.Result) bool {
		kind := t.Get("type").Str
		declared := first(t, "functionDeclarations", "function_declarations")
		switch {
		case declared.IsArray():
			declared.ForEach(func(_, f gjson.Result) bool {
				schema := first(f, "parametersJsonSchema", "parameters_json_schema")
				if !schema.Exists() {
					schema = lowerTypes(f.Get("parameters"))
				}
				add(f.Get("name"), f.Get("description"), schema)
				return true
			})
		case t.Get("input_schema").Exists():
			add(t.Get("name"), t.Get("description"), t.Get("input_schema"))
		case kind == "function":
			add(t.Get("name"), t.Get("description"), t.Get("parameters"))
		case kind == "custom" && t.Get("name").Exists():
			add(t.Get("name"), t.Get("description"), gjson.Parse(customInput))
		}
		return true
	})
	if list.n == 0 {
		return gjson.Result{}
	}
	return jsonscan.View(list.end())
}

func appendTool(dst []byte, name, description, schema gjson.Result) []byte {
	o := object{dst: dst, open: '{'}
	o.text("type", "function")
	o.key("function")
	f := object{dst: o.dst, open: '{'}
	f.text("name", name.Str)
	if description.Exists() {
		f.text("description", description.Str)
	}
	if schema.Exists() {
		f.raw("parameters", oneLine(schema))
	}
	o.dst = f.end()
	return o.end()
}

// lowerTypes returns a schema of Google's with types as JSON Schema spells
// them.
func lowerTypes(v gjson.Result) gjson.Result {
	if !v.IsObject() {
		return v
	}
	return jsonscan.View(appendLowered(nil, v))
}

func appendLowered(dst []byte, v gjson.Result) []byte {
	switch {
	case v.IsArray():
		o := object{dst: dst, open: '['}
		v.ForEach(func(_, item gjson.Result) bool {
			o.next()
			o.dst = appendLowered(o.dst, item)
			return true
		})
		return o.end()
	case v.IsObject():
		o := object{dst: dst, open: '{'}
		v.ForEach(func(k, item gjson.Result) bool {
			if k.Str == "type" && item.Type == gjson.String {
				o.text("type", strings.ToLower(item.Str))
				return true
			}
			o.key(k.Str)
			o.dst = appendLowered(o.dst, item)
			return true
		})
		return o.end()
	}
	return appendValue(dst, v, layout{})
}

// parallel returns whether a request lets the model call several tools at once,
// if it states it.
func parallel(r gjson.Result) gjson.Result {
	if v := r.Get("parallel_tool_calls"); v.IsBool() {
		return v
	}
	switch r.Get("tool_choice.disable_parallel_tool_use").Type {
	case gjson.True:
		return gjson.Parse("false")
	case gjson.False:
		return gjson.Parse("true")
	}
	return gjson.Result{}
}

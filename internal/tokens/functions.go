package tokens

import "forward/internal/jsonscan"

// maxSchemaDepth is how deep a schema is read. Deeper parts are counted as the
// JSON that they are, because each level reads all below it once more.
const maxSchemaDepth = 16

// tools adds the definitions of tools and reports whether there are any. The
// model reads functions as TypeScript:
//
//	namespace functions {
//
//	// description
//	type name = (_: {
//	// description
//	location: string,
//	unit?: "celsius" | "fahrenheit",
//	}) => any;
//
//	} // namespace functions
//
// That form is known from the models' own output and from counts; it is not
// published. Other kinds of tools (web search, file search, code) have unknown
// prompts, and count nothing here.
func (r *request) tools(value string) bool {
	dst := append(r.render[:0], "namespace functions {\n\n"...)
	some := false
	for c := jsonscan.WalkString(value); c.Next(); {
		if jsonscan.IsObject(c.Raw()) {
			dst = appendFunction(dst, c.Raw())
			some = true
		}
	}
	if some {
		dst = append(dst, "} // namespace functions"...)
		r.inexact = true
		r.add(perTools)
		r.tally.text(view(dst), false)
	}
	r.render = dst
	return some
}

// appendFunction writes the function of a tool, which in the chat API is nested
// in the tool.
func appendFunction(dst []byte, tool string) []byte {
	name, description, parameters := function(tool, true)
	if name == "" {
		return dst
	}
	dst = appendComment(dst, description)
	dst = append(dst, "type "...)
	dst = jsonscan.AppendUnescaped(dst, name)
	dst = append(dst, " = ("...)
	before := len(dst)
	dst = append(dst, "_: {\n"...)
	start := len(dst)
	dst = appendProperties(dst, parameters, 0)
	if len(dst) == start {
		dst = dst[:before]
	} else {
		dst = append(dst, "\n}"...)
	}
	return append(dst, ") => any;\n\n"...)
}

// function reads the name, the description and the parameters of a tool.
func function(tool string, outer bool) (name, description, parameters string) {
	for c := jsonscan.WalkString(tool); c.Next(); {
		switch c.Key {
		case "function", "custom":
			if outer {
				name, description, parameters = function(c.Raw(), false)
			}
		case "name":
			name = jsonscan.Inner(c.Raw())
		case "description":
			description = jsonscan.Inner(c.Raw())
		case "parameters", "format":
			parameters = c.Raw()
		}
	}
	return name, description, parameters
}

func appendComment(dst []byte, description string) []byte {
	if description == "" {
		return dst
	}
	dst = append(dst, "// "...)
	dst = jsonscan.AppendUnescaped(dst, description)
	return append(dst, '\n')
}

// appendProperties writes the properties of an object schema, each on its line.
//
// A property that is not required has a question mark. "?:" and ":" are one
// token each, so it is left out: to look each name up in the list of the
// required ones would be quadratic.
func appendProperties(dst []byte, schema string, depth int) []byte {
	start := len(dst)
	for s := jsonscan.WalkString(schema); s.Next(); {
		if s.Key != "properties" {
			if s.Key == "$defs" || s.Key == "definitions" {
				dst = append(append(dst, s.Raw()...), '\n')
			}
			continue
		}
		for p := s.Enter(); p.Next(); {
			if len(dst) > start {
				dst = append(dst, '\n')
			}
			dst = appendProperty(dst, p.Key, p.Raw(), depth)
		}
	}
	return dst
}

func appendProperty(dst []byte, name, schema string, depth int) []byte {
	for s := jsonscan.WalkString(schema); s.Next(); {
		if s.Key == "description" && len(s.Raw()) > 2 {
			dst = appendComment(appendIndent(dst, depth), jsonscan.Inner(s.Raw()))
		}
	}
	dst = append(append(appendIndent(dst, depth), name...), ": "...)
	return append(appendType(dst, schema, depth), ',')
}

func appendIndent(dst []byte, depth int) []byte {
	const spaces = "                                " // two for each of maxSchemaDepth
	return append(dst, spaces[:min(2*depth, len(spaces))]...)
}

// appendType writes the type that a schema describes. A schema without a known
// form is left as JSON.
func appendType(dst []byte, schema string, depth int) []byte {
	var kind, enum, items string
	other := false
	for s := jsonscan.WalkString(schema); s.Next(); {
		switch s.Key {
		case "type":
			kind = jsonscan.Inner(s.Raw())
			other = other || kind == ""
		case "enum":
			enum = s.Raw()
		case "items":
			items = s.Raw()
		case "anyOf", "oneOf", "allOf", "$ref", "prefixItems", "const":
			other = true
		}
	}
	switch {
	case depth >= maxSchemaDepth || other:
		return append(dst, schema...)
	case enum != "":
		return appendEnum(dst, enum)
	case kind == "array":
		return append(appendType(dst, items, depth+1), "[]"...)
	case kind == "object":
		dst = append(dst, "{\n"...)
		dst = appendProperties(dst, schema, depth+1)
		return append(dst, "\n}"...)
	case kind == "integer":
		return append(dst, "number"...)
	case kind == "":
		return append(dst, "any"...)
	}
	return append(dst, kind...) // string, number, boolean, null
}

func appendEnum(dst []byte, enum string) []byte {
	first := true
	for e := jsonscan.WalkString(enum); e.Next(); first = false {
		if !first {
			dst = append(dst, " | "...)
		}
		dst = append(dst, '"')
		if jsonscan.IsString(e.Raw()) {
			dst = jsonscan.AppendUnescaped(dst, jsonscan.Inner(e.Raw()))
		} else {
			dst = append(dst, e.Raw()...)
		}
		dst = append(dst, '"')
	}
	return dst
}

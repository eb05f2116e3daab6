package dialect

import (
	"fmt"
	"net/http"
	"strings"
)

// Paths is the table of a protocol's own operations. It does not change after
// NewPaths.
type Paths struct {
	by      map[string]map[string][]pattern // method → first segment → what starts with it
	sockets *Sockets
}

// pattern is a method and the end of a path.
type pattern struct {
	segments []string // in lower case; one * in each stands for any text
	rest     bool     // anything may follow
	anyBase  bool     // whatever stands before it
	strict   bool     // no segment may hold an escaped slash: servers that decode it see another path
	found    Found
}

// Found is what a table has for a request. The zero Found is of no use; the
// operation of one that no table has is Unknown.
type Found struct {
	Operation Operation
	Weight    int  // letters of the path that the table names; of several tables the one with more is right
	base      int  // segments before what the table names
	Shared    bool // one word alone, which tables of other protocols may have for something else
}

// NewPaths makes a table from the lines of each operation: a method, or several
// with commas, and the end of a path. A * stands for any text within a segment
// and ** at the end for any segments. The first segment is plain text. It
// panics on a line that is none of these, which a test of any dialect shows.
//
// Two segments that name an operation are enough, whatever stands before them:
// bases differ from host to host. One segment, and what is free, must
// follow a base path.
func NewPaths(lines map[Operation]string) *Paths {
	p := &Paths{by: make(map[string]map[string][]pattern)}
	for op, text := range lines {
		for line := range strings.Lines(text) {
			fields := strings.Fields(line)
			if len(fields) == 0 {
				continue
			}
			if len(fields) != 2 {
				panic(fmt.Sprintf("%q is not a line of a table of paths", line))
			}
			for method := range strings.SplitSeq(fields[0], ",") {
				p.add(method, fields[1], op)
			}
		}
	}
	return p
}

func (p *Paths) add(method, path string, op Operation) {
	end, rest := strings.CutSuffix(path, "/**")
	segments := strings.Split(FoldPath(end), "/")
	if strings.Contains(segments[0], "*") {
		panic(fmt.Sprintf("the first segment of %q is no plain text", path))
	}
	if p.by[method] == nil {
		p.by[method] = make(map[string][]pattern)
	}
	p.by[method][segments[0]] = append(p.by[method][segments[0]], pattern{
		segments: segments, rest: rest,
		anyBase: len(segments) > 1 && op != Other && op != Unknown,
		strict:  op == Other && (method == http.MethodPost || method == http.MethodPut),
		found:   Found{Operation: op, Weight: 1 + len(end) - strings.Count(end, "*") - strings.Count(end, "/"), Shared: words(segments) == 1},
	})
}

// maxSegments bounds the paths that are looked at. No API has longer ones.
const maxSegments = 24

// Folded is a judged path as tables of paths read it. The zero Folded is no
// path of any API.
type Folded struct {
	segments [maxSegments]string // in lower case
	n        int
}

// Fold reads a path that JudgedPath returned.
func Fold(path string) (f Folded) {
	for segment := range strings.SplitSeq(strings.TrimPrefix(FoldPath(path), "/"), "/") {
		if f.n == maxSegments {
			return Folded{}
		}
		f.segments[f.n] = segment
		f.n++
	}
	return f
}

// words counts the segments that are no text of any kind.
func words(segments []string) (n int) {
	for _, segment := range segments {
		if segment != "*" {
			n++
		}
	}
	return n
}

// Find returns the operation of a request.
func (p *Paths) Find(method string, path *Folded) Found {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	best := Found{Operation: Unknown}
	segments := path.segments[:path.n]
	starts := p.by[method]
	for i, first := range segments {
		for _, t := range starts[first] {
			if t.found.Weight > best.Weight && (t.anyBase || isBase(segments[:i])) && t.matches(segments[i:]) {
				best = t.found
				best.base = i
			}
		}
	}
	return best
}

func (t *pattern) matches(segments []string) bool {
	if len(segments) < len(t.segments) || (len(segments) > len(t.segments) && !t.rest) {
		return false
	}
	for i, want := range t.segments {
		if !matchSegment(want, segments[i]) || (t.strict && strings.Contains(segments[i], "%")) {
			return false
		}
	}
	return true
}

// matchSegment reports whether a segment is want, or what it leaves open.
func matchSegment(want, segment string) bool {
	before, after, open := strings.Cut(want, "*")
	if !open {
		return want == segment
	}
	return len(segment) > len(before)+len(after) && strings.HasPrefix(segment, before) && strings.HasSuffix(segment, after)
}

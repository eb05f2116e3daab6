package glob_test

import (
	"fmt"
	"strings"
	"testing"

	"forward/internal/glob"
)

func Example() {
	fmt.Println(glob.Match("*/llama-[23]*", "meta/llama-3-70b"))
	fmt.Println(glob.Match("gpt-4o", "gpt-4o-mini"))
	// Output:
	// true
	// false
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"gpt-4o", "gpt-4o", true},
		{"gpt-4o", "GPT-4o", false},
		{"gpt-4o", "gpt-4o-mini", false},
		{"text-*", "text-", true},
		{"text-*", "text-embedding/3", true},
		{"text-*", "xtext-3", false},
		{"*/llama-?", "a/b/llama-3", true},
		{"*/llama-?", "llama-3", false},
		{"*/llama-?", "meta/llama-33", false},
		{"*/llama-?", "meta/llama-", false},
		{"o[13]*", "o3-pro", true},
		{"o[13]*", "o2", false},
		{"x[^a-c]y", "xdy", true},
		{"x[^a-c]y", "xby", false},
		{"[]]", "[]]", true},
		{`[\]]`, "]", true},
		{"ü?", "üé", true},
		{"ü?", "ü", false},
		{"**z", "zz", true},
		{"**z", "za", false},
		{`odd\*`, "odd*", true},
		{`odd\*`, "oddx", false},
		{`odd\`, `odd\`, true},
		{"[", "[", true},
		{"[a-", "[a-", true},
		{"a]b", "a]b", true},
	} {
		if got := glob.Match(test.pattern, test.name); got != test.want {
			t.Errorf("Match(%q, %q) = %v", test.pattern, test.name, got)
		}
	}
}

// TestManyStars stalls with a matcher that goes back to every star: it needs
// 2^60 steps.
func TestManyStars(t *testing.T) {
	if glob.Match(strings.Repeat("a*", 60)+"b", strings.Repeat("a", 4000)) {
		t.Error("matched")
	}
}

func FuzzMatch(f *testing.F) {
	for _, pattern := range []string{"*", "a*b?c", "[a-z]", "[^a]", `\*`, "[", "[]", "[a-", `[\`, "**a**", "ü[é-ü]"} {
		f.Add(pattern, "abc/de")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if !glob.Match("*"+name, name) && !strings.ContainsAny(name, `\[?*`) {
			t.Errorf("%q does not match itself", name)
		}
		if glob.Match(pattern, name) && !glob.Match(pattern+"*", name+"x") && !strings.ContainsAny(pattern, `\[`) {
			t.Errorf("%q matches %q, but %q not %q", pattern, name, pattern+"*", name+"x")
		}
	})
}

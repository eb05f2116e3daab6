package tokens

import (
	"strings"

	"github.com/pkoukk/tiktoken-go"
)

// families are the models that tiktoken-go v0.1.8 does not know or knows in
// part. A name matches if it is the family's or continues it with "-". Longer
// names stand before their own prefixes. Sources: OpenAI's tiktoken (model.py),
// and for gpt-35 Azure's names. New models of OpenAI have used o200k_base since
// gpt-4o; gpt-oss has its vocabulary with other special tokens.
var families = []struct {
	name string
	enc  Encoding
}{
	{"gpt-4o", O200kBase},
	{"gpt-5", O200kBase},
	{"gpt-4.1", O200kBase},
	{"gpt-4.5", O200kBase},
	{"o1", O200kBase},
	{"o3", O200kBase},
	{"o4", O200kBase},
	{"chatgpt-4o", O200kBase},
	{"gpt-oss", O200kBase},
	{"codex-mini", O200kBase},
	{"computer-use", O200kBase},
	{"gpt-audio", O200kBase},
	{"gpt-realtime", O200kBase},
	{"gpt-4", Cl100kBase},
	{"gpt-3.5", Cl100kBase},
	{"gpt-35", Cl100kBase},
	{"text-embedding-3", Cl100kBase},
	{"text-embedding-ada-002", Cl100kBase},
	{"davinci-002", Cl100kBase},
	{"babbage-002", Cl100kBase},
	{"gpt-2", R50kBase},
}

// ForModel returns the encoding of a model, and reports whether it is known to
// be the model's. Fine-tuned models ("ft:…", "davinci:ft-…") have their base
// model's, and a leading "openai/" is ignored. For every other name, like those
// of Anthropic, Google and local models, it returns O200kBase and false.
func ForModel(model string) (enc Encoding, known bool) {
	name := baseName(model)
	for _, f := range families {
		if rest, ok := strings.CutPrefix(name, f.name); ok && continues(rest, f.name) {
			return f.enc, true
		}
	}
	switch old := tiktoken.MODEL_TO_ENCODING[name]; old {
	case "":
		return O200kBase, false
	case tiktoken.MODEL_P50K_EDIT: // p50k_base with more special tokens
		return P50kBase, true
	case "gpt2": // the same vocabulary in another file format
		return R50kBase, true
	default:
		return Encoding(old), true
	}
}

// baseName returns the name of the model from which a fine-tuned one was made,
// without "openai/". Other names stay.
func baseName(model string) string {
	name := strings.TrimPrefix(model, "openai/")
	name = strings.TrimPrefix(name, "ft:")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// percent returns how many tokens of a model are about a hundred of its
// encoding. Claude's tokenizers are not published. Those up to 4.6 make 16 to
// 30 % more of English and code than GPT-4o's, and those since Opus 4.7 again
// 13 to 46 % more (up to 35 % by Anthropic), while Chinese stays as it is.
// Sources: https://docs.claude.com, "What's new in Claude Opus 4.7";
// https://sol.ava.dev/writings/2026-04-17-opus-4-7-tokenizer.html.
func percent(model string) int64 {
	_, version, ok := strings.Cut(model, "claude-")
	switch {
	case !ok:
		return 100
	case sinceClaude47(version):
		return 150
	}
	return 120
}

// sinceClaude47 reports whether the text after "claude-" names version 4.7 or
// later: opus-4-7, sonnet-5, but neither 3-5-sonnet-20241022 nor
// opus-4-20250514 nor opus-4-1.
func sinceClaude47(version string) bool {
	family, rest, _ := strings.Cut(version, "-")
	if family == "" || ('0' <= family[0] && family[0] <= '9') {
		return false // the versions up to 3.7 stood before the family
	}
	major, rest, _ := strings.Cut(strings.ReplaceAll(rest, ".", "-"), "-")
	minor, _, _ := strings.Cut(rest, "-")
	return len(major) == 1 && (major > "4" || (major == "4" && len(minor) == 1 && minor >= "7"))
}

// continues reports whether rest may follow a family's name. gpt-5 is followed
// by versions too, like gpt-5.1, but an unknown gpt-4.7 is no gpt-4.
func continues(rest, family string) bool {
	return rest == "" || rest[0] == '-' || (rest[0] == '.' && family == "gpt-5")
}

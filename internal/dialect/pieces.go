package dialect

import (
	"cmp"
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// Length returns a number of seconds in a request, digits in a string too, and
// otherwise where there is none that a video can have.
func Length(v gjson.Result, otherwise float64) float64 {
	n, _ := number(v)
	if n > 0 && n <= MaxBound {
		return n
	}
	return otherwise
}

// Word returns a word of a request in the spelling of price lists, and
// otherwise where there is none. A word that no price list has is "other".
func Word(v gjson.Result, otherwise string) string {
	s := strings.ToLower(strings.TrimSpace(jsonscan.String(v)))
	if len(s) > 32 {
		return "other"
	}
	return strings.Clone(cmp.Or(s, otherwise))
}

// VideoOf returns what the object of a video reports of it. Source: OpenAI's
// API reference, "The video object".
func VideoOf(v gjson.Result) Media {
	return Media{VideoSeconds: Length(v.Get("seconds"), 0), VideoKind: Word(v.Get("size"), "")}
}

// Take sets what the object of a video reports, where the request was for one.
func (m *Media) Take(video Media) {
	if m.VideoSeconds > 0 {
		m.VideoSeconds = cmp.Or(video.VideoSeconds, m.VideoSeconds)
		m.VideoKind = cmp.Or(video.VideoKind, m.VideoKind)
	}
}

// likelyCalls is how many times a provider is taken to run a tool for a request
// that does not bound it.
const likelyCalls = 5

// providerTools are the names under which requests offer tools that a provider
// runs and charges by the call, and the names of their fees. A name may go on
// with a version. Sources: OpenAI's and Anthropic's API references, "tools";
// Gemini's, "Tool".
var providerTools = []struct{ name, fee string }{
	{"web_search", "web_search"}, {"file_search", "file_search"}, {"code_interpreter", "code_interpreter"},
	{"google_search", "google_search"}, {"googleSearch", "google_search"},
	{"google_maps", "google_maps"}, {"googleMaps", "google_maps"},
}

// Memory returns the memory of the containers in which code of the provider's
// runs, as the end of a fee's name: "/4g", and "" for the least. Of several
// tools that run code the first that names one counts. Source: OpenAI's API
// reference, "tools", "Code interpreter", memory_limit.
func Memory(tools gjson.Result) string {
	if !strings.Contains(tools.Raw, "memory_limit") {
		return ""
	}
	for _, tool := range tools.Array() {
		if size := Word(tool.Get("container.memory_limit"), ""); size != "" && size != "1g" {
			return "/" + size
		}
	}
	return ""
}

// OfferedTools returns the calls that tools of the provider may have in a
// request: as many as it allows, or a few.
func (b *Body) OfferedTools() (fees []Fee) {
	most := jsonscan.Count(b.Get("max_tool_calls"))
	tools := b.Get("tools")
	for _, tool := range providerTools {
		if !strings.Contains(tools.Raw, `"`+tool.name) {
			continue
		}
		tools.ForEach(func(_, v gjson.Result) bool {
			offered := strings.HasPrefix(jsonscan.String(v.Get("type")), tool.name) || v.Get(tool.name).IsObject()
			if offered {
				name := tool.fee
				if name == "code_interpreter" {
					name += Memory(tools)
				}
				fees = moreFees(fees, Fee{Name: name, Count: cmp.Or(jsonscan.Count(v.Get("max_uses")), most, likelyCalls)})
			}
			return true
		})
	}
	return fees
}

// Ask completes a usage with what the request has asked for, where the answer
// does not report it: the answer's count goes first. Images and videos that are
// charged in tokens have these in the usage, and are not counted beside them.
func (u *Usage) Ask(asked Usage) {
	m := &u.Media
	m.Characters = cmp.Or(m.Characters, asked.Media.Characters)
	if m.Images > 0 || u.Output == 0 {
		m.Images = cmp.Or(m.Images, asked.Media.Images)
		m.ImageKind = cmp.Or(m.ImageKind, asked.Media.ImageKind)
	}
	if m.VideoSeconds > 0 || u.Output == 0 {
		m.VideoSeconds = cmp.Or(m.VideoSeconds, asked.Media.VideoSeconds)
		m.VideoKind = cmp.Or(m.VideoKind, asked.Media.VideoKind)
	}
}

package dialect

import (
	"strings"

	"github.com/tidwall/gjson"

	"forward/internal/jsonscan"
)

// maxBeginning bounds what of each text a conversation is known by, in bytes.
const maxBeginning = 4 << 10

// CacheKey returns the name by which a request asks the provider to find its
// prompt again (OpenAI's prompt_cache_key), "" without one.
func (b *Body) CacheKey() string { return jsonscan.String(b.Get("prompt_cache_key")) }

// Session returns the client's own name for its user or session
// (metadata.user_id, in which Claude Code writes both), "" without one.
func (b *Body) Session() string {
	metadata := b.Get("metadata")
	if !metadata.IsObject() {
		return ""
	}
	return jsonscan.String(gjson.Get(metadata.Raw, "user_id"))
}

// SessionID returns the name of the session that a body has: an agent's
// metadata.session_id, the session in Claude Code's metadata.user_id
// (user_…_account_…_session_ID, or JSON with a session_id), or the
// prompt_cache_key, which Codex makes of its conversation. "" is without one.
func (b *Body) SessionID() string {
	if metadata := b.Get("metadata"); metadata.IsObject() {
		if id := jsonscan.String(gjson.Get(metadata.Raw, "session_id")); id != "" {
			return id
		}
	}
	user := b.Session()
	if _, id, ok := strings.Cut(user, "_session_"); ok && id != "" {
		return id
	}
	if strings.HasPrefix(user, "{") && gjson.Valid(user) {
		if id := jsonscan.String(gjson.Get(user, "session_id")); id != "" {
			return id
		}
	}
	return b.CacheKey()
}

// Beginning gives the texts with which a conversation starts to add: the system
// prompt and the first message of the user. They are the same in each turn,
// while other members of a message may change: clients mark another one for the
// prompt cache in each turn. It reports whether there is a first message.
func (b *Body) Beginning(add func(text string)) bool {
	for _, name := range [...]string{"system", "instructions", "systemInstruction", "system_instruction"} {
		texts(b.Get(name), add)
	}
	for _, name := range [...]string{"messages", "contents", "input"} {
		list := b.Get(name)
		if list.Type == gjson.String {
			texts(list, add)
			return true
		}
		found := false
		list.ForEach(func(_, message gjson.Result) bool {
			switch message.Get("role").Str {
			case "system", "developer":
				texts(message.Get("content"), add)
				return true
			case "user", "": // Google's first message needs no role
				found = true
				texts(message.Get("content"), add)
				texts(message.Get("parts"), add)
			}
			return false
		})
		if found {
			return true
		}
	}
	return false
}

// texts gives the text of a message's content to add: a string, or the parts
// of a list.
func texts(v gjson.Result, add func(text string)) {
	switch {
	case v.Type == gjson.String:
		add(v.Str[:min(len(v.Str), maxBeginning)])
	case v.IsArray():
		v.ForEach(func(_, part gjson.Result) bool {
			texts(part.Get("text"), add)
			return true
		})
	case v.IsObject():
		texts(v.Get("parts"), add)
	}
}

package keys_test

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"forward/internal/keys"
)

func TestPresented(t *testing.T) {
	type h = http.Header
	for name, test := range map[string]struct {
		header http.Header
		query  string
		value  string
		slot   keys.Slot
		err    error
	}{
		"nothing":                      {h{}, "", "", keys.NoSlot, nil},
		"no header at all":             {nil, "a=1", "", keys.NoSlot, nil},
		"bearer":                       {h{"Authorization": {"Bearer fk-1"}}, "", "fk-1", keys.Bearer, nil},
		"bearer in lower case":         {h{"Authorization": {"bearer fk-1"}}, "", "fk-1", keys.Bearer, nil},
		"bearer in upper case":         {h{"Authorization": {"BEARER fk-1"}}, "", "fk-1", keys.Bearer, nil},
		"several spaces":               {h{"Authorization": {"Bearer   fk-1"}}, "", "fk-1", keys.Bearer, nil},
		"a tab":                        {h{"Authorization": {"Bearer\tfk-1"}}, "", "fk-1", keys.Bearer, nil},
		"spaces around":                {h{"Authorization": {" Bearer fk-1 "}}, "", "fk-1", keys.Bearer, nil},
		"a comma for the space":        {h{"Authorization": {"Bearer,fk-1"}}, "", "", keys.NoSlot, nil},
		"any seven characters":         {h{"Authorization": {"XXXXXX fk-1"}}, "", "", keys.NoSlot, nil},
		"no scheme":                    {h{"Authorization": {"fk-1"}}, "", "", keys.NoSlot, nil},
		"no scheme but a space":        {h{"Authorization": {" fk-1"}}, "", "", keys.NoSlot, nil},
		"Basic":                        {h{"Authorization": {"Basic ZmstMTo="}}, "", "", keys.NoSlot, nil},
		"no token":                     {h{"Authorization": {"Bearer"}}, "", "", keys.NoSlot, nil},
		"no token but a space":         {h{"Authorization": {"Bearer "}}, "", "", keys.NoSlot, nil},
		"no space":                     {h{"Authorization": {"Bearerfk-1"}}, "", "", keys.NoSlot, nil},
		"two tokens":                   {h{"Authorization": {"Bearer fk-1 fk-2"}}, "", "", keys.NoSlot, nil},
		"two schemes joined":           {h{"Authorization": {"Bearer fk-1, Basic x"}}, "", "", keys.NoSlot, nil},
		"a Kelvin sign is no k":        {h{"Authorization": {"Bearer\u00a0fk-1"}}, "", "", keys.NoSlot, nil},
		"two Authorization headers":    {h{"Authorization": {"Bearer fk-1", "Bearer fk-2"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"twice the same Authorization": {h{"Authorization": {"Bearer fk-1", "Bearer fk-1"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"a Bearer and a Basic":         {h{"Authorization": {"Bearer fk-1", "Basic x"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"x-api-key":                    {h{"X-Api-Key": {"fk-1"}}, "", "fk-1", keys.XAPIKey, nil},
		"api-key":                      {h{"Api-Key": {"fk-1"}}, "", "fk-1", keys.APIKey, nil},
		"x-goog-api-key":               {h{"X-Goog-Api-Key": {"fk-1"}}, "", "fk-1", keys.XGoogAPIKey, nil},
		"query":                        {h{}, "a=1&key=fk-1&b=2", "fk-1", keys.QueryKey, nil},
		"query, escaped":               {h{}, "%6b%65%79=%66k-1", "fk-1", keys.QueryKey, nil},
		"query, broken escape":         {h{}, "key=%zz", "%zz", keys.QueryKey, nil},
		"query, access_token":          {h{}, "a=1&access_token=auth_tokens/1", "auth_tokens/1", keys.QueryKey, nil},
		"query, escaped access_token":  {h{}, "access%5Ftoken=fk-1", "fk-1", keys.QueryKey, nil},
		"query, key and access_token":  {h{}, "key=fk-1&access_token=fk-2", "", keys.NoSlot, keys.ErrConflict},
		"query, semicolon":             {h{}, "a=1;key=fk-1", "fk-1", keys.QueryKey, nil},
		"query, empty":                 {h{}, "key=&key", "", keys.NoSlot, nil},
		"query, other names":           {h{}, "Key=fk-1&keys=fk-1&akey=fk-1&monkey=fk-1&%256bey=fk-1", "", keys.NoSlot, nil},
		"query, two":                   {h{}, "key=fk-1&key=fk-2", "", keys.NoSlot, keys.ErrConflict},
		"query, twice the same":        {h{}, "key=fk-1&key=fk-1", "fk-1", keys.QueryKey, nil},
		"the same in all":              {h{"Authorization": {"Bearer fk-1"}, "X-Api-Key": {"fk-1"}, "Api-Key": {"fk-1"}, "X-Goog-Api-Key": {"fk-1"}}, "key=fk-1", "fk-1", keys.Bearer, nil},
		"the same in two":              {h{"X-Goog-Api-Key": {"fk-1"}}, "key=fk-1", "fk-1", keys.XGoogAPIKey, nil},
		"an empty one beside":          {h{"Authorization": {""}, "X-Api-Key": {"", "fk-1"}}, "key=", "fk-1", keys.XAPIKey, nil},
		"Basic beside":                 {h{"Authorization": {"Basic x"}, "X-Api-Key": {"fk-1"}}, "", "fk-1", keys.XAPIKey, nil},
		"two slots differ":             {h{"Authorization": {"Bearer fk-1"}, "X-Api-Key": {"fk-2"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"header and query differ":      {h{"X-Goog-Api-Key": {"fk-1"}}, "key=fk-2", "", keys.NoSlot, keys.ErrConflict},
		"case makes them differ":       {h{"X-Api-Key": {"fk-A"}, "Api-Key": {"fk-a"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"one header twice":             {h{"X-Api-Key": {"fk-1", "fk-2"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"one header twice the same":    {h{"X-Api-Key": {"fk-1", "fk-1"}}, "", "fk-1", keys.XAPIKey, nil},
		"subprotocol":                  {h{"Sec-Websocket-Protocol": {"realtime, openai-insecure-api-key.fk-1"}}, "", "fk-1", keys.Subprotocol, nil},
		"subprotocol, second header":   {h{"Sec-Websocket-Protocol": {"realtime", "OpenAI-Insecure-API-Key.fk-1,x"}}, "", "fk-1", keys.Subprotocol, nil},
		"subprotocol and bearer":       {h{"Authorization": {"Bearer fk-1"}, "Sec-Websocket-Protocol": {"openai-insecure-api-key.fk-1"}}, "", "fk-1", keys.Bearer, nil},
		"subprotocol differs":          {h{"Authorization": {"Bearer fk-1"}, "Sec-Websocket-Protocol": {"openai-insecure-api-key.fk-2"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"two subprotocols":             {h{"Sec-Websocket-Protocol": {"openai-insecure-api-key.fk-1, openai-insecure-api-key.fk-2"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"other subprotocols":           {h{"Sec-Websocket-Protocol": {"realtime, openai-insecure-api-key, openai-insecure-api-key."}}, "", "", keys.NoSlot, nil},
		"x-forward-key":                {h{"X-Forward-Key": {"fk-1"}}, "", "fk-1", keys.ForwardKey, nil},
		"x-forward-key, bearer":        {h{"X-Forward-Key": {" Bearer fk-1 "}}, "", "fk-1", keys.ForwardKey, nil},
		"x-forward-key and the same":   {h{"X-Forward-Key": {"fk-1"}, "X-Api-Key": {"fk-1"}}, "", "fk-1", keys.XAPIKey, nil},
		"x-forward-key and another":    {h{"X-Forward-Key": {"fk-1"}, "X-Api-Key": {"sk-1"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"two x-forward-keys":           {h{"X-Forward-Key": {"fk-1", "fk-2"}}, "", "", keys.NoSlot, keys.ErrConflict},
		"x-forward-key, empty":         {h{"X-Forward-Key": {" "}, "X-Api-Key": {"fk-1"}}, "", "fk-1", keys.XAPIKey, nil},
		"cookies and paths do not":     {h{"Cookie": {"key=fk-1"}, "Proxy-Authorization": {"Bearer fk-1"}}, "", "", keys.NoSlot, nil},
	} {
		t.Run(name, func(t *testing.T) {
			value, slot, err := keys.Presented(test.header, test.query)
			if value != test.value || slot != test.slot || !errors.Is(err, test.err) {
				t.Errorf("%q in slot %d, %v; want %q in %d, %v", value, slot, err, test.value, test.slot, test.err)
			}
		})
	}
}

func TestStripRemovesEverySlotAndNothingElse(t *testing.T) {
	h := http.Header{"X-Custom": {"1"}, "Content-Type": {"a/b"}, "Proxy-Authorization": {"x"}}
	for _, name := range []string{"authorization", "x-api-key", "api-key", "x-goog-api-key"} {
		h.Add(name, "fk-1")
		h.Add(name, "fk-2")
	}
	keys.Strip(h)
	if len(h) != 3 {
		t.Errorf("left: %v", h)
	}
}

func TestStripKeepsTheSubprotocolsThatNameNoAccount(t *testing.T) {
	for name, test := range map[string]struct{ before, want []string }{
		"a key among them":        {[]string{"realtime, openai-insecure-api-key.fk-1, openai-beta.realtime-v1"}, []string{"realtime, openai-beta.realtime-v1"}},
		"a key first":             {[]string{"openai-insecure-api-key.fk-1,realtime"}, []string{"realtime"}},
		"an account beside":       {[]string{"realtime", "openai-organization.o, OPENAI-PROJECT.p"}, []string{"realtime"}},
		"nothing else":            {[]string{"openai-insecure-api-key.fk-1"}, nil},
		"none is as it came":      {[]string{"realtime ,x,, y"}, []string{"realtime ,x,, y"}},
		"an empty list is kept":   {[]string{""}, []string{""}},
		"a longer word is not it": {[]string{"xopenai-insecure-api-key.fk-1"}, []string{"xopenai-insecure-api-key.fk-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := slices.Clone(test.before)
			h := http.Header{"Sec-Websocket-Protocol": client}
			keys.Strip(h)
			if got := h["Sec-Websocket-Protocol"]; !slices.Equal(got, test.want) {
				t.Errorf("left %q, want %q", got, test.want)
			}
			if !slices.Equal(client, test.before) {
				t.Errorf("the client's own values were changed: %q", client)
			}
		})
	}
}

func TestStripQuery(t *testing.T) {
	for query, want := range map[string]string{
		"":                          "",
		"key=fk-1":                  "",
		"key":                       "",
		"key=":                      "",
		"key=fk-1&":                 "",
		"&key=fk-1":                 "",
		"a=1&key=fk-1":              "a=1",
		"key=fk-1&a=1":              "a=1",
		"a=1&key=fk-1&b=2":          "a=1&b=2",
		"a=1&key=fk-1&b=2&key=fk-2": "a=1&b=2",
		"a&&key=x&&b":               "a&&&b",
		"%6Bey=fk-1&a=%6b":          "a=%6b",
		"k%65y=fk-1&k%6":            "k%6",
		"a=1;key=fk-1;b=2":          "a=1;b=2",
		"a=1&access_token=x&b=2":    "a=1&b=2",
		"%61ccess_token=x&tokens=2": "tokens=2",
		"a=1;key=fk-1&b=2":          "a=1&b=2",
		"Key=1&keys=2&monkey=3":     "Key=1&keys=2&monkey=3",
		"b=%zz&a=1;2&c=+%2B":        "b=%zz&a=1;2&c=+%2B",
		"alt=sse&key=fk-1":          "alt=sse",
		"q=key=fk-1":                "q=key=fk-1",
		"key=a=b&z":                 "z",
		"key%3Dfk-1&z":              "key%3Dfk-1&z",
	} {
		if got := keys.StripQuery(query); got != want {
			t.Errorf("StripQuery(%q) = %q, want %q", query, got, want)
		}
	}
}

// TestStripQueryKeepsTheRest puts key parameters at any place between others
// and wants the others back.
func TestStripQueryKeepsTheRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		others := rapid.SliceOf(rapid.StringMatching(`[a-jl-z%=+0-9]{0,6}`)).Draw(t, "others")
		spelling := rapid.SampledFrom([]string{"key=fk-1", "key", "%6bey=fk-1", "%6B%65%79=", "ke%79=a=b"})
		var with []string
		for _, p := range others {
			if rapid.Bool().Draw(t, "key before") {
				with = append(with, spelling.Draw(t, "key"))
			}
			with = append(with, p)
		}
		if rapid.Bool().Draw(t, "key at the end") {
			with = append(with, spelling.Draw(t, "key"))
		}
		if got, want := keys.StripQuery(strings.Join(with, "&")), strings.Join(others, "&"); got != want {
			t.Fatalf("StripQuery(%q) = %q, want %q", strings.Join(with, "&"), got, want)
		}
	})
}

func FuzzStripQuery(f *testing.F) {
	for _, q := range []string{"", "a=1&key=x", "%6bey=1;key", "k%65y=%zz&&;=", "key%00=1", "+key=1"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		got := keys.StripQuery(query)
		if again := keys.StripQuery(got); again != got {
			t.Errorf("%q became %q and then %q", query, got, again)
		}
		if _, slot, _ := keys.Presented(nil, got); slot != keys.NoSlot {
			t.Errorf("%q became %q, which still carries a key", query, got)
		}
		if !strings.Contains(got, ";") { // which net/url refuses
			if values, _ := url.ParseQuery(got); values.Has("key") {
				t.Errorf("%q became %q, in which net/url finds a key", query, got)
			}
		}
		if !strings.ContainsAny(query, "k%") && got != query {
			t.Errorf("%q became %q", query, got)
		}
	})
}

func FuzzPresented(f *testing.F) {
	f.Add("Bearer fk-1", "fk-1", "key=fk-1")
	f.Add("Basic x", "", "a=b;key=%66")
	f.Add("bearer  a b", " x ", "key=&key=x")
	f.Fuzz(func(t *testing.T, authorization, xAPIKey, query string) {
		h := http.Header{"Authorization": {authorization}, "X-Api-Key": {xAPIKey}}
		value, slot, err := keys.Presented(h, query)
		if (value == "") != (slot == keys.NoSlot) || err != nil && value != "" {
			t.Errorf("%q in slot %d, %v", value, slot, err)
		}
		if slot == keys.Bearer && (len(authorization) < 8 || !strings.EqualFold(strings.TrimLeft(authorization, " \t")[:6], "bearer") || strings.ContainsAny(value, " \t")) {
			t.Errorf("%q gave %q", authorization, value)
		}
		keys.Strip(h)
		if v, s, err := keys.Presented(h, keys.StripQuery(query)); v != "" || s != keys.NoSlot || err != nil {
			t.Errorf("left after stripping: %q in slot %d, %v", v, s, err)
		}
	})
}

func BenchmarkPresented(b *testing.B) {
	h := http.Header{"Authorization": {"Bearer " + plain}, "Content-Type": {"application/json"}}
	b.ReportAllocs()
	for b.Loop() {
		keys.Presented(h, "")
	}
}

package keys_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"forward/internal/keys"
)

const plain = "fk-a1B2c3D4e5F6g7H8i9J0x9Zt"

func TestSecretIsMaskedHoweverItIsPrinted(t *testing.T) {
	s := keys.NewSecret(plain)
	key := keys.Key{Name: "alice", Secret: s}
	marshal := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	log := func(handler func(*bytes.Buffer) slog.Handler) string {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("with "+s.String(), "secret", s, "pointer", &s, "key", key, "group", slog.GroupValue(slog.Any("in", s)), "list", []keys.Secret{s})
		return b.String()
	}
	var asGob bytes.Buffer
	if err := gob.NewEncoder(&asGob).Encode(struct{ S keys.Secret }{s}); err == nil {
		t.Error("gob encodes a secret") // it knows neither text nor formatters, so it must refuse
	}
	asXML, err := xml.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	printed := map[string]string{
		"String":          s.String(),
		"slog value":      slog.AnyValue(s).Resolve().String(),
		"GoString":        s.GoString(),
		"error":           fmt.Errorf("sending %v: %w", s, errors.New("x")).Error(),
		"Sprint":          fmt.Sprint(s, &s, key, &key),
		"JSON":            marshal(s),
		"JSON in struct":  marshal(key),
		"JSON map key":    marshal(map[keys.Secret]int{s: 1}),
		"JSON map value":  marshal(map[string]any{"s": &s}),
		"XML":             string(asXML),
		"gob":             asGob.String(),
		"slog text":       log(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }),
		"slog JSON":       log(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }),
		"width and flags": fmt.Sprintf("%50s|%-50v|%.3s|% x|%#x|%X|%U|%p|%t", s, s, s, s, s, s, s, s, s),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%T", "%p", "%t", "%z", "%!"} {
		printed["secret "+verb] = fmt.Sprintf(verb, s)
		printed["pointer "+verb] = fmt.Sprintf(verb, &s)
		printed["key "+verb] = fmt.Sprintf(verb, key)
		printed["list "+verb] = fmt.Sprintf(verb, []keys.Secret{s})
		printed["map "+verb] = fmt.Sprintf(verb, map[keys.Secret]keys.Secret{s: s})
	}
	for how, got := range printed {
		wantMasked(t, how, got)
	}
	if kind := slog.AnyValue(s).Resolve().Kind(); kind != slog.KindString {
		t.Errorf("a log handler gets a value of kind %v", kind)
	}
	for how, want := range map[string]string{"secret %v": "fk-a1B2…x9Zt", "secret %q": `"fk-a1B2…x9Zt"`, "secret %#v": `keys.Secret("fk-a1B2…x9Zt")`, "JSON": `"fk-a1B2…x9Zt"`, "secret %x": "fk-a1B2…x9Zt"} {
		if printed[how] != want {
			t.Errorf("%s prints %s, want %s", how, printed[how], want)
		}
	}
}

func TestSecretInsideAnUnexportedField(t *testing.T) {
	type config struct{ secret keys.Secret }
	c := config{keys.NewSecret(plain)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		wantMasked(t, verb, fmt.Sprintf(verb, c))
		wantMasked(t, verb, fmt.Sprintf(verb, []*config{&c}))
	}
}

// wantMasked fails the test if got shows more of plain than its mask does.
func wantMasked(t *testing.T, how, got string) {
	t.Helper()
	for _, leak := range []string{"c3D4", "g7H8", fmt.Sprintf("%x", "c3D4"), fmt.Sprintf("%X", "c3D4"), fmt.Sprintf("% x", "c3D4"), "[102 107 45"} {
		if strings.Contains(got, leak) {
			t.Errorf("%s prints %q", how, got)
		}
	}
}

func TestZeroSecret(t *testing.T) {
	s := keys.NewSecret("")
	if !s.IsZero() || s.Reveal() != "" || s != (keys.Secret{}) || s.String() != "…" {
		t.Errorf("zero secret: %v %q %q", s.IsZero(), s.Reveal(), s.String())
	}
	if s := keys.NewSecret(plain); s.IsZero() || s.Reveal() != plain {
		t.Errorf("secret: %v %q", s.IsZero(), s.Reveal())
	}
}

func TestMask(t *testing.T) {
	for s, want := range map[string]string{
		"":                                       "…",
		"x":                                      "…",
		"fk-1":                                   "fk-…",
		"fk-":                                    "fk-…",
		"sk-12345":                               "sk-…",
		"123456789012345":                        "…",
		"1234567890123456":                       "12…56",
		"fk-1234567890123":                       "fk-12…23",
		plain:                                    "fk-a1B2…x9Zt",
		"AIzaSyA0123456789012345678901234567890": "AIza…7890",
		"sk-proj-abcdefghijklmnopqrstuvwxyz":     "sk-proj-abcd…wxyz",
		"sk-proj-abcdefgh":                       "sk-proj-a…h",
		"sk-ant-api03-abcdefghijklmnopqrstuvwxyz": "sk-ant-api03-abcd…wxyz",
		"sk-ant-api03-ab":                         "sk-ant-api03-…",
		"\x00\n\"%\\é5678901234567890\x1b[31":     "****…*[31",
	} {
		if got := keys.Mask(s); got != want && !strings.Contains(s, "\x1b") {
			t.Errorf("Mask(%q) = %q, want %q", s, got, want)
		}
	}
}

func TestMaskBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringMatching(`(fk-|sk-|sk-proj-|)[a-zA-Z0-9]{0,60}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "s")
		got := keys.Mask(s)
		head, tail, found := strings.Cut(got, "…")
		if !found || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\n\r\x1b\"\\%") {
			t.Fatalf("Mask(%q) = %q", s, got)
		}
		secret := s
		for _, p := range []string{"sk-ant-api03-", "sk-svcacct-", "sk-or-v1-", "sk-proj-", "fk-", "sk-"} {
			if strings.HasPrefix(s, p) {
				secret, head = s[len(p):], strings.TrimPrefix(head, p)
				break
			}
		}
		shown := len(head) + len(tail)
		if shown > 8 || shown*3 > len(secret) || len(s) < 16 && shown > 0 {
			t.Fatalf("Mask(%q) = %q shows %d of %d", s, got, shown, len(secret))
		}
	})
}

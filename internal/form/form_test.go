package form_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/url"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"forward/internal/form"
)

// scan writes a form in pieces of a size.
func scan(contentType, body string, size int) *form.Scanner {
	s := form.New(contentType)
	for len(body) > 0 {
		n := min(size, len(body))
		io.WriteString(s, body[:n])
		body = body[n:]
	}
	s.Close()
	return s
}

func list(s *form.Scanner) string {
	var b strings.Builder
	for _, f := range s.Fields() {
		fmt.Fprintf(&b, "%s=%s", f.Name, f.Value)
		if !f.Kept {
			b.WriteString("(not kept)")
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

const parts = "multipart/form-data; boundary=b0undary"

// part is one part of a form with the boundary of parts.
func part(disposition, value string) string {
	return "--b0undary\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + value + "\r\n"
}

func TestForms(t *testing.T) {
	const end = "--b0undary--\r\n"
	for name, test := range map[string]struct{ kind, body, want, err string }{
		"fields":                 {parts, part(`name="model"`, "whisper-1") + part(`name="n"`, "2") + end, "model=whisper-1 n=2", ""},
		"the model after a file": {parts, part(`name="file"; filename="a.mp3"`, strings.Repeat("\r\n-", 1000)) + part(`name="model"`, "whisper-1") + end, "file=(not kept) model=whisper-1", ""},
		"lines of \\n":           {parts, strings.ReplaceAll(part(`name="model"`, "m")+end, "\r\n", "\n"), "model=m", ""},
		"an empty value":         {parts, part(`name="model"`, "") + end, "model=", ""},
		"a model as a file":      {parts, part(`name="model"; filename="m"`, "x") + end, "model=x", ""},
		"a long value":           {parts, part(`name="prompt"`, strings.Repeat("x", 1<<20)) + part(`name="n"`, "2") + end, "prompt=(not kept) n=2", ""},
		"a part without a name":  {parts, "--b0undary\r\n\r\nx\r\n" + end, "", ""},
		"line breaks first":      {parts, "\r\n" + part(`name="model"`, "m") + end, "model=m", ""},
		"pairs":                  {"application/x-www-form-urlencoded", "model=gpt%2d4o&n=2&a+b=c+d&e", "model=gpt-4o n=2 a b=c d e=", ""},
		"a semicolon":            {"application/x-www-form-urlencoded;charset=utf-8", "a=b;model=m", "a=b model=m", ""},
		"no pairs":               {"application/x-www-form-urlencoded", "&&", "", ""},

		"a preamble":                 {parts, "x\r\n" + part(`name="model"`, "m") + end, "", "more than one way"},
		"an epilogue":                {parts, part(`name="model"`, "m") + end + part(`name="model"`, "n"), "model=m", "more than one way"},
		"a cut form":                 {parts, part(`name="model"`, "m"), "", "too early"},
		"another line end":           {parts, part(`name="f"; filename="f"`, "x\n--b0undary\nContent-Disposition: form-data; name=\"model\"\n\nm") + end, "", "more than one way"},
		"a boundary within a line":   {parts, part(`name="f"; filename="f"`, "x--b0undary") + end, "", "more than one way"},
		"a longer boundary":          {parts, part(`name="f"; filename="f"`, "x\r\n--b0undaryx") + end, "f=(not kept)", "more than one way"},
		"two names":                  {parts, part("name=\"f\"\r\nContent-Disposition: form-data; name=\"model\"", "m") + end, "", "more than one way"},
		"an extended name":           {parts, part(`name*=utf-8''mod%65l`, "m") + end, "", "more than one way"},
		"an encoded value":           {parts, part("name=\"model\"\r\nContent-Transfer-Encoding: quoted-printable", "m") + end, "", "more than one way"},
		"a header that ends earlier": {parts, part("name=\"f\"\n\nx", "m") + end, "", "more than one way"},
		"two boundaries":             {"multipart/form-data; boundary=b0undary; boundary=x", part(`name="model"`, "m") + end, "", "more than one way"},
		"no boundary":                {"multipart/form-data", "x", "", "more than one way"},
		"too many fields":            {"application/x-www-form-urlencoded", strings.Repeat("a=&", 2000), strings.TrimSpace(strings.Repeat("a= ", 1000)), "more than one way"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, 1 << 20} {
				s := scan(test.kind, test.body, size)
				if got := list(s); got != test.want {
					t.Errorf("in pieces of %d: %s, want %s", size, got, test.want)
				}
				if (test.err == "") != (s.Err() == nil) || (s.Err() != nil && !strings.Contains(s.Err().Error(), test.err)) {
					t.Errorf("in pieces of %d: error %v, want %q", size, s.Err(), test.err)
				}
				if test.err == "" && !s.Ended() {
					t.Error("the end was not found")
				}
			}
		})
	}
	if form.New("application/json") != nil || form.New("") != nil {
		t.Error("it takes other bodies for forms")
	}
}

// TestFormsOfClients draws forms, has the standard library write them, and
// wants them read as they were, whatever pieces they come in.
func TestFormsOfClients(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]string {
			return [2]string{rapid.StringMatching(`[a-z_\[\]]{1,9}`).Draw(t, "name"), rapid.StringMatching(`[ -~\r\n-]{0,40}`).Draw(t, "value")}
		}), 0, 6).Draw(t, "fields")
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		var pairs []string
		want := ""
		for _, v := range values {
			w.WriteField(v[0], v[1])
			pairs = append(pairs, url.QueryEscape(v[0])+"="+url.QueryEscape(v[1]))
			want += v[0] + "=" + v[1] + " "
		}
		w.Close()
		if len(values) == 0 {
			return // no client sends a form without a part
		}
		size := rapid.IntRange(1, body.Len()).Draw(t, "size")
		for kind, text := range map[string]string{w.FormDataContentType(): body.String(), "application/x-www-form-urlencoded": strings.Join(pairs, "&")} {
			s := scan(kind, text, size)
			if got := list(s); got != strings.TrimSpace(want) || s.Err() != nil || !s.Ended() {
				t.Fatalf("%s: %q with %v, want %q", kind, got, s.Err(), want)
			}
		}
	})
}

// TestALongFormTakesNoMemory reads a file of 64 MB.
func TestALongFormTakesNoMemory(t *testing.T) {
	var before, after runtime.MemStats
	s := form.New(parts)
	io.WriteString(s, "--b0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n")
	piece := bytes.Repeat([]byte("\r\n-x"), 8<<10)
	runtime.ReadMemStats(&before)
	for range 2048 {
		s.Write(piece)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
	io.WriteString(s, "\r\n"+part(`name="model"`, "m")+"--b0undary--")
	if s.Close() != nil || list(s) != "file=(not kept) model=m" {
		t.Errorf("%s with %v", list(s), s.Err())
	}
}

func FuzzForms(f *testing.F) {
	f.Add(part(`name="model"`, "m")+"--b0undary--", 3)
	f.Fuzz(func(t *testing.T, body string, size int) {
		size = max(size, 1)
		whole := scan(parts, body, max(len(body), 1))
		pieces := scan(parts, body, size)
		if (whole.Err() == nil) != (pieces.Err() == nil) || (whole.Err() == nil && list(whole) != list(pieces)) {
			t.Fatalf("%s (%v) in one piece, %s (%v) in pieces of %d", list(whole), whole.Err(), list(pieces), pieces.Err(), size)
		}
	})
}

func ExampleScanner() {
	s := form.New("multipart/form-data; boundary=x")
	io.WriteString(s, "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x--\r\n")
	fmt.Println(s.Fields()[0].Name, s.Fields()[0].Value, s.Ended())
	// Output: model whisper-1 true
}

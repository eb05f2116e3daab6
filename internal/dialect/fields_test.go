package dialect_test

import (
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/form"
)

func TestModelsOfABody(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"a"}`: "a",
		`{"messages":[{"content":"x","model":"no"}]}`:       "",
		`{"model":"a","models":["b","c",null]}`:             "a b c",
		`{"Model":null,"MODEL":"a"}`:                        "a",
		`{"model":["a",{"x":1}]}`:                           `a {"x":1}`,
		`{"model":5}`:                                       "5",
		`{"session":{"model":"a","Model":"b"}}`:             "a b",
		`{"session":{"model":"a"},"session":{"model":"b"}}`: "a b",
		`{"session":{"audio":{"input":{"transcription":{"model":"a"}}},"input_audio_transcription":{"model":"b"}}}`: "a b",
		`{"response":{"model":"a"}}`:                                      "a",
		`{"data_source":{"type":"responses","model":"a"}}`:                "a",
		`{"testing_criteria":[{"type":"score_model","model":"a"}]}`:       "a",
		`{"grader":{"model":"a"}}`:                                        "a",
		`{"tools":[{"type":"image_generation","model":"a"}]}`:             "a",
		`{"tools":[{"function":{"parameters":{"model":"no"}}}]}`:          "",
		`{"plugins":[{"id":"fusion","models":["a"],"model":"b"}]}`:        "a b",
		`{"fallbacks":["a",{"model":"b"}]}`:                               "b a",
		`{"requests":[{"params":{"model":"a"}},{"model":"models/b"}]}`:    "a models/b",
		`{"providerOptions":{"gateway":{"models":["a"]}}}`:                "a",
		`{"metadata":{"model":"no"},"input":[{"arguments":{"model":1}}]}`: "",
	} {
		b, err := dialect.Scan([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		var got []string
		b.Models(false, func(model string) bool {
			got = append(got, model)
			return true
		})
		if strings.Join(got, " ") != want {
			t.Errorf("%s names %v, want %s", body, got, want)
		}
		n := 0
		b.Models(false, func(string) bool { n++; return false })
		if n > 1 {
			t.Errorf("%s: it goes on", body)
		}
	}
}

func TestAModelInThePathStandsForTheOneOfTheBody(t *testing.T) {
	b, err := dialect.Scan([]byte(`{"model":"a","models":["b"]}`))
	if err != nil {
		t.Fatal(err)
	}
	b.Models(true, func(model string) bool {
		if model != "b" {
			t.Errorf("it visits %s", model)
		}
		return true
	})
}

func TestFormBody(t *testing.T) {
	kept := func(pairs ...string) (fields []form.Field) {
		for i := 0; i < len(pairs); i += 2 {
			fields = append(fields, form.Field{Name: pairs[i], Value: pairs[i+1], Kept: true})
		}
		return fields
	}
	for _, test := range []struct {
		fields []form.Field
		want   string
	}{
		{nil, `{}`},
		{append(kept("model", "1", "n", "2", "stream", "true"), form.Field{Name: "file"}), `{"model":"1","n":2,"stream":true}`},
		{kept("seconds", "04", "size", "1024x1024", "prompt", "a \"b\""), `{"seconds":"04","size":"1024x1024","prompt":"a \"b\""}`},
		{kept("models[]", "a", "models[]", "b"), `{"models":"a","models":"b"}`},
		{kept("session", `{"model":"a"}`, "x", `{"model"`), `{"session":{"model":"a"},"x":"{\"model\""}`},
	} {
		b, err := dialect.FormBody(test.fields)
		if err != nil || string(b.Raw()) != test.want {
			t.Errorf("%v: %v, want %s", test.fields, err, test.want)
		}
	}
	if _, err := dialect.FormBody(kept("model", "a", "model", "b")); err == nil {
		t.Error("two models are one")
	}
}

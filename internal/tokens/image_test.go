package tokens_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"forward/internal/dialect"
	"forward/internal/tokens"
)

// pictures returns an image of a size in all formats, as base64.
func pictures(t testing.TB, width, height int) map[string]string {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.White, color.Black})
	var p, j, g bytes.Buffer
	for _, err := range []error{png.Encode(&p, img), jpeg.Encode(&j, img, nil), gif.Encode(&g, img, nil)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// What a camera and an editor put before the frame: Exif with a preview,
	// itself a JPEG of another size, and a comment.
	segment := func(marker byte, data string) string {
		return string([]byte{0xFF, marker, byte((len(data) + 2) >> 8), byte(len(data) + 2)}) + data
	}
	camera := "\xff\xd8" + segment(0xE1, "Exif\x00\x00"+"\xff\xd8\xff\xc0\x00\x11\x08\x00\x10\x00\x10"+strings.Repeat("\xff\xc0", 20_000)) +
		segment(0xFE, "comment") + "\xff" + j.String()[2:]
	little := func(v, n int) string {
		return string([]byte{byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)}[:n])
	}
	bits := (width - 1) | (height-1)<<14
	out := make(map[string]string)
	for name, data := range map[string]string{
		"png": p.String(), "jpeg": j.String(), "gif": g.String(), "jpeg of a camera": camera,
		"webp lossy":    "RIFF\x00\x00\x00\x00WEBPVP8 \x00\x00\x00\x00\x00\x00\x00\x9d\x01\x2a" + little(width, 2) + little(height, 2) + "\x00",
		"webp lossless": "RIFF\x00\x00\x00\x00WEBPVP8L\x00\x00\x00\x00\x2f" + little(bits, 4) + "\x00",
		"webp extended": "RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00" + little(width-1, 3) + little(height-1, 3) + "\x00",
	} {
		out[name] = base64.StdEncoding.EncodeToString([]byte(data))
	}
	return out
}

func TestImageSize(t *testing.T) {
	for _, s := range [][2]int{{1, 1}, {3, 5}, {640, 480}, {255, 2049}} {
		for format, data := range pictures(t, s[0], s[1]) {
			w, h, ok := tokens.ImageSize(data)
			if int(w) != s[0] || int(h) != s[1] || !ok {
				t.Errorf("%s of %v: %d × %d, %v", format, s, w, h, ok)
			}
			url := strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(data)
			if w, h, ok := tokens.ImageSize(url); int(w) != s[0] || int(h) != s[1] || !ok {
				t.Errorf("%s of %v, URL-safe: %d × %d, %v", format, s, w, h, ok)
			}
		}
	}
	for format, data := range pictures(t, 640, 480) {
		for n := range min(len(data), 60) { // cut off: never a panic, never half a number
			if w, h, ok := tokens.ImageSize(data[:n]); ok && (w != 640 || h != 480) {
				t.Errorf("%s cut at %d: %d × %d", format, n, w, h)
			}
		}
	}
}

// TestImagesOfOpenAI are the examples of OpenAI's guide "Images and vision",
// "Calculating costs", and counts that people published; what is around the
// picture is seven tokens.
func TestImagesOfOpenAI(t *testing.T) {
	const around = 3 + 1 + 3
	for _, c := range []struct {
		model         string
		width, height int
		detail        string
		want          int64
	}{
		{"gpt-4o", 1024, 1024, "high", 765},   // the guide
		{"gpt-4o", 2048, 4096, "high", 1105},  // the guide
		{"gpt-4o", 4096, 8192, "low", 85},     // the guide
		{"gpt-4o", 800, 1600, "high", 1105},   // made smaller to 768 × 1536
		{"gpt-4o", 760, 1600, "high", 1445},   // as it is: 2 × 4 tiles
		{"gpt-4.1", 1024, 1024, "auto", 765},  // as gpt-4o
		{"gpt-4o", 128, 64, "high", 267 - 12}, // https://community.openai.com/t/…/1262691, text of 12 tokens, as the next ones
		{"o3", 128, 64, "high", 236 - 11},
		{"o3", 128, 64, "low", 86 - 11},
		{"gpt-4o-mini", 128, 64, "low", 2845 - 12},
		{"gpt-4o-mini", 128, 64, "high", 8512 - 12},
		{"gpt-4.1-mini", 1024, 1024, "high", 1659}, // the guide: 1024 patches
		{"gpt-4.1-mini", 1800, 2400, "high", 2353}, // the guide: 1452 patches
		{"gpt-4.1-mini", 2400, 1800, "high", 2353}, // …/1230130: 2,352.24 by formula
		{"gpt-4.1-mini", 4000, 1474, "high", 2348}, // …/1281361: OpenAI's calculator; 2488 were billed, the most there is
		{"gpt-4.1-nano", 1024, 1024, "high", 2520},
		{"o4-mini", 1024, 1024, "high", 1762},
		{"gpt-5-mini", 256, 256, "high", 77}, // …/1344040, measured, as the next ones
		{"gpt-5-mini", 512, 512, "high", 308},
		{"gpt-5-mini", 768, 1024, "high", 922},
		{"gpt-5-mini", 1280, 720, "high", 1104},
		{"gpt-5-mini", 1024, 1024, "high", 1229},
		{"gpt-5-mini", 2048, 768, "high", 1844},
		{"gpt-5", 1024, 1024, "high", 70 + 4*140},
		{"gpt-5.1", 512, 512, "high", 70 + 140},
		{"gpt-5.2", 1024, 1024, "high", 1229},
		{"gpt-4.1-mini", 1, 60000, "high", 2489}, // nothing is left of its width: the most
	} {
		t.Run(fmt.Sprintf("%s/%dx%d/%s", c.model, c.width, c.height, c.detail), func(t *testing.T) {
			data := header(c.width, c.height)
			body := `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/gif;base64,` + data + `","detail":"` + c.detail + `"}}]}]}`
			if got := demand(t, dialect.Chat, c.model, body); got.Prompt != around+c.want {
				t.Errorf("%d tokens, want %d", got.Prompt-around, c.want)
			}
		})
	}
}

// header is the beginning of a GIF of a size in base64.
func header(width, height int) string {
	return base64.StdEncoding.EncodeToString([]byte{'G', 'I', 'F', '8', '9', 'a', byte(width), byte(width >> 8), byte(height), byte(height >> 8), 0, 0, 0})
}

func TestImagesOfOthers(t *testing.T) {
	for _, c := range []struct {
		model         string
		width, height int
		want          int64
	}{
		// https://platform.claude.com/docs/en/build-with-claude/vision; the
		// older formula, width × height / 750, gives 54, 1334 and 1590 for the
		// first three.
		{"claude-sonnet-4-5", 200, 200, 64},
		{"claude-sonnet-4-5", 1000, 1000, 36 * 36},
		{"claude-sonnet-4-5", 1092, 1092, 39 * 39},
		{"claude-sonnet-4-5", 2576, 1500, 1568}, // measured: never more than some 1,560
		{"claude-opus-4-7", 2576, 1449, 92 * 52},
		{"claude-opus-4-7", 8000, 8000, 4784},
		// https://ai.google.dev/gemini-api/docs/image-understanding
		{"gemini-2.5-flash", 384, 384, 258},
		{"gemini-2.5-flash", 960, 540, 6 * 258},
		{"gemini-2.5-flash", 65535, 1, 64 * 258},
		{"gemini-3-pro-preview", 960, 540, 1120}, // media resolution high, the default
	} {
		t.Run(fmt.Sprintf("%s/%dx%d", c.model, c.width, c.height), func(t *testing.T) {
			data := header(c.width, c.height)
			op, around := dialect.Messages, int64(4+3)
			body := `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/gif","data":"` + data + `"}}]}]}`
			if strings.HasPrefix(c.model, "gemini") {
				op, around = dialect.Generate, 1
				body = `{"contents":[{"parts":[{"inlineData":{"mimeType":"image/gif","data":"` + data + `"}}]}]}`
			}
			if got := demand(t, op, c.model, body); got.Prompt != around+c.want {
				t.Errorf("%d tokens, want %d", got.Prompt-around, c.want)
			}
		})
	}
}

// TestEscapedPictures spells the slashes of base64 as PHP does.
func TestEscapedPictures(t *testing.T) {
	for format, data := range pictures(t, 640, 480) {
		ask := func(url string) tokens.Demand {
			return demand(t, dialect.Chat, "gpt-4o", `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"`+url+`"}}]}]}`)
		}
		plain := ask("data:image/x;base64," + data)
		if escaped := ask(strings.ReplaceAll("data:image/x;base64,"+data, "/", `\/`)); escaped != plain || !plain.Exact {
			t.Errorf("%s: %+v with escapes, %+v without", format, escaped, plain)
		}
	}
}

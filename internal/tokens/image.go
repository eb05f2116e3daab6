package tokens

import (
	"math"
	"strings"

	"forward/internal/jsonscan"
)

// vision is how a family of OpenAI's models counts an image: by tiles of 512
// pixels, or by patches of 32. Source:
// https://platform.openai.com/docs/guides/images-vision, "Calculating costs".
type vision struct {
	family     string
	base, tile int64 // tokens
	hundredths int64 // tokens of a hundred patches; 0: tiles
}

// visions holds longer names before their prefixes. For gpt-5-mini and
// gpt-5-nano the guide has 1.62 and 2.46 a patch, but the price calculator and
// the API count 1.2 and 1.5, and 1.2 for gpt-5.2; sources:
// https://community.openai.com/t/gpt-5-mini-image-input-token-calculation-discrepancy-with-official-faq-formula/1344040
// and
// https://community.openai.com/t/api-ai-computer-vision-pricing-models-compared-visually/1372291.
// Unknown names count like gpt-4o.
var visions = []vision{
	{family: "gpt-4o-mini", base: 2833, tile: 5667},
	{family: "gpt-4.1-mini", hundredths: 162},
	{family: "gpt-4.1-nano", hundredths: 246},
	{family: "o4-mini", hundredths: 172},
	{family: "gpt-5-mini", hundredths: 120},
	{family: "gpt-5-nano", hundredths: 150},
	{family: "gpt-5.1", base: 70, tile: 140},
	{family: "gpt-5.", hundredths: 120},
	{family: "gpt-5", base: 70, tile: 140},
	{family: "gpt-6", hundredths: 120},
	{family: "o1", base: 75, tile: 150},
	{family: "o3", base: 75, tile: 150},
	{family: "computer-use", base: 65, tile: 129},
	{family: "", base: 85, tile: 170},
}

// unknownSide, in pixels, stands for images whose size is unknown, because they
// are behind a URL or in another format; maxSide is the largest plausible size
// in a header.
const (
	unknownSide = 1024
	maxSide     = 1 << 16
	maxHeader   = 256 << 10 // bytes of base64 in which the header of an image with escapes is looked for
)

// size is the size of an image in pixels.
type size struct{ width, height int64 }

// openAIImage adds an image of the chat and responses API; url is a string as
// it is spelled. The model decides what "auto" means; it is counted as "high".
func (r *request) openAIImage(url, detail string) {
	pixels := r.measure(payload(url))
	for _, v := range visions {
		if strings.HasPrefix(r.model, v.family) {
			r.add(v.tokens(pixels, detail == "low"))
			return
		}
	}
}

// measure returns the size of an image in base64, or a square of unknownSide.
func (r *request) measure(data string) size {
	if strings.IndexByte(data, '\\') >= 0 { // escaped slashes, as PHP writes them, would move the rest
		r.plain = jsonscan.AppendUnescaped(r.plain[:0], data[:min(len(data), maxHeader)])
		data = view(r.plain)
	}
	pixels, ok := imageSize(data)
	if !ok {
		r.inexact = true
		return size{unknownSide, unknownSide}
	}
	return pixels
}

func (v vision) tokens(s size, low bool) int64 {
	switch {
	case v.hundredths > 0:
		if low {
			s = s.within(512, 512)
		}
		return ceil(patches(s)*v.hundredths, 100)
	case low:
		return v.base
	}
	s = s.within(2048, 2048)
	if short := min(s.width, s.height); short > 768 {
		s = s.scaled(768 / float64(short))
	}
	return v.base + v.tile*ceil(s.width, 512)*ceil(s.height, 512)
}

// patches returns the patches of 32 pixels that cover an image, which is made
// smaller to need at most 1536, and so that the smaller one fits whole patches
// in one direction.
func patches(s size) int64 {
	const most = 1536
	if n := ceil(s.width, 32) * ceil(s.height, 32); n <= most {
		return n
	}
	w, h := float64(s.width), float64(s.height)
	by := math.Sqrt(32 * 32 * most / (w * h))
	wide, high := w*by/32, h*by/32
	by *= min(math.Floor(wide)/wide, math.Floor(high)/high)
	if by == 0 { // so long and thin that it is less than a patch wide
		return most
	}
	whole := func(side float64) int64 { return int64(math.Ceil(math.Round(side*by*1e6) / 1e6 / 32)) }
	return min(whole(w)*whole(h), most)
}

// within returns the size made smaller to fit, in proportion.
func (s size) within(width, height int64) size {
	by := min(float64(width)/float64(s.width), float64(height)/float64(s.height))
	if by >= 1 {
		return s
	}
	return s.scaled(by)
}

func (s size) scaled(by float64) size {
	side := func(n int64) int64 { return max(int64(math.Round(float64(n)*by)), 1) }
	return size{side(s.width), side(s.height)}
}

// claudeTokens returns the tokens of an image for Claude: patches of 28 pixels,
// which is nearly the older formula of width × height / 750, of an image that
// is made smaller where the model sees no more of it: 1568 pixels and tokens,
// since version 4.7 2576 pixels and 4784 tokens. Source:
// https://platform.claude.com/docs/en/build-with-claude/vision.
func claudeTokens(s size, model string) int64 {
	side, most := int64(1568), int64(1568)
	if _, version, _ := strings.Cut(model, "claude-"); sinceClaude47(version) {
		side, most = 2576, 4784
	}
	s = s.within(side, side)
	return min(ceil(s.width, 28)*ceil(s.height, 28), most)
}

// geminiTokens returns the tokens of an image for Gemini up to 2.5: 258 if no
// side is above 384, else 258 for each tile, whose side is about the image's
// shorter one by 1.5. From 3 on an image has 1120 tokens, whatever its size,
// unless the request sets a media resolution. Source:
// https://ai.google.dev/gemini-api/docs/image-understanding and
// https://ai.google.dev/gemini-api/docs/media-resolution.
func geminiTokens(s size, model string) int64 {
	if sinceGemini3(model) {
		return 1120
	}
	if s.width <= 384 && s.height <= 384 {
		return geminiTile
	}
	unit := max(int64(float64(min(s.width, s.height))/1.5), 1)
	const most = 64 // tiles: only an image that is a thin strip has more, and no count of those is known
	return geminiTile * min(ceil(s.width, unit)*ceil(s.height, unit), most)
}

const geminiTile = 258

// imageSize reads the size of a PNG, GIF, JPEG or WebP image in base64 from its
// header, without decoding the rest.
func imageSize(data string) (s size, ok bool) {
	b := encoded{data}
	switch {
	case b.is(0, "\x89PNG\r\n\x1a\n") && b.is(12, "IHDR"):
		s = size{b.big(16, 4), b.big(20, 4)}
	case b.is(0, "GIF8"):
		s = size{b.little(6, 2), b.little(8, 2)}
	case b.is(0, "\xff\xd8"):
		s = jpegSize(b)
	case b.is(0, "RIFF") && b.is(8, "WEBP"):
		s = webpSize(b)
	}
	return s, s.width > 0 && s.height > 0 && s.width <= maxSide && s.height <= maxSide
}

// jpegSize walks the segments to the frame header (ITU T.81, table B.1), which
// may follow a preview and other data of any length.
func jpegSize(b encoded) size {
	const most = 1000 // segments; real files have some ten
	at := 2
	for range most {
		for b.at(at) == 0xFF && b.at(at+1) == 0xFF { // fill bytes
			at++
		}
		marker := b.at(at + 1)
		if b.at(at) != 0xFF || at > len(b.data) {
			break
		}
		if 0xC0 <= marker && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC {
			return size{b.big(at+7, 2), b.big(at+5, 2)}
		}
		at += 2
		if marker == 0x01 || (0xD0 <= marker && marker <= 0xD8) {
			continue // without a length
		}
		at += int(b.big(at, 2))
	}
	return size{}
}

// webpSize reads the first chunk
// (https://developers.google.com/speed/webp/docs/riff_container).
func webpSize(b encoded) size {
	switch {
	case b.is(12, "VP8 "):
		return size{b.little(26, 2) & 0x3FFF, b.little(28, 2) & 0x3FFF}
	case b.is(12, "VP8L") && b.all(21, 4) > 0:
		bits := b.little(21, 4)
		return size{bits&0x3FFF + 1, bits>>14&0x3FFF + 1}
	case b.is(12, "VP8X") && b.all(24, 6) > 0:
		return size{b.little(24, 3) + 1, b.little(27, 3) + 1}
	}
	return size{}
}

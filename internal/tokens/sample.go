package tokens

import "unicode/utf8"

// A long text is cut into sampleWindows equal stretches, and sampleBytes of each are counted. Together that is MaxExact:
// a longer text costs what the longest exact one does. Many small windows err less than few large ones on texts of
// mixed kinds (Go's own source, 0.3 to 3 MB: 0.5 % root mean square with 512, 0.8 % with 128), until their edges weigh.
const (
	sampleWindows = 512
	sampleBytes   = MaxExact / sampleWindows
)

// sample estimates the tokens of a text longer than MaxExact by the windows' tokens per byte. Each window lies somewhere
// in its stretch, not at its beginning, because texts often repeat with a period (rows, records) that could fall in step
// with the stretches. The places depend on nothing but the length, so that equal texts have equal counts.
func sample(v *vocabulary, text []byte) int {
	stretch := len(text) / sampleWindows
	tokens, bytes := 0, 0
	random := uint64(len(text))
	for i := range sampleWindows {
		random = random*6364136223846793005 + 1442695040888963407 // Knuth's MMIX generator; its upper half is the better one
		from := i*stretch + int((random>>32)*uint64(stretch-sampleBytes+1)>>32)
		window := text[wordStart(text, from):wordStart(text, from+sampleBytes)]
		tokens += v.count(valid(window))
		bytes += len(window)
	}
	return int(float64(tokens)*float64(len(text))/float64(bytes) + 0.5)
}

// wordStart returns the first place at or shortly after i where a piece may begin, so that a window's edges don't split a
// word and count it as two: before a space, or else before a rune.
func wordStart(text []byte, i int) int {
	const near = 32
	end := min(i+near, len(text))
	for j := max(i, 1); j < end; j++ {
		if text[j] == ' ' && text[j-1] != ' ' {
			return j
		}
	}
	for j := i; j < min(i+utf8.UTFMax, len(text)); j++ {
		if utf8.RuneStart(text[j]) {
			return j
		}
	}
	return i
}

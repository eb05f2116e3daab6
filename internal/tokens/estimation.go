package tokens

import (
	"math"
	"unicode/utf8"
)

// Estimation counts tokens by length instead of by vocabulary, as llm-proxy
// does: faster than counting, and wrong by as much as the text differs from
// English prose. The zero Estimation has no ratio and estimates nothing; call
// On first.
type Estimation struct {
	CharsPerToken float64            // of texts of providers that are not named; 0: those are to be counted exactly
	ByProvider    map[string]float64 // by provider
	BytesPerToken float64            // of bytes that are not read; 4 by default
	MaxSample     int64              // bytes of a text that are read; 0: all, below zero: none
}

// On reports whether texts of a provider are to be estimated and not counted.
func (e Estimation) On(provider string) bool { return e.charsPerToken(provider) > 0 }

func (e Estimation) charsPerToken(provider string) float64 {
	if ratio := e.ByProvider[provider]; ratio > 0 {
		return ratio
	}
	return e.CharsPerToken
}

// EstimateTokens returns the estimated tokens of a text, rounded up. Of a text
// longer than MaxSample, that much is read and the rest is assumed to be alike,
// so that length is no way around a limit. Each byte that is not UTF-8 counts
// as a character.
func (e Estimation) EstimateTokens(provider string, text []byte) int64 {
	ratio := e.charsPerToken(provider)
	if ratio <= 0 || e.MaxSample < 0 {
		return e.EstimateBytes(int64(len(text)))
	}
	sample := text
	if e.MaxSample > 0 && int64(len(text)) > e.MaxSample {
		sample = text[:e.MaxSample]
	}
	if len(sample) == 0 {
		return 0
	}
	chars := float64(utf8.RuneCount(sample)) * float64(len(text)) / float64(len(sample))
	return int64(math.Ceil(chars / ratio))
}

// EstimateBytes returns the estimated tokens of n bytes that are not read, as
// of an upload.
func (e Estimation) EstimateBytes(n int64) int64 {
	ratio := e.BytesPerToken
	if ratio <= 0 {
		ratio = 4
	}
	return int64(math.Ceil(float64(max(n, 0)) / ratio))
}

package tokens

// The three functions below cut the next piece off a text as the first match of
// their encoding's regular expression does (tiktoken-go's encoding.go has the
// expressions). They are written by hand because a backtracking regular
// expression reads 3 MB/s, and because a run of white space or capitals must be
// read a bounded number of times, never once for each rune.
//
// A splitter returns the end of the piece that starts at text[i]; i must be
// inside text, and text valid UTF-8.
type splitter func(c *classes, text []byte, i int) (end int)

// splitO200k cuts by o200k_base:
//
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	\p{N}{1,3}
//	 ?[^\s\p{L}\p{N}]+[\r\n/]*
//	\s*[\r\n]+
//	\s+(?!\S)
//	\s+
func splitO200k(c *classes, text []byte, i int) int {
	class, size := c.at(text, i)
	switch {
	case class&letter != 0:
		return casedWord(c, text, i, i)
	case class&number != 0:
		return digits(c, text, i)
	case class&newline == 0:
		if end := casedWord(c, text, i, i+size); end > 0 {
			return end
		}
	}
	if end := spacedSymbols(c, text, i); end > 0 {
		for end < len(text) && (text[end] == '\r' || text[end] == '\n' || text[end] == '/') {
			end++
		}
		return end
	}
	return whiteSpace(c, text, i, true)
}

// splitCl100k cuts by cl100k_base:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)
//	[^\r\n\p{L}\p{N}]?\p{L}+
//	\p{N}{1,3}
//	 ?[^\s\p{L}\p{N}]+[\r\n]*
//	\s*[\r\n]+
//	\s+(?!\S)
//	\s+
func splitCl100k(c *classes, text []byte, i int) int {
	class, size := c.at(text, i)
	switch {
	case class&letter != 0:
		return c.run(text, i+size, letter)
	case class&number != 0:
		return digits(c, text, i)
	case class&newline == 0:
		if end := contraction(text, i, 'a'-'A'); end > i {
			return end
		}
		if end := c.run(text, i+size, letter); end > i+size {
			return end
		}
	}
	if end := spacedSymbols(c, text, i); end > 0 {
		return c.run(text, end, newline)
	}
	return whiteSpace(c, text, i, true)
}

// splitP50k cuts by p50k_base, and by r50k_base and gpt2, which share the
// expression:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func splitP50k(c *classes, text []byte, i int) int {
	if end := contraction(text, i, 0); end > i {
		return end
	}
	start := i
	if text[i] == ' ' && i+1 < len(text) {
		start++
	}
	switch class, _ := c.at(text, start); {
	case class&letter != 0:
		return c.run(text, start, letter)
	case class&number != 0:
		return c.run(text, start, number)
	case class&space == 0:
		return c.symbols(text, start)
	}
	return whiteSpace(c, text, i, false)
}

// casedWord matches o200k's first two alternatives for a word whose letters
// start at text[from], with a leading rune at text[i] if i < from. It returns 0
// if there is no word.
func casedWord(c *classes, text []byte, i, from int) int {
	// The greedy first set. both is the end of the last rune in it that the
	// second set has too: the place to which the expression backtracks if no
	// lower-case letter follows.
	end, both := from, 0
	var class uint8
	var size int
	for end < len(text) {
		class, size = c.at(text, end)
		if class&(upper|caseless|mark) == 0 {
			break
		}
		end += size
		if class&upper == 0 {
			both = end
		}
	}
	switch {
	case end < len(text) && class&lower != 0:
		end = c.run(text, end+size, lower|caseless|mark)
	case both > 0:
		end = both
	case i < from && leadsAsMark(c, text, i):
		end = from // the mark is the word, and the capitals after it are the next one
	case end == from:
		return 0
	}
	return contraction(text, end, 'a'-'A')
}

// leadsAsMark reports whether the leading rune of a word is a combining mark,
// which is also a letter to o200k.
func leadsAsMark(c *classes, text []byte, i int) bool {
	class, _ := c.at(text, i)
	return class&mark != 0
}

// contraction returns the end of 's, 't, 're, 've, 'm, 'll or 'd at text[i], or
// i. fold is the bit that makes upper-case ASCII lower, or 0 to match lower
// case only. (OpenAI's own engine folds the long s to s as well; tiktoken-go
// doesn't.)
func contraction(text []byte, i int, fold byte) int {
	if i+1 >= len(text) || text[i] != '\'' {
		return i
	}
	switch first := text[i+1] | fold; first {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v', 'l':
		if i+2 >= len(text) {
			return i
		}
		if second := text[i+2] | fold; (second == 'e' && first != 'l') || (second == 'l' && first == 'l') {
			return i + 3
		}
	}
	return i
}

// digits returns the end of \p{N}{1,3}.
func digits(c *classes, text []byte, i int) int {
	for n := 0; n < 3 && i < len(text); n++ {
		class, size := c.at(text, i)
		if class&number == 0 {
			break
		}
		i += size
	}
	return i
}

// spacedSymbols returns the end of ` ?[^\s\p{L}\p{N}]+`, or 0.
func spacedSymbols(c *classes, text []byte, i int) int {
	if text[i] == ' ' {
		i++
	}
	if end := c.symbols(text, i); end > i {
		return end
	}
	return 0
}

// whiteSpace returns the end of the piece of white space at text[i]. With
// lines, a run that holds a newline ends after its last one (`\s*[\r\n]+`).
// Otherwise a run before a word leaves its last rune to the word (`\s+(?!\S)`),
// if it has two.
func whiteSpace(c *classes, text []byte, i int, lines bool) int {
	end, last, line := i, i, 0
	for end < len(text) {
		class, size := c.at(text, end)
		if class&space == 0 {
			break
		}
		last = end
		end += size
		if class&newline != 0 {
			line = end
		}
	}
	switch {
	case lines && line > 0:
		return line
	case end < len(text) && last > i:
		return last
	}
	return end
}

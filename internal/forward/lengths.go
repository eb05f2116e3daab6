package forward

import (
	"sync"

	"forward/internal/bounded"
)

// maxLengths bounds the models whose answers are remembered.
const maxLengths = 4096

// enoughAnswers is how many answers of a model show how long its answers are.
const enoughAnswers = 16

// lengths remembers how long the answers of each model were lately, in tokens.
// The zero value is ready, and safe for concurrent use.
type lengths struct {
	mu     sync.Mutex // guards models
	models bounded.Map[*length]
}

// length follows the longest of the recent answers of one model: a longer one
// raises it at once, and each shorter one takes a sixteenth of the difference.
type length struct {
	longest int64 // in tokens
	answers int64
}

// learn takes in an answer whose tokens were reported.
func (l *lengths) learn(model string, tokens int64) {
	if tokens <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	have := l.models.Entries[model]
	if have == nil {
		have = &length{}
		l.models.Put(model, have, maxLengths, func(n *length) float64 { return float64(n.answers) })
	}
	have.answers++
	if tokens >= have.longest {
		have.longest = tokens
	} else {
		have.longest -= (have.longest - tokens + 15) / 16
	}
}

// recent returns what is known of a model's answers.
func (l *lengths) recent(model string) length {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := l.models.Entries[model]; have != nil {
		return *have
	}
	return length{}
}

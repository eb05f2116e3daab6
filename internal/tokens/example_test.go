package tokens_test

import (
	"fmt"

	"forward/internal/tokens"
)

func Example() {
	tokens.Warm() // once, at start

	fmt.Println(tokens.Count("gpt-4o-mini", "How many tokens is this?"))
	fmt.Println(tokens.ForModel("claude-sonnet-4-5"))
	// Output:
	// 6
	// o200k_base false
}

package tokens_test

import (
	"fmt"

	"forward/internal/dialect"
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

func ExamplePrompt() {
	body, err := dialect.Scan([]byte(`{"model":"gpt-4o","max_tokens":60,"messages":[
		{"role":"system","content":"You are a helpful assistant."},
		{"role":"user","content":"Who won the world series in 2020?"}]}`))
	if err != nil {
		panic(err)
	}
	demand := tokens.Prompt(dialect.Chat, "gpt-4o", body)
	fmt.Println(demand.Prompt, demand.Completion, demand.Exact)
	// Output: 27 60 true
}

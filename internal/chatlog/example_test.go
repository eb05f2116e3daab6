package chatlog_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"forward/internal/chatlog"
	"forward/internal/dialect"
	"forward/internal/dialect/openai"
)

// An exchange is logged in two halves, and converted into the form of
// openai-forward.
func Example() {
	dir, err := os.MkdirTemp("", "Log")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	log, err := chatlog.Open(chatlog.Options{Dir: dir, Location: time.UTC})
	if err != nil {
		fmt.Println(err)
		return
	}
	body, err := dialect.Scan([]byte(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	log.Request(chatlog.Request{Route: "openai", UID: "1", IP: "127.0.0.1", Time: time.Date(2026, 11, 21, 15, 27, 12, 0, time.UTC),
		Operation: dialect.Chat, Body: body})
	var answer dialect.Answer
	err = openai.Dialect.Body(dialect.Chat, &answer, []byte(`{"choices":[{"index":0,"message":{"content":"Hello!"},"finish_reason":"stop"}]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	log.Result(chatlog.Result{Route: "openai", UID: "1", Operation: dialect.Chat, Answer: &answer, Status: 200, Complete: answer.Complete()})
	if err := log.Close(); err != nil {
		fmt.Println(err)
		return
	}
	summary, err := chatlog.Convert(context.Background(), os.Stdout, chatlog.ConvertOptions{Dir: dir})
	fmt.Println(summary.Exchanges, err)
	// Output:
	// [
	//   {
	//     "datetime": "2026-11-21 15:27:12",
	//     "ip": "127.0.0.1",
	//     "model": "gpt-4o-mini",
	//     "temperature": 1,
	//     "messages": [
	//       {
	//         "user": "hi"
	//       }
	//     ],
	//     "functions": null,
	//     "is_function_call": false,
	//     "assistant": "Hello!"
	//   }
	// ]
	// 1 <nil>
}

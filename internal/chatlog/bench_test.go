package chatlog_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"forward/internal/chatlog"
	"forward/internal/dialect"
)

// BenchmarkExchange is what a request pays for its two lines, with 1 KiB and
// 100 KiB of messages.
func BenchmarkExchange(b *testing.B) {
	for _, content := range []string{"full", "meta", "redacted"} {
		for name, size := range map[string]int{"1KiB": 1 << 10, "100KiB": 100 << 10} {
			b.Run(content+"/"+name, func(b *testing.B) {
				l := open(b, chatlog.Options{Dir: b.TempDir(), Content: content})
				ask := body(b, `{"model":"m","messages":[{"role":"user","content":"`+strings.Repeat("Some text, as people write it. ", size/31)+`"}],"stream":true}`)
				reply := answer(b, dialect.Chat, hello)
				b.ReportAllocs()
				for b.Loop() {
					l.Request(chatlog.Request{Route: "openai", UID: "0123456789", IP: "127.0.0.1", Key: "alice", Time: noon, Operation: dialect.Chat, Body: ask})
					l.Result(chatlog.Result{Route: "openai", UID: "0123456789", Operation: dialect.Chat, Answer: reply, Status: 200, Complete: true, Elapsed: time.Second})
				}
				b.ReportMetric(float64(l.Dropped())/float64(2*b.N), "dropped/line") // the disk may be slower than the loop
			})
		}
	}
}

// BenchmarkSession is what 16 turns of an agent cost from the requests to the
// file, with references and without: 100 messages of 2 KiB in each turn, two
// are new.
func BenchmarkSession(b *testing.B) {
	const count = 16
	var turns []*dialect.Body
	for turn := range count {
		var items []string
		for i := range 100 {
			items = append(items, fmt.Sprintf(`{"role":"user","content":[{"type":"text","text":"%d %s"}]}`, i+2*turn, strings.Repeat(`Some text, as people write it.\n`, 2048/32)))
		}
		turns = append(turns, body(b, `{"model":"m","messages":[`+strings.Join(items, ",")+`]}`))
	}
	for name, keep := range map[string]bool{"refer": false, "keep": true} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			b.ReportAllocs()
			for b.Loop() {
				l := open(b, chatlog.Options{Dir: dir, KeepRepeats: keep})
				for turn, ask := range turns {
					l.Request(chatlog.Request{Route: "openai", UID: uidOf(turn), Key: "alice", Time: noon, Operation: dialect.Chat, Body: ask})
				}
				l.Close()
				os.RemoveAll(filepath.Join(dir, "openai"))
			}
		})
	}
}

// BenchmarkConvert reads logs of 2 KiB an exchange, ours and openai-forward's.
func BenchmarkConvert(b *testing.B) {
	text := strings.Repeat("Some text, as people write it. ", 60)
	for name, lines := range map[string]func(i string) string{
		"JSON": func(i string) string {
			return `{"messages":[{"role":"user","content":"` + text + `"}],"model":"m","uid":"` + i + `","datetime":"2026-11-21 12:00:00"}` + "\n" + `{"assistant":"x","uid":"` + i + `"}` + "\n"
		},
		"Python": func(i string) string {
			return `{'messages': [{'role': 'user', 'content': '` + text + `'}], 'model': 'm', 'uid': '` + i + `', 'datetime': '2026-11-21 12:00:00'}` + "\n" + `{'assistant': 'x', 'uid': '` + i + `'}` + "\n"
		},
	} {
		b.Run(name, func(b *testing.B) {
			var log strings.Builder
			for i := range 5000 {
				log.WriteString(lines(uidOf(i)))
			}
			path := filepath.Join(b.TempDir(), "chat.log")
			write(b, path, log.String(), time.Now())
			b.SetBytes(int64(log.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := chatlog.Convert(b.Context(), io.Discard, chatlog.ConvertOptions{Inputs: []string{path}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

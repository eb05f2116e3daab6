// Command upstream plays a provider for the bench, as cheaply as can be, so
// that the processors are left to the gateway that is measured.
//
// It reads HTTP/1.1 by itself, since net/http would take as much time as some
// of the gateways. The answer is chosen by the first text of the prompt that
// starts with "play:", because a prompt comes through every gateway as it was
// sent:
//
//	play:chat            a plain answer of about 700 bytes
//	play:chat filtered   the same with the finish reason content_filter, which no cache may keep
//	play:large           a plain answer of 50 KB
//	play:stream 100 5ms  a stream of that many events with this pause between two, and then the usage and data: [DONE]
//	play:idle 5s         a stream that sends a word at once and then in this interval, until no client reads
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	answers := newAnswers()
	for {
		conn, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(conn, answers)
	}
}

// answers are the plain ones, with their headers, by what is played.
type answers map[string][]byte

func newAnswers() answers {
	words := func(size int) string { return strings.Repeat("lorem ipsum ", size/12) }
	return answers{
		"chat":          plain(words(400), "stop"),
		"chat filtered": plain(words(400), "content_filter"),
		"large":         plain(words(50<<10), "content_filter"),
	}
}

// plain is an answer of OpenAI's chat API in full.
func plain(text, finish string) []byte {
	body := fmt.Sprintf(`{"id":"chatcmpl-bench","object":"chat.completion","created":1760000000,"model":"gpt-4o-mini-2024-07-18",`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":%q},"logprobs":null,"finish_reason":%q}],`+
		`"usage":{"prompt_tokens":310,"completion_tokens":100,"total_tokens":410}}`, text, finish)
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: req_bench\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// serve answers the requests of one connection until it ends.
func serve(conn net.Conn, answers answers) {
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 4<<10)
	var body []byte
	for {
		var err error
		if body, err = readRequest(r, body[:0]); err != nil {
			return
		}
		if answer, ok := answers[play(body)]; ok {
			if _, err = conn.Write(answer); err != nil {
				return
			}
			continue
		}
		if err = stream(conn, play(body)); err != nil {
			return
		}
	}
}

// readRequest reads one request and returns its body, appended to buf.
func readRequest(r *bufio.Reader, buf []byte) ([]byte, error) {
	length, chunked := 0, false
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			break
		}
		if first {
			continue // whatever is asked for
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if chunked {
		body, err := io.ReadAll(httputil.NewChunkedReader(r))
		if err != nil {
			return nil, err
		}
		_, err = r.Discard(len("\r\n"))
		return append(buf, body...), err
	}
	buf = append(buf, make([]byte, length)...)
	_, err := io.ReadFull(r, buf)
	return buf, err
}

// play finds what a request asks to be played; "chat" without one.
func play(body []byte) string {
	_, rest, found := bytes.Cut(body, []byte(`"play:`))
	name, _, ended := bytes.Cut(rest, []byte(`"`))
	if !found || !ended {
		return "chat"
	}
	return string(name)
}

// stream plays events. Each is one write.
func stream(conn net.Conn, what string) error {
	fields := strings.Fields(what)
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: req_bench\r\nTransfer-Encoding: chunked\r\n\r\n"
	switch {
	case len(fields) == 3 && fields[0] == "stream":
		count, err := strconv.Atoi(fields[1])
		if err != nil {
			return err
		}
		pause, err := time.ParseDuration(fields[2])
		if err != nil {
			return err
		}
		return paced(conn, head, count, pause)
	case len(fields) == 2 && fields[0] == "idle":
		every, err := time.ParseDuration(fields[1])
		if err != nil {
			return err
		}
		for text := head + chunk(delta("word ", "null")); ; text = chunk(delta("word ", "null")) {
			if _, err := io.WriteString(conn, text); err != nil {
				return err
			}
			time.Sleep(every)
		}
	}
	return fmt.Errorf("nothing is called %q", what)
}

// paced plays a stream with an end. Its last event, that with the finish
// reason, comes together with the usage and [DONE].
func paced(conn net.Conn, head string, count int, pause time.Duration) error {
	due := time.Now()
	word := chunk(delta("word ", "null"))
	for i := range count {
		text := word
		if i == 0 {
			text = head + word
		}
		if i == count-1 {
			text = chunk(delta("", `"content_filter"`)) + chunk(usage) + chunk("data: [DONE]\n\n") + "0\r\n\r\n"
		}
		if _, err := io.WriteString(conn, text); err != nil {
			return err
		}
		due = due.Add(pause)
		if i < count-1 {
			time.Sleep(time.Until(due))
		}
	}
	return nil
}

// delta is an event of OpenAI's chat API.
func delta(text, finish string) string {
	return `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini-2024-07-18",` +
		`"system_fingerprint":"fp_bench","choices":[{"index":0,"delta":{"content":"` + text + `"},"logprobs":null,"finish_reason":` + finish + "}]}\n\n"
}

const usage = `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini-2024-07-18",` +
	`"choices":[],"usage":{"prompt_tokens":310,"completion_tokens":100,"total_tokens":410}}` + "\n\n"

func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

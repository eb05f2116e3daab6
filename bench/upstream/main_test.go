package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// ask plays something over a pipe and returns the answer as net/http reads it.
func ask(t *testing.T, conn net.Conn, r *bufio.Reader, play string, chunked bool) *http.Response {
	t.Helper()
	q, err := http.NewRequest("POST", "http://test/v1/chat/completions", strings.NewReader(`{"messages":[{"role":"system","content":"play:`+play+`"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if chunked {
		q.ContentLength = -1
	}
	if err := q.Write(conn); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(r, q)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// TestPlays asks for everything over one connection, with both ways to frame a
// body.
func TestPlays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go serve(server, newAnswers())
		r := bufio.NewReader(client)
		for _, chunked := range []bool{false, true} {
			for play, finish := range map[string]string{"chat": "stop", "chat filtered": "content_filter", "large": "content_filter"} {
				var got struct {
					Choices []struct {
						FinishReason string `json:"finish_reason"`
					}
				}
				if err := json.NewDecoder(ask(t, client, r, play, chunked).Body).Decode(&got); err != nil || got.Choices[0].FinishReason != finish {
					t.Errorf("%s: %+v, %v", play, got, err)
				}
			}
			start := time.Now()
			body, err := io.ReadAll(ask(t, client, r, "stream 100 5ms", chunked).Body)
			if took := time.Since(start); err != nil || took != 99*5*time.Millisecond {
				t.Errorf("the stream took %v, error %v", took, err)
			}
			if text := string(body); strings.Count(text, "data: ") != 102 || !strings.HasSuffix(text, "data: [DONE]\n\n") || strings.Count(text, `"usage":`) != 1 {
				t.Errorf("the stream is %s", text)
			}
		}
		client.Close()
	})
}

// TestIdle has a stream that goes on until no client reads.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		ended := make(chan bool)
		go func() {
			serve(server, newAnswers())
			close(ended)
		}()
		start := time.Now()
		events := bufio.NewScanner(ask(t, client, bufio.NewReader(client), "idle 5s", false).Body)
		for n := 0; n < 4; {
			if !events.Scan() {
				t.Fatal(events.Err())
			}
			if strings.HasPrefix(events.Text(), "data: ") {
				n++
			}
		}
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("four events took %v", took)
		}
		client.Close()
		<-ended
	})
}

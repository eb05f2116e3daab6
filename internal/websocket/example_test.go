package websocket_test

import (
	"bufio"
	"bytes"
	"fmt"

	"forward/internal/websocket"
)

// A message is read on the side, and passes as it came.
func Example() {
	sent := websocket.Append(nil, websocket.Text, []byte(`{"type":"response.create"}`), &[4]byte{1, 2, 3, 4})

	var m websocket.Message
	r := websocket.NewReader(bufio.NewReader(bytes.NewReader(sent)), true)
	for !m.Whole {
		frame, err := r.Next()
		if err != nil {
			return
		}
		m.Start(frame)
		err = m.Add(r, 1<<20)
		if err != nil {
			return
		}
	}
	var passed bytes.Buffer
	m.WriteTo(&passed, make([]byte, 4<<10))
	fmt.Println(string(m.Payload), bytes.Equal(passed.Bytes(), sent))
	// Output: {"type":"response.create"} true
}

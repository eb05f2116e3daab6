package forward

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestBodiesShareTheirBound(t *testing.T) {
	g := &Gateway{Options: Options{Limiting: Limiting{MaxBodies: 10}}, running: &running{}}
	read := func(a *ask, body string) error {
		_, err := io.Copy(io.Discard, &countedBody{Reader: strings.NewReader(body), all: &g.bodies, limit: g.MaxBodies, own: &a.counted})
		return err
	}
	var alone, second, third ask
	if g.crowded(100) {
		t.Error("the only body does not fit")
	}
	if err := read(&alone, "more than ten bytes"); err != nil {
		t.Errorf("the only body: %v", err)
	}
	if !g.crowded(0) {
		t.Error("another body fits beside one that takes it all")
	}
	g.bodies.Add(-alone.counted)
	if err := errors.Join(read(&second, "five!"), read(&third, "five!")); err != nil {
		t.Errorf("two that fit: %v", err)
	}
	if err := read(&third, "!"); !errors.Is(err, errCrowded) {
		t.Errorf("one byte too many: %v", err)
	}
	g.bodies.Add(-second.counted - third.counted)
	if n := g.bodies.Load(); n != 0 {
		t.Errorf("%d bytes are counted of nothing", n)
	}
}

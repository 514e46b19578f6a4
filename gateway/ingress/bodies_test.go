package ingress

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestBodiesInMemoryAreBounded: large bodies share a budget that is charged as their bytes arrive and given back; what
// is only announced takes no room.
func TestBodiesInMemoryAreBounded(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	in := &Handler{budget: 300 << 10}
	read := func(length int64, body io.Reader) ([]byte, int64, error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", body)
		r.ContentLength = length
		return in.readBody(httptest.NewRecorder(), r, limit)
	}
	for _, size := range []int{0, 1, smallBody - 1, smallBody, smallBody + 1, 200 << 10} {
		for _, length := range []int64{-1, int64(size)} {
			want := bytes.Repeat([]byte("x"), size)
			got, charged, err := read(length, bytes.NewReader(want))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes, length %d: got %d, %v", size, length, len(got), err)
			}
			in.reading.Add(-charged)
		}
	}
	if n := in.reading.Load(); n != 0 {
		t.Fatalf("%d bytes are charged and nobody reads", n)
	}
	waiting, hold := io.Pipe()
	type result struct {
		charged int64
		err     error
	}
	done := make(chan result, 1)
	go func() {
		_, charged, err := read(900<<10, waiting)
		done <- result{charged, err}
	}()
	if _, err := hold.Write(make([]byte, 200<<10)); err != nil { // its first 200 KiB are charged, the rest is announced only
		t.Fatal(err)
	}
	if _, charged, err := read(-1, bytes.NewReader(make([]byte, 200<<10))); !errors.Is(err, errNoRoom) {
		t.Errorf("a second large body: %v", err)
	} else {
		in.reading.Add(-charged)
	}
	if _, _, err := read(1000, bytes.NewReader(make([]byte, 1000))); err != nil {
		t.Errorf("a small body: %v", err)
	}
	_ = hold.Close()
	first := <-done
	in.reading.Add(-first.charged)
	if n := in.reading.Load(); n != 0 {
		t.Errorf("%d bytes are charged and nobody reads", n)
	}
	if _, _, err := read(limit+1, bytes.NewReader(nil)); !errors.Is(err, errTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if _, _, err := read(-1, bytes.NewReader(make([]byte, limit+1))); !errors.Is(err, errTooLarge) && !errors.Is(err, errNoRoom) {
		t.Errorf("too large without a length: %v", err)
	}
}

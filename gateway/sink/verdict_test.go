package sink

import (
	"net/http"
	"testing"
)

// TestKnativeVerdicts: of all answers, which are a success, which are tried again, and which are final.
func TestKnativeVerdicts(t *testing.T) {
	t.Parallel()
	again := map[int]bool{
		http.StatusNotFound: true, http.StatusRequestTimeout: true, http.StatusConflict: true, http.StatusTooEarly: true,
		http.StatusTooManyRequests: true, NoResponse: true,
	}
	for _, code := range append([]int{NoResponse}, between(200, 600)...) {
		want := Rejected
		switch {
		case code >= 200 && code < 300:
			want = Delivered
		case code >= 500 || again[code]:
			want = Retryable
		}
		if o := (Outcome{Code: code}); o.Verdict() != want {
			t.Errorf("%d: verdict %d, want %d", code, o.Verdict(), want)
		}
	}
}

func between(from, to int) []int {
	var all []int
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

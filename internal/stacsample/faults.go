package stacsample

import (
	"net/http"
	"strings"
	"time"
)

// fault applies the fault of a quirk, if there is one, and reports whether the request is finished.
func (x *exchange) fault() bool {
	q := x.quirks
	if !x.unblocked() {
		return true
	}
	if !strings.HasPrefix(x.r.URL.Path, q.FaultPath) {
		return false
	}
	if !x.wait() {
		return true
	}
	n := q.requests.Add(1)
	switch limit := q.RateLimit429; {
	case take(&q.limited), limit.Every > 0 && n%int64(limit.Every) == 0:
		x.rateLimited(limit.RetryAfter)
	case take(&q.forbidden):
		x.json(http.StatusForbidden, typeJSON, map[string]string{"message": "Forbidden"})
	case take(&q.html):
		x.write(http.StatusOK, "text/html; charset=utf-8",
			[]byte("<html><body><h1>Service unavailable</h1></body></html>\n"))
	case take(&q.status):
		status := q.Status5xx.Status
		if status == 0 {
			status = http.StatusInternalServerError
		}
		x.fail(status, "the service is having a bad day")
	default:
		return false
	}
	return true
}

// unblocked applies Block. It reports false if the client went away meanwhile.
func (x *exchange) unblocked() bool {
	if x.quirks.Block == nil || strings.TrimSuffix(x.r.URL.Path, "/") != "/search" {
		return true
	}
	return x.receive(x.quirks.Block)
}

// receive waits for a value. It reports false if the client goes away first.
func (x *exchange) receive(from <-chan struct{}) bool {
	select {
	case <-from:
		return true
	case <-x.r.Context().Done():
		return false
	}
}

// wait applies Slow. It reports false if the client went away meanwhile.
func (x *exchange) wait() bool {
	ctx, slow := x.r.Context(), x.quirks.Slow
	if slow.Delay > 0 {
		timer := time.NewTimer(slow.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return false
		}
	}
	return slow.Gate == nil || x.receive(slow.Gate)
}

func (x *exchange) rateLimited(retryAfter string) {
	if retryAfter != "" {
		x.w.Header().Set("Retry-After", retryAfter)
	}
	x.json(http.StatusTooManyRequests, typeJSON, map[string]any{
		"error": "WAF", "message": "Rate limit exceeded", "status": http.StatusTooManyRequests,
	})
}

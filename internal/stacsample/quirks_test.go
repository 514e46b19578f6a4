package stacsample

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPageQuirks(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 7, Quirks{MaxLimit: 2, NoNumberMatched: true})
	target := first{"POST", server.URL + "/search", map[string]any{"limit": 3}}
	pages := walk(t, target, 9)
	if len(pages) != 4 || len(pages[0].Features) != 2 || pages[0].NumberMatched != nil ||
		pages[0].NumberReturned != nil {
		t.Errorf("MaxLimit, NoNumberMatched: %d pages, the first %+v", len(pages), pages[0])
	}

	c.SetQuirks(Quirks{FailAboveLimit: 2})
	a := send(t, "POST", server.URL+"/search", `{"limit":3}`, nil)
	if a.status != http.StatusBadGateway || string(a.body) != `{"message":"Internal server error"}` {
		t.Errorf("FailAboveLimit: %d %s", a.status, a.body)
	}
	if pages = walk(t, first{"GET", server.URL + "/search?limit=2", nil}, 9); len(allIDs(pages)) != 7 {
		t.Errorf("FailAboveLimit, limit 2: %q", allIDs(pages))
	}

	c.SetQuirks(Quirks{DropNextOnFullPage: true})
	if pages = walk(t, target, 9); len(pages) != 1 || len(pages[0].Features) != 3 || *pages[0].NumberMatched != 7 {
		t.Errorf("DropNextOnFullPage: %d pages", len(pages))
	}

	c.SetQuirks(Quirks{NextOnLastPage: true})
	if pages = walk(t, target, 9); len(pages) != 4 || len(pages[2].Features) != 1 || len(pages[3].Features) != 0 {
		t.Errorf("NextOnLastPage: %d pages", len(pages))
	}

	c.SetQuirks(Quirks{EmptyPageWithNext: true})
	pages = walk(t, target, 9)
	if len(pages) != 4 || len(pages[0].Features) != 0 || distinct(allIDs(pages)) != 7 || *pages[0].NumberMatched != 7 {
		t.Errorf("EmptyPageWithNext: %d pages", len(pages))
	}
}

func TestRepeatPage(t *testing.T) {
	t.Parallel()
	for name, style := range styles() {
		_, server := setup(t, 7, Quirks{RepeatPage: true, NextStyle: style})
		pages := walk(t, requests(server.URL)["post"], 5)
		if len(pages) != 5 || distinct(allIDs(pages)) != 3 {
			t.Errorf("%s: %d pages with %d items", name, len(pages), distinct(allIDs(pages)))
		}
	}
}

func TestItemQuirks(t *testing.T) {
	t.Parallel()
	_, server := setup(t, 2, Quirks{NoSelfLinks: true, HugeItem: 1 << 20})
	page := walk(t, first{"GET", server.URL + "/search", nil}, 1)[0]
	for _, one := range page.Features {
		for _, link := range one.Links {
			if link.Rel == "self" {
				t.Errorf("NoSelfLinks: %+v", link)
			}
		}
		if text, _ := one.Properties["description"].(string); len(text) != 1<<20 {
			t.Errorf("HugeItem: %d bytes", len(text))
		}
	}
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	c, server := setup(t, 1, Quirks{RateLimit429: RateLimit{Every: 3, RetryAfter: "2"}})
	var statuses []string
	for range 6 {
		a := get(t, server.URL+"/search")
		statuses = append(statuses, strconv.Itoa(a.status))
		if a.status == 429 && (a.header.Get("Retry-After") != "2" ||
			!strings.Contains(string(a.body), "Rate limit exceeded")) {
			t.Errorf("Retry-After %q, body %s", a.header.Get("Retry-After"), a.body)
		}
	}
	if got := strings.Join(statuses, " "); got != "200 200 429 200 200 429" {
		t.Errorf("statuses %s", got)
	}
	const date = "Sun, 06 Nov 2033 08:49:37 GMT"
	c.SetQuirks(Quirks{RateLimit429: RateLimit{Times: 2, RetryAfter: date}})
	for i, want := range []int{429, 429, 200} {
		a := get(t, server.URL)
		if a.status != want || (want == 429) != (a.header.Get("Retry-After") == date) {
			t.Errorf("Times, request %d: status %d, Retry-After %q", i, a.status, a.header.Get("Retry-After"))
		}
	}
	c.SetQuirks(Quirks{RateLimit429: RateLimit{Every: 1}})
	if a := get(t, server.URL); a.status != 429 || a.header.Values("Retry-After") != nil {
		t.Errorf("status %d, Retry-After %q", a.status, a.header.Values("Retry-After"))
	}
}

func TestFaultsCountDown(t *testing.T) {
	t.Parallel()
	_, server := setup(t, 1, Quirks{
		FaultPath: "/search", Forbidden403: 2, HTML200: 1, Status5xx: StatusFault{Status: 504, Times: 1},
	})
	if a := get(t, server.URL); a.status != 200 {
		t.Errorf("FaultPath: status %d", a.status)
	}
	for i, want := range []struct {
		status  int
		content string
		body    string
	}{
		{403, "application/json", `{"message":"Forbidden"}`},
		{403, "application/json", `{"message":"Forbidden"}`},
		{200, "text/html; charset=utf-8", "<html>"},
		{504, "application/json", `{"code":"GatewayTimeout"`},
		{200, "application/geo+json", "{"},
	} {
		a := get(t, server.URL+"/search")
		if a.status != want.status || a.header.Get("Content-Type") != want.content ||
			!strings.HasPrefix(string(a.body), want.body) {
			t.Errorf("request %d: %d %s %.60s", i, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
	_, server = setup(t, 1, Quirks{Status5xx: StatusFault{Times: 1}})
	if a := get(t, server.URL); a.status != 500 {
		t.Errorf("Status5xx without a status: %d", a.status)
	}
}

func TestFaultsCountDownOnceEach(t *testing.T) {
	t.Parallel()
	c, _ := setup(t, 1, Quirks{Forbidden403: 10})
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() { c.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
	}
	group.Wait()
	forbidden := 0
	for _, r := range c.Requests() {
		if r.Status == http.StatusForbidden {
			forbidden++
		}
	}
	if forbidden != 10 {
		t.Errorf("%d requests were forbidden, want 10", forbidden)
	}
}

func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		c := New(WithQuirks(Quirks{Slow: Slow{Delay: time.Minute, Gate: gate}}))
		began := time.Now()
		done := make(chan int)
		go func() {
			recorder := httptest.NewRecorder()
			c.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
			done <- recorder.Code
		}()
		gate <- struct{}{}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("waited %s, want a minute", waited)
		}
		if status := <-done; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
		// The client gives up, first during the delay and then at the gate.
		for _, patience := range []time.Duration{time.Second, time.Hour} {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			recorder := httptest.NewRecorder()
			c.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, "GET", "/", nil))
			cancel()
			all := c.Requests()
			if last := all[len(all)-1]; recorder.Body.Len() != 0 || last.Status != 0 {
				t.Errorf("after %s: %d bytes, status %d", patience, recorder.Body.Len(), last.Status)
			}
		}
	})
}

func TestBlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		c := New(WithQuirks(Quirks{Block: block}))
		ask := func(ctx context.Context, method, path string) *httptest.ResponseRecorder {
			recorder := httptest.NewRecorder()
			c.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, method, path, nil))
			return recorder
		}
		if status := ask(t.Context(), "GET", "/collections").Code; status != http.StatusOK {
			t.Errorf("another path: status %d", status)
		}
		for _, method := range []string{"GET", "POST"} {
			done := make(chan int, 1)
			go func() { done <- ask(t.Context(), method, "/search").Code }()
			synctest.Wait()
			if len(done) != 0 {
				t.Errorf("%s did not wait", method)
			}
			block <- struct{}{}
			if status := <-done; status != http.StatusOK {
				t.Errorf("%s: status %d", method, status)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if body := ask(ctx, "GET", "/search").Body; body.Len() != 0 {
			t.Errorf("the client went away and got %s", body)
		}
		close(block)
		if status := ask(t.Context(), "GET", "/search").Code; status != http.StatusOK {
			t.Errorf("closed: status %d", status)
		}
	})
}

package stacapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const collection = stacsample.SceneCollection

// server serves an API and counts the requests.
type server struct {
	*httptest.Server
	requests atomic.Int64
}

func serve(handler http.Handler) *server {
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		handler.ServeHTTP(w, r)
	}))
	return s
}

// walked is what a search has seen.
type walked struct {
	client *Client
	limit  int      // page size at the end
	ids    []string // sorted, each once
	pages  int
	err    error
}

// setup is how a server is searched.
type setup struct {
	Config
	Query
}

// walkAll searches the collection of a server.
func walkAll(t *testing.T, s *server, change func(*setup)) walked {
	t.Helper()
	with := setup{Query: Query{
		Collection: collection, Window: Interval{From: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}, Limit: 7,
	}}
	var w walked
	w.client = testClient(t, s.URL, func(c *Config) {
		with.Config = *c
		if change != nil {
			change(&with)
		}
		*c = with.Config
	})
	if w.err = discover(t, w.client); w.err != nil {
		return w
	}
	w.limit, w.err = w.client.Search(t.Context(), with.Query, func(_ context.Context, p *Page) error {
		w.pages++
		for _, raw := range p.Items {
			i, err := ParseItem(raw)
			if err != nil {
				return err
			}
			w.ids = append(w.ids, i.ID)
		}
		return nil
	})
	slices.Sort(w.ids)
	w.ids = slices.Compact(w.ids)
	return w
}

func limited(limit int) func(*setup) { return func(s *setup) { s.Limit = limit } }

func fill(catalogue *stacsample.Catalog, n int, at func(i int) time.Time) {
	catalogue.AddCollection(collection, "Scenes")
	for i := range n {
		catalogue.Put(stacsample.Item{Collection: collection, ID: fmt.Sprintf("%03d", i), Datetime: at(i), BBox: [4]float64{1, 2, 3, 4}})
	}
}

func day(i int) time.Time { return time.Date(2021, 1, 1+i, 12, 0, 0, 0, time.UTC) }

// TestSearchIsCompleteOrFails, whatever the server does: when it is taken for complete, every item was handed on.
func TestSearchIsCompleteOrFails(t *testing.T) {
	t.Parallel()
	styles := []stacsample.NextStyle{
		stacsample.PostMergeFalse, stacsample.PostMergeTrue, stacsample.PostTokenNoMerge, stacsample.PostBodyOnlyToken, stacsample.GetHref,
		stacsample.GetLiteralColon, stacsample.RelativeHref, stacsample.Headers, stacsample.NewlineToken,
	}
	rapid.Check(t, func(rt *rapid.T) {
		yes := func(name string) bool { return rapid.IntRange(0, 3).Draw(rt, name) == 0 }
		q := stacsample.Quirks{
			NextStyle: rapid.SampledFrom(styles).Draw(rt, "style"), NoPost: yes("no POST"), OpenSearchLinkFirst: yes("open search"),
			WrongConformance: yes("conformance"), NextOnLastPage: yes("next on last"), EmptyPageWithNext: yes("empty page"),
			NoNumberMatched: yes("no matched"), DropNextOnFullPage: yes("drop next"), RepeatPage: yes("repeat"),
			InstantIntervalEmpty: yes("instant empty"), SortTieBug: yes("ties"), NoSelfLinks: yes("no self"),
			MaxLimit: rapid.SampledFrom([]int{0, 0, 3}).Draw(rt, "max limit"), FailAboveLimit: rapid.SampledFrom([]int{0, 0, 2}).Draw(rt, "fail above"),
			HTML200: rapid.IntRange(0, 2).Draw(rt, "html"), Forbidden403: rapid.IntRange(0, 2).Draw(rt, "forbidden"),
		}
		limit, n := rapid.IntRange(1, 9).Draw(rt, "limit"), rapid.IntRange(0, 30).Draw(rt, "items")
		if q.DropNextOnFullPage && q.NoNumberMatched && q.MaxLimit > 0 {
			q.MaxLimit = 0 // a server that gives less than it was asked for and never says that there is more cannot be seen through
		}
		if q.EmptyPageWithNext && q.NoNumberMatched && q.NextStyle == stacsample.PostBodyOnlyToken {
			q.EmptyPageWithNext = false // a limit that only the token knows cannot be changed to look again: such a search fails
		}
		if q.NoNumberMatched && q.NextStyle == stacsample.PostBodyOnlyToken {
			q.FailAboveLimit = 0 // nor can it be looked at in larger pages
		}
		catalogue := stacsample.New(stacsample.WithQuirks(q))
		fill(catalogue, n, func(i int) time.Time { return day(rapid.IntRange(0, 20).Draw(rt, fmt.Sprint("day ", i))) })
		s := serve(catalogue)
		defer s.Close()
		w := walkAll(t, s, limited(limit))
		if w.err == nil && len(w.ids) != n {
			rt.Fatalf("%d of %d items, and no error", len(w.ids), n)
		}
		if healthy := !q.RepeatPage && !q.DropNextOnFullPage; healthy && w.err != nil {
			rt.Fatalf("%d of %d items: %v", len(w.ids), n, w.err)
		}
		if count := s.requests.Load(); count > 1000 {
			rt.Fatalf("%d requests for %d items", count, n)
		}
	})
}

// TestSearchOfItemsWithoutDatetime: a range that overlaps many windows is one item.
func TestSearchOfItemsWithoutDatetime(t *testing.T) {
	t.Parallel()
	catalogue := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{DropNextOnFullPage: true}))
	for i := range 6 {
		catalogue.Put(stacsample.Item{
			Collection: collection, ID: strconv.Itoa(i), Start: day(10 * i), End: day(10*i + 15), BBox: [4]float64{1, 2, 3, 4},
		})
	}
	s := serve(catalogue)
	defer s.Close()
	if w := walkAll(t, s, limited(3)); w.err != nil || len(w.ids) != 6 {
		t.Errorf("%v, %v", w.ids, w.err)
	}
}

// TestServersThatLeadInCircles are left after few requests.
func TestServersThatLeadInCircles(t *testing.T) {
	t.Parallel()
	n := 0
	pages := func(next func() string, items func() string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				_, _ = io.WriteString(w, `{"links":[{"rel":"search","href":"/search"}]}`)
				return
			}
			n++
			_, _ = io.WriteString(w, `{"features":[`+items()+`],"links":[{"rel":"next","href":"`+next()+`"}]}`)
		})
	}
	same := func() string { return `{"id":"a"},{"id":"b"}` }
	for name, handler := range map[string]http.Handler{
		"the same page": func() http.Handler {
			c := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{RepeatPage: true}))
			fill(c, 30, day)
			return c
		}(),
		"to itself":                 pages(func() string { return "/search?token=1" }, same),
		"new tokens, the same page": pages(func() string { return "/search?token=" + strconv.Itoa(n) }, same),
		"new tokens, empty pages":   pages(func() string { return "/search?token=" + strconv.Itoa(n) }, func() string { return "" }),
		"two in turn":               pages(func() string { return "/search?token=" + strconv.Itoa(n%2) }, func() string { return fmt.Sprintf(`{"id":"%d"}`, n) }),
	} {
		s := serve(handler)
		w := walkAll(t, s, nil)
		if w.err == nil || s.requests.Load() > 8 {
			t.Errorf("%s: %d requests, error %v", name, s.requests.Load(), w.err)
		}
		s.Close()
	}
}

// TestSearchThatNeverEnds: new items on every page, for ever.
func TestSearchThatNeverEnds(t *testing.T) {
	t.Parallel()
	client := testClient(t, "http://api.example.com/search", nil)
	n := 0
	client.http.Transport = served(func(w http.ResponseWriter, _ *http.Request) {
		n++
		_, _ = fmt.Fprintf(w, `{"features":[{"id":"%d"}],"links":[{"rel":"next","href":"?token=%d"}]}`, n, n)
	})
	if err := discover(t, client); err != nil {
		t.Fatal(err)
	}
	q := Query{Collection: "c", Limit: 1}
	if _, err := client.Search(t.Context(), q, func(context.Context, *Page) error { return nil }); err == nil || !strings.Contains(err.Error(), "more than 10000 pages") || n != maxPages {
		t.Errorf("%d pages, %v", n, err)
	}
}

// TestNextLinkLostAtOneItem: a server that makes no token of a certain item is noticed, though a page that ends
// elsewhere has a next link (stac-server did so with items without a datetime).
func TestNextLinkLostAtOneItem(t *testing.T) {
	t.Parallel()
	catalogue := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{NoNumberMatched: true}))
	fill(catalogue, 20, day)
	s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		catalogue.ServeHTTP(recorder, r)
		var answer map[string]json.RawMessage
		var items []struct{ ID string }
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err == nil && json.Unmarshal(answer["features"], &items) == nil {
			if n := len(items); n > 0 && items[n-1].ID == "006" { // newest first: the last of the second page
				answer["links"] = json.RawMessage("[]")
			}
		}
		w.WriteHeader(recorder.Code)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer s.Close()
	if w := walkAll(t, s, nil); w.err != nil || len(w.ids) != 20 {
		t.Errorf("%d items, %v", len(w.ids), w.err)
	}
}

// TestNextLinksLostByServerThatClamps: that a page is full is learnt from the pages that had a next link.
func TestNextLinksLostByServerThatClamps(t *testing.T) {
	t.Parallel()
	catalogue := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{NoNumberMatched: true, MaxLimit: 3}))
	fill(catalogue, 20, day)
	var searches atomic.Int32
	s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/search" && searches.Add(1) == 3 {
			catalogue.SetQuirks(stacsample.Quirks{NoNumberMatched: true, MaxLimit: 3, DropNextOnFullPage: true})
		}
		catalogue.ServeHTTP(w, r)
	}))
	defer s.Close()
	if w := walkAll(t, s, nil); w.err != nil || len(w.ids) != 20 {
		t.Errorf("%d items, %v", len(w.ids), w.err)
	}
}

// TestMoreItemsOfOneInstantThanAPageHolds cannot be told apart by halving windows, and are no endless work.
func TestMoreItemsOfOneInstantThanAPageHolds(t *testing.T) {
	t.Parallel()
	catalogue := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{DropNextOnFullPage: true}))
	fill(catalogue, 8, func(int) time.Time { return day(0) })
	s := serve(catalogue)
	defer s.Close()
	if w := walkAll(t, s, nil); w.err == nil || !strings.Contains(w.err.Error(), "fewer items than it has") || s.requests.Load() > 80 {
		t.Errorf("%d requests, %v", s.requests.Load(), w.err)
	}
	if w := walkAll(t, s, limited(8)); w.err != nil || len(w.ids) != 8 {
		t.Errorf("%v, %v", w.ids, w.err)
	}
}

// TestEstimatedNumbers: a number that is too small is not believed, as little as none at all.
func TestEstimatedNumbers(t *testing.T) {
	t.Parallel()
	for _, drop := range []bool{false, true} {
		catalogue := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{DropNextOnFullPage: drop, NoNumberMatched: true}))
		fill(catalogue, 21, day)
		s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			catalogue.ServeHTTP(recorder, r)
			body := recorder.Body.String()
			estimate := fmt.Sprintf(`"type":"FeatureCollection","context":{"matched":%d}`, min(5, strings.Count(body, `"Feature"`)))
			_, _ = io.WriteString(w, strings.Replace(body, `"type":"FeatureCollection"`, estimate, 1))
		}))
		if w := walkAll(t, s, nil); w.err != nil || len(w.ids) != 21 {
			t.Errorf("drop %v: %d items, %v", drop, len(w.ids), w.err)
		}
		s.Close()
	}
}

// TestPagesAreMadeSmaller where the server cannot give as much: by its status, by the size of its answer, or by never
// ending.
func TestPagesAreMadeSmaller(t *testing.T) {
	t.Parallel()
	for name, tooMuch := range map[string]http.HandlerFunc{
		"502":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"413":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusRequestEntityTooLarge) },
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"hangs": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, `{"features":[`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			catalogue := stacsample.New()
			fill(catalogue, 20, day)
			s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					return
				}
				var search struct{ Limit int }
				if json.Unmarshal(body, &search) == nil && search.Limit > 5 {
					tooMuch(w, r)
					return
				}
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				catalogue.ServeHTTP(w, r)
			}))
			defer s.Close()
			w := walkAll(t, s, func(s *setup) { s.Limit, s.Timeout = 40, 100*time.Millisecond })
			if w.err != nil || len(w.ids) != 20 || w.limit != 5 {
				t.Errorf("%d items, limit %d, %v", len(w.ids), w.limit, w.err)
			}
		})
	}
}

// TestTokensThatExpire: the search fails and the next one begins anew.
func TestTokensThatExpire(t *testing.T) {
	t.Parallel()
	catalogue := stacsample.New()
	fill(catalogue, 20, day)
	var searches atomic.Int32
	s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/search" && searches.Add(1) == 2 {
			catalogue.SetQuirks(stacsample.Quirks{NextStyle: stacsample.NewlineToken})
		}
		catalogue.ServeHTTP(w, r)
	}))
	defer s.Close()
	if w := walkAll(t, s, nil); w.err == nil || w.pages != 1 {
		t.Errorf("%d pages, %v", w.pages, w.err)
	}
	if w := walkAll(t, s, nil); w.err != nil || len(w.ids) != 20 {
		t.Errorf("%d items, %v", len(w.ids), w.err)
	}
}

// TestPostThatIsRefused: GET takes its place, also in the middle, and for good.
func TestPostThatIsRefused(t *testing.T) {
	t.Parallel()
	catalogue := stacsample.New()
	fill(catalogue, 20, day)
	refuse := int32(1 + rand.IntN(3))
	var posts atomic.Int32
	s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && posts.Add(1) >= refuse {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		catalogue.ServeHTTP(w, r)
	}))
	defer s.Close()
	if w := walkAll(t, s, nil); w.err != nil || len(w.ids) != 20 || posts.Load() != refuse || w.client.endpoints.search.method != http.MethodGet {
		t.Errorf("%d items, %d posts, %v", len(w.ids), posts.Load(), w.err)
	}
}

// TestBaseQueryIsOnEveryRequest, next links included: it may be a key.
func TestBaseQueryIsOnEveryRequest(t *testing.T) {
	t.Parallel()
	for _, style := range []stacsample.NextStyle{stacsample.PostMergeFalse, stacsample.GetHref, stacsample.GetLiteralColon, stacsample.NewlineToken} {
		catalogue := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{NextStyle: style, NoPost: style == stacsample.GetLiteralColon}))
		fill(catalogue, 20, day)
		s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("key") != "k+1" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			catalogue.ServeHTTP(w, r)
		}))
		plain := s.URL
		s.URL += "/?key=k%2B1"
		if w := walkAll(t, s, nil); w.err != nil || len(w.ids) != 20 {
			t.Errorf("style %d: %d items, %v", style, len(w.ids), w.err)
		}
		s.URL = plain
		s.Close()
	}
}

// TestFilterForgottenByNextLinks: what does not match is not found on the later pages either.
func TestFilterForgottenByNextLinks(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]stacsample.NextStyle{"POST": stacsample.PostTokenNoMerge, "GET": stacsample.GetHref} {
		catalogue := stacsample.New(stacsample.WithQuirks(stacsample.Quirks{NextStyle: style}))
		for i := range 40 {
			catalogue.Put(stacsample.Item{Collection: collection, ID: fmt.Sprintf("%03d", i), Datetime: day(i), CloudCover: float64(i % 2 * 50), BBox: [4]float64{1, 2, 3, 4}})
		}
		s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			recorder := httptest.NewRecorder()
			catalogue.ServeHTTP(recorder, r)
			body := regexp.MustCompile(`"filter":\{.*?\]\},|"filter-lang":"cql2-json",|filter=[^&"]*\\u0026|filter-lang=[^&"\\]*\\u0026`).ReplaceAllString(recorder.Body.String(), "")
			w.WriteHeader(recorder.Code)
			_, _ = io.WriteString(w, body)
		}))
		w := walkAll(t, s, func(s *setup) { s.Limit, s.Filter = 7, `{"op":"<","args":[{"property":"eo:cloud_cover"},20]}` })
		if w.err != nil || len(w.ids) != 20 {
			t.Errorf("%s: %d items, %v", name, len(w.ids), w.err)
		}
		for _, r := range catalogue.Requests() {
			if r.Path == "/search" && !strings.Contains(string(r.Body)+r.Query, "cloud_cover") {
				t.Errorf("%s: a search without the filter: %s %s", name, r.Query, r.Body)
			}
		}
		s.Close()
	}
}

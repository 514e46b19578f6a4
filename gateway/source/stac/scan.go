package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Guards against servers that lead in circles.
const (
	maxPages     = 10_000
	maxIdlePages = 3 // pages in a row that bring nothing new and still have a next one
)

// errManyPages is what a search ends with that has more pages than it may.
var errManyPages = errors.New("the search has too many pages")

// scan walks a search to its end and hands every page on. It returns nil only when it has seen everything, as far as can
// be known: an error means that the search must be repeated. Items may be handed on more than once.
type scan struct {
	client *client
	query  query
	now    func() time.Time
	handle func(ctx context.Context, p *page) error

	maxPages int // of one search

	isAgain bool // walkAgain has begun it

	seed  maphash.Seed
	limit int // page size at the moment: lowered where the server fails
	full  int // most items on a page with a next link, which may be fewer than were asked for; 0 before there was one
}

func newScan(c *client, q query, handle func(ctx context.Context, p *page) error) *scan {
	return &scan{client: c, query: q, now: time.Now, handle: handle, maxPages: maxPages, seed: maphash.MakeSeed(), limit: q.limit}
}

func (s *scan) run(ctx context.Context) error { return s.window(ctx, s.query.window) }

// window searches one window. Where the server's last page is suspiciously full, the two halves are searched instead.
func (s *scan) window(ctx context.Context, w interval) error {
	suspicious, err := s.walk(ctx, w)
	if err != nil || !suspicious {
		return err
	}
	older, newer, ok := w.split(s.now())
	if !ok {
		return fmt.Errorf("the server gives fewer items than it has for %s, which cannot be made shorter; ask for more at once with limit", w)
	}
	if err := s.window(ctx, older); err != nil {
		return err
	}
	return s.window(ctx, newer)
}

// walk follows the next links of one search. suspicious means that there may be more than the server gave.
func (s *scan) walk(ctx context.Context, w interval) (suspicious bool, err error) {
	q := s.query
	q.window, q.limit = w, s.limit
	r := q.first(s.client.endpointFor(&q))
	sent := map[uint64]bool{} // digests: the requests hold the geometry, and there may be thousands
	seen := map[uint64]struct{}{}
	idle := 0
	for range s.maxPages {
		key := maphash.String(s.seed, r.key())
		if sent[key] {
			return false, errors.New("the server's next link leads back to a page that was read before")
		}
		sent[key] = true
		p, err := s.fetch(ctx, &q, &r)
		if err != nil {
			return false, err
		}
		if s.note(seen, p) == 0 {
			idle++
		} else {
			idle = 0
		}
		if err := s.handle(ctx, p); err != nil {
			return false, err
		}
		switch isMuch := p.matched > s.maxPages*s.query.limit; {
		case isMuch && s.maxPages == maxPages:
			return true, nil // in halves, it may be read
		case isMuch:
			return false, fmt.Errorf("%w: %d items; use smaller windows", errManyPages, p.matched)
		}
		if p.next == nil {
			return s.mayHaveMore(ctx, &q, r, p, seen)
		}
		s.full = max(s.full, len(p.items))
		if idle > maxIdlePages {
			return false, fmt.Errorf("%d pages in a row bring nothing new and have a next link", idle)
		}
		if r, err = s.follow(&q, r, p); err != nil {
			return false, err
		}
	}
	return false, fmt.Errorf("%w: more than %d pages; use smaller windows", errManyPages, s.maxPages)
}

func (s *scan) follow(q *query, r *request, p *page) (*request, error) {
	next, err := p.next.follow(r, p.from)
	if err != nil {
		return nil, err
	}
	q.restore(next)
	next.url = s.client.withBaseQuery(next.url)
	return next, nil
}

// mayHaveMore reports whether the last page of a walk leaves doubt that it is the last: there are fewer items than the
// server says, or it does not say how many there are and the page is as full as a page can be. Servers have lost their
// next links before; so a full page is asked for again, one item smaller, where a server that pages must show a next link,
// and that must lead to nothing new.
func (s *scan) mayHaveMore(ctx context.Context, q *query, r *request, p *page, seen map[uint64]struct{}) (bool, error) {
	n := len(p.items)
	switch {
	case p.matched >= len(seen): // fewer than were seen are an estimate
		return p.matched > len(seen), nil
	case n < s.limit && (s.full == 0 || n < s.full):
		return false, nil
	}
	size := n - 1
	if n == 1 {
		size = 2
	}
	smaller, ok := r.withLimit(size)
	if !ok {
		return s.walkAgain(ctx, q.window, len(seen))
	}
	probe, err := s.get(ctx, smaller, false)
	if err != nil {
		return false, err
	}
	if probe.next == nil {
		return n > 1 || s.note(seen, probe) > 0, nil
	}
	after, err := s.follow(q, smaller, probe)
	if err != nil {
		return false, err
	}
	rest, err := s.get(ctx, after, false)
	if err != nil {
		return false, err
	}
	return s.note(seen, probe)+s.note(seen, rest) > 0, nil
}

// walkAgain searches a window once more, where the page size is part of the server's tokens, in pages of which the last
// cannot be full.
func (s *scan) walkAgain(ctx context.Context, w interval, items int) (suspicious bool, err error) {
	if s.isAgain {
		return true, nil
	}
	again := *s
	again.isAgain, again.full = true, 0
	for again.limit++; items%again.limit == 0; again.limit++ {
	}
	return again.walk(ctx, w)
}

// note counts the items of a page that this search has not brought before.
func (s *scan) note(seen map[uint64]struct{}, p *page) (added int) {
	for _, raw := range p.items {
		var id struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &id) != nil {
			continue // what is no item is reported where events are made
		}
		digest := maphash.String(s.seed, id.ID)
		if _, known := seen[digest]; !known {
			seen[digest] = struct{}{}
			added++
		}
	}
	return added
}

// fetch reads one page, with a smaller limit where the server cannot give as much at once, and by GET where it refuses
// the POST that it has offered.
func (s *scan) fetch(ctx context.Context, q *query, r **request) (*page, error) {
	for {
		smaller, shrinkable := (*r).withLimit(s.limit / 2)
		shrinkable = shrinkable && s.limit > 1
		p, err := s.get(ctx, *r, shrinkable)
		if err == nil {
			return p, nil
		}
		status, isStatus := errors.AsType[*statusError](err)
		switch {
		case isStatus && status.code == http.StatusMethodNotAllowed && (*r).method == http.MethodPost && s.client.fallback != nil:
			s.client.endpoint, s.client.fallback = s.client.fallback, nil
			*r = q.first(s.client.endpoint)
		case tooMuch(err) && shrinkable:
			s.limit /= 2
			*r = smaller
		default:
			return nil, err
		}
	}
}

func (s *scan) get(ctx context.Context, r *request, shrinkable bool) (p *page, err error) {
	err = s.client.get(ctx, r, shrinkable, func(body io.Reader, from *url.URL) (err error) {
		p, err = decodePage(body, from)
		return err
	})
	return p, err
}

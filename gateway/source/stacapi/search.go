package stacapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net/http"
	"time"
)

// Guards against servers that lead in circles.
const (
	maxPages     = 10_000
	maxIdlePages = 3 // pages in a row that bring nothing new and still have a next link
)

// ErrTooManyPages is wrapped by the error of a search that has more pages than it may.
var ErrTooManyPages = errors.New("the search has too many pages")

// Search reads a search to its end and hands every page to handle. It returns nil only if it has seen everything, as
// far as can be known: after an error the search must be repeated. Items may be handed on more than once, and before an
// error. An error of handle ends the search and is returned as it is.
//
// pageSize is the number of items that pages were asked for at the end: it is lowered where the server fails to give as
// much at once. Search keeps 8 bytes per item in memory, and one page.
func (c *Client) Search(
	ctx context.Context, q Query, handle func(ctx context.Context, p *Page) error,
) (pageSize int, err error) {
	if _, err := c.searchEndpoints(); err != nil {
		return q.Limit, err
	}
	s := newSearch(c, q, handle)
	err = s.searchWindow(ctx, q.Window)
	return s.limit, err
}

// FirstPage reads the first page of a search, and nothing else.
func (c *Client) FirstPage(ctx context.Context, q Query) (*Page, error) {
	e, err := c.searchEndpoints()
	if err != nil {
		return nil, err
	}
	return c.getPage(ctx, q.first(e.forQuery(&q)), true)
}

func (c *Client) getPage(ctx context.Context, r *request, shrinkable bool) (p *Page, err error) {
	err = c.get(ctx, r, shrinkable, func(body io.Reader, a *answer) (err error) {
		p, err = decodePage(body, a)
		return err
	})
	return p, err
}

// search walks one search to its end.
type search struct {
	client *Client
	query  Query
	now    func() time.Time
	handle func(ctx context.Context, p *Page) error

	maxPages int
	isAgain  bool // walkAgain has begun it

	seed  maphash.Seed
	limit int // current page size
	full  int // most items on a page with a next link, which may be fewer than were asked for; 0 before there was one
}

func newSearch(c *Client, q Query, handle func(ctx context.Context, p *Page) error) *search {
	s := &search{
		client: c, query: q, now: time.Now, handle: handle, maxPages: q.MaxPages, seed: maphash.MakeSeed(), limit: q.Limit,
	}
	if s.maxPages == 0 {
		s.maxPages = maxPages
	}
	return s
}

// searchWindow searches one window. Where the server's last page is suspiciously full, it searches the two halves
// instead.
func (s *search) searchWindow(ctx context.Context, w Interval) error {
	suspicious, err := s.walk(ctx, w)
	if err != nil || !suspicious {
		return err
	}
	older, newer, ok := w.halves(s.now())
	if !ok {
		return fmt.Errorf("the server gives fewer items than it has for %s, which cannot be made shorter; "+
			"ask for larger pages with limit", w)
	}
	if err := s.searchWindow(ctx, older); err != nil {
		return err
	}
	return s.searchWindow(ctx, newer)
}

// walk follows the next links of one window. suspicious means that there may be more than the server gave.
func (s *search) walk(ctx context.Context, w Interval) (suspicious bool, err error) {
	q := s.query
	q.Window, q.Limit = w, s.limit
	e, err := s.client.searchEndpoints()
	if err != nil {
		return false, err
	}
	r := q.first(e.forQuery(&q))
	sent := map[uint64]bool{} // digests: requests hold the geometry, and there may be thousands
	seen := map[uint64]struct{}{}
	idle := 0
	for range s.maxPages {
		key := maphash.String(s.seed, r.key())
		if sent[key] {
			return false, errCircle
		}
		sent[key] = true
		p, err := s.fetch(ctx, &q, &r)
		if err != nil {
			return false, err
		}
		if idle++; s.note(seen, p) > 0 {
			idle = 0
		}
		if err := s.handle(ctx, p); err != nil {
			return false, err
		}
		if p.Matched > s.maxPages*s.query.Limit {
			return s.tooMany(p)
		}
		if p.next == nil {
			return s.mayHaveMore(ctx, &q, r, p, seen)
		}
		s.full = max(s.full, len(p.Items))
		if idle > maxIdlePages {
			return false, fmt.Errorf("%d pages in a row bring nothing new and have a next link", idle)
		}
		if r, err = s.follow(&q, r, p); err != nil {
			return false, err
		}
	}
	return false, fmt.Errorf("%w: more than %d pages; use smaller windows", ErrTooManyPages, s.maxPages)
}

// errCircle is the error of a list whose next links lead in a circle.
var errCircle = errors.New("the next link of the server leads back to a page that was read before")

// tooMany decides about a window of which the first page tells that it is too large: it may be read in halves, unless
// the caller has bounded the pages.
func (s *search) tooMany(p *Page) (suspicious bool, err error) {
	if s.maxPages == maxPages {
		return true, nil
	}
	return false, fmt.Errorf("%w: %d items; use smaller windows", ErrTooManyPages, p.Matched)
}

func (s *search) follow(q *Query, r *request, p *Page) (*request, error) {
	next, err := p.next.follow(r, p.From)
	if err != nil {
		return nil, err
	}
	q.restore(next)
	next.url = s.client.withBaseQuery(next.url)
	return next, nil
}

// mayHaveMore reports whether the last page of a walk leaves doubt that it is the last: there are fewer items than the
// server says, or it does not say how many there are and the page is as full as a page can be. Servers have lost their
// next links before. So a full page is asked for again, one item smaller, where a server that pages must show a next
// link, and that must lead to nothing new.
func (s *search) mayHaveMore(
	ctx context.Context, q *Query, r *request, p *Page, seen map[uint64]struct{},
) (bool, error) {
	n := len(p.Items)
	switch {
	case p.Matched >= len(seen): // a smaller number is an estimate
		return p.Matched > len(seen), nil
	case n < s.limit && (s.full == 0 || n < s.full):
		return false, nil
	}
	size := n - 1
	if n == 1 {
		size = 2
	}
	smaller, ok := r.withLimit(size)
	if !ok {
		return s.walkAgain(ctx, q.Window, len(seen))
	}
	probe, err := s.client.getPage(ctx, smaller, false)
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
	rest, err := s.client.getPage(ctx, after, false)
	if err != nil {
		return false, err
	}
	return s.note(seen, probe)+s.note(seen, rest) > 0, nil
}

// walkAgain searches a window once more, where the page size is part of the server's tokens, in pages of which the last
// cannot be full.
func (s *search) walkAgain(ctx context.Context, w Interval, items int) (suspicious bool, err error) {
	if s.isAgain {
		return true, nil
	}
	again := *s
	again.isAgain, again.full = true, 0
	for again.limit++; items%again.limit == 0; again.limit++ {
	}
	return again.walk(ctx, w)
}

// note counts the items of a page that this walk has not brought before.
func (s *search) note(seen map[uint64]struct{}, p *Page) (added int) {
	for _, raw := range p.Items {
		var id struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(raw, &id) != nil {
			continue // ParseItem reports it
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
func (s *search) fetch(ctx context.Context, q *Query, r **request) (*Page, error) {
	for {
		smaller, shrinkable := (*r).withLimit(s.limit / 2)
		shrinkable = shrinkable && s.limit > 1
		p, err := s.client.getPage(ctx, *r, shrinkable)
		if err == nil {
			return p, nil
		}
		if isRefusedPost(*r, err) {
			if get := s.client.dropPost(); get != nil {
				*r = q.first(get)
				continue
			}
		}
		if !shrinkable || !isTooMuch(err) {
			return nil, err
		}
		s.limit /= 2
		*r = smaller
	}
}

func isRefusedPost(r *request, err error) bool {
	status, ok := errors.AsType[*StatusError](err)
	return ok && status.Code == http.StatusMethodNotAllowed && r.method == http.MethodPost
}

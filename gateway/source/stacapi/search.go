package stacapi

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
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
	err = s.searchWindow(ctx, q.Window, math.MaxInt)
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
	err = c.get(ctx, r, shrinkable, func(text []byte, a *answer) (err error) {
		p, err = decodePage(text, a)
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
	isAgain  bool // walkAgain has begun it: the number of items that the server tells does not count

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

// searchWindow searches one window. Where the server's last page is suspiciously full, or the server says that there
// are too many items, but fewer than most, it searches the two halves instead.
func (s *search) searchWindow(ctx context.Context, w Interval, most int) error {
	older, newer, canHalve := w.halves(s.now())
	if !canHalve {
		most = 0
	}
	suspicious, err := s.walk(ctx, w, most)
	if tooMany, ok := errors.AsType[*tooManyError](err); ok && s.maxPages == maxPages {
		most, suspicious, err = tooMany.items, true, nil
	} else {
		most = math.MaxInt
	}
	if err != nil || !suspicious {
		return err
	}
	if !canHalve {
		return fmt.Errorf("the server gives fewer items than it has for %s, which cannot be made shorter; "+
			"ask for larger pages with limit", w)
	}
	if err := s.searchWindow(ctx, older, most); err != nil {
		return err
	}
	return s.searchWindow(ctx, newer, most)
}

// tooManyError is the error of a window of which the first pages tell that it has more items than a search may read. A
// number is believed once: if the halves of a window are said to have as many, it is wrong.
type tooManyError struct{ items int }

// Error implements error.
func (e *tooManyError) Error() string {
	return fmt.Sprintf("%v: %d items; use smaller windows", ErrTooManyPages, e.items)
}

// Is makes it an [ErrTooManyPages].
func (e *tooManyError) Is(target error) bool { return target == ErrTooManyPages }

// walk follows the next links of one window. suspicious means that there may be more than the server gave. A number of
// items that is not below most is not believed.
func (s *search) walk(ctx context.Context, w Interval, most int) (suspicious bool, err error) {
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
		if p.next == nil {
			return s.mayHaveMore(ctx, &q, r, p, seen)
		}
		if p.Matched > s.maxPages*s.query.Limit && p.Matched < most && !s.client.countsAreWrong(s.now()) {
			return false, &tooManyError{p.Matched}
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

func (s *search) follow(q *Query, r *request, p *Page) (*request, error) {
	next, err := p.next.follow(r, p.From)
	if err != nil {
		return nil, err
	}
	q.restore(next)
	next.url = s.client.withBaseQuery(next.url)
	return next, nil
}

// mayHaveMore reports whether the last page of a walk leaves doubt that it is the last: it is as full as a page can be,
// or there are fewer items than the server says. Servers have lost their next links before, and have told numbers that
// were wrong. So the page is asked for again, one item smaller, where a server that pages must show a next link, and
// that must lead to nothing new. A number that has proved to be too high raises no doubt for an hour.
func (s *search) mayHaveMore(
	ctx context.Context, q *Query, r *request, p *Page, seen map[uint64]struct{},
) (more bool, err error) {
	n := len(p.Items)
	isFull := n >= s.limit || s.full > 0 && n >= s.full
	isShort := p.Matched > len(seen) && !s.isAgain && !s.client.countsAreWrong(s.now())
	switch {
	case !isFull && !isShort:
		return false, nil
	case n == 0:
		more, err = s.walkAgain(ctx, q.Window, len(seen))
	default:
		more, err = s.probeEnd(ctx, q, r, p, lastPage{seen: seen, isFull: isFull})
	}
	if err == nil && !more && isShort {
		s.client.noteWrongCount(s.now())
	}
	return more, err
}

// lastPage is what is known at the end of a walk.
type lastPage struct {
	seen   map[uint64]struct{}
	isFull bool
}

// probeEnd asks for the last page of a walk again, one item smaller.
func (s *search) probeEnd(ctx context.Context, q *Query, r *request, p *Page, end lastPage) (more bool, err error) {
	n, isConfirmed := len(p.Items), p.Matched == len(end.seen)
	size := n - 1
	if n == 1 {
		size = 2
	}
	smaller, ok := r.withLimit(size)
	switch {
	case !ok && isConfirmed:
		return false, nil
	case !ok:
		return s.walkAgain(ctx, q.Window, len(end.seen))
	}
	probe, err := s.client.getPage(ctx, smaller, false)
	switch {
	case err != nil:
		return false, err
	case isConfirmed && probe.Matched == p.Matched: // the number is not that of the items on the page
		return false, nil
	case probe.next == nil && !end.isFull && len(probe.Items) > size: // the server does not page, but gives everything
		return s.note(end.seen, probe) > 0, nil
	case probe.next == nil:
		return n > 1 || s.note(end.seen, probe) > 0, nil
	}
	after, err := s.follow(q, smaller, probe)
	if err != nil {
		return false, err
	}
	rest, err := s.client.getPage(ctx, after, false)
	if err != nil {
		return false, err
	}
	return s.note(end.seen, probe)+s.note(end.seen, rest) > 0, nil
}

// walkAgain searches a window once more, where the page size is part of the server's tokens, in pages of which the last
// cannot be full.
func (s *search) walkAgain(ctx context.Context, w Interval, items int) (suspicious bool, err error) {
	if s.isAgain {
		return true, nil
	}
	again := *s
	again.isAgain, again.full = true, 0
	for again.limit++; items > 0 && items%again.limit == 0; again.limit++ {
	}
	return again.walk(ctx, w, 0)
}

// note counts the items of a page that this walk has not brought before.
func (s *search) note(seen map[uint64]struct{}, p *Page) (added int) {
	for _, raw := range p.Items {
		id := IDOf(raw)
		if id == "" {
			continue // ParseItem reports it
		}
		digest := maphash.String(s.seed, id)
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

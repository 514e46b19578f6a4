package stacsample

import (
	"sync/atomic"
	"time"
)

// NextStyle is the shape of the next links, and with it the form of their tokens. A token of another style is answered
// with 400, which is how to make the tokens of a running scan expire: change the style.
type NextStyle int

// The styles of next links. Where nothing is said about GET, a GET request is answered with an absolute GET link.
const (
	// PostMergeFalse is method POST, merge false, and a body with the whole query and next. Seen at Earth Search v1.
	PostMergeFalse NextStyle = iota
	// PostMergeTrue is method POST, merge true, and a body with only the token, to be merged into the request's own body.
	// From the specification.
	PostMergeTrue
	// PostTokenNoMerge is method POST, no merge, and a body with the whole query and a token "next:collection:id". Seen at
	// Planetary Computer and eoAPI (pgstac 0.9).
	PostTokenNoMerge
	// PostBodyOnlyToken is method POST, merge false, and a body {"next": token} alone: the token holds the query. From the
	// specification's example.
	PostBodyOnlyToken
	// GetHref is a GET link without a method, after POST too: the whole body is in its query. Seen at CMR-STAC.
	GetHref
	// GetLiteralColon is token=next:collection:id with colons that are not escaped; as PostTokenNoMerge after POST. Seen at
	// Planetary Computer, /collections/{id}/items.
	GetLiteralColon
	// RelativeHref is as PostMergeFalse, with an href relative to the answer's URL. Allowed by the specification.
	RelativeHref
	// Headers is as PostMergeFalse, with headers in the link that have to be sent: without them the answer is 400. From the
	// specification.
	Headers
	// NewlineToken is as PostTokenNoMerge, with base64 tokens that have a newline after every 76 characters and have to come
	// back with it. Seen at pgstac 0.10.
	NewlineToken
)

// Quirks are the ways in which a [Catalog] departs from a well-behaved server; the zero value has none. They may be
// combined. A quirk that happens n times counts down over all requests, whoever sends them.
type Quirks struct {
	// NextStyle is the shape of next links. Default: PostMergeFalse.
	NextStyle NextStyle
	// CrossHostNext, if not empty, is the base URL that next links begin with instead of the catalogue's own, RelativeHref's
	// too. Seen at Planetary Computer (without the prefix) and at stac-server behind proxies; it is also how to ask a client
	// for the credentials of another host.
	CrossHostNext string

	// NoPost answers POST /search with 405 and leaves its link out. Allowed by the specification: POST is optional.
	NoPost bool
	// OpenSearchLinkFirst puts a rel=search link of another type before the real ones. Seen at spacebel.
	OpenSearchLinkFirst bool
	// WrongConformance claims release candidates and GeoServer's "req" classes. Seen at Planetary Computer and GeoServer.
	WrongConformance bool
	// ConformanceElsewhere leaves conformsTo out of the landing page; only /conformance has it. Allowed by OGC API Features.
	ConformanceElsewhere bool

	// MaxLimit, if positive, is the most items on a page, whatever is asked for. Seen at CMR-STAC (100).
	MaxLimit int
	// FailAboveLimit, if positive, answers requests with a greater limit with 502. Seen at Earth Search (Lambda's 6 MB).
	FailAboveLimit int

	// DropNextOnFullPage leaves out the next link although there is more. Seen at Planetary Computer, January 2026.
	DropNextOnFullPage bool
	// RepeatPage ignores the token: every page is the first, and its next link leads to itself. Seen at CMR-STAC and VEDA.
	RepeatPage bool
	// NextOnLastPage gives the last page a next link, to an empty page without one. Seen at stac-fastapi with Elasticsearch.
	NextOnLastPage bool
	// EmptyPageWithNext puts an empty page, with a next link, before the first. Allowed by the specification.
	EmptyPageWithNext bool
	// NoNumberMatched leaves out numberMatched and numberReturned. Seen at Planetary Computer.
	NoNumberMatched bool

	// Block, if not nil, makes a request to /search wait, before all other faults, until it receives from the channel or its
	// client goes away. A value that is sent lets one request go, and the closed channel all. Seen at CMR-STAC, as minutes
	// without an answer.
	Block <-chan struct{}
	// FaultPath limits the faults, from here to Slow, to requests whose path begins with it. Default: all requests.
	FaultPath string
	// RateLimit429 answers some requests with 429. Seen at CDSE.
	RateLimit429 RateLimit
	// Forbidden403 answers this many requests with 403 {"message":"Forbidden"}. Seen at Earth Search, as throttling.
	Forbidden403 int
	// HTML200 answers this many requests with an HTML error page and 200. Seen at proxies before several services.
	HTML200 int
	// Status5xx answers some requests with a server error. Seen at CMR-STAC (500) and Planetary Computer (504).
	Status5xx StatusFault
	// Slow makes requests wait. Seen at CMR-STAC.
	Slow Slow

	// NoSelfLinks leaves the self link out of every item, as Item.NoSelf does for one. Allowed by the specification.
	NoSelfLinks bool
	// InstantIntervalEmpty finds nothing for datetime T/T, where T finds the item. Seen at pgstac.
	InstantIntervalEmpty bool
	// ExcludeNullDatetime hides items without a datetime from requests that have one. Seen at Earth Search (stac-server).
	ExcludeNullDatetime bool
	// SortTieBug pages by the sort's own values alone when they are ascending: of items with equal values at a page's end
	// some are lost and some come twice. Also affects items of two collections with equal datetime and id in the default
	// order. Seen at pgstac 0.9.11, among them Planetary Computer, eoAPI and CDSE.
	SortTieBug bool
	// IgnoreFilter accepts filter and query and does not apply them. Seen at CMR-STAC and rustac.
	IgnoreFilter bool
	// IgnoreSort accepts sortby and does not apply it. Seen at CMR-STAC and rustac.
	IgnoreSort bool
	// TextUpdated compares updated as text, and answers a filter that compares it with a timestamp with 400. Seen at
	// pgstac 0.9.11 without a queryable for updated.
	TextUpdated bool
	// HugeItem, if positive, adds a description of this many bytes to every item. For one huge item use Item.Extra.
	HugeItem int
}

// RateLimit says when to answer 429. The zero value never does.
type RateLimit struct {
	Times      int    // this many requests
	Every      int    // every n-th request, besides; 1 is all
	RetryAfter string // the header Retry-After, in seconds or as a date; empty leaves it out
}

// StatusFault is a status that is answered some times.
type StatusFault struct {
	Status int // default 500
	Times  int
}

// Slow says how long requests wait. A request whose client goes away waits no longer and gets no answer.
type Slow struct {
	Delay time.Duration   // waits this long
	Gate  <-chan struct{} // then, if not nil, until it receives from the gate or the gate is closed
}

// quirkState is a set of quirks with its counters.
type quirkState struct {
	Quirks
	requests                         atomic.Int64 // that faults apply to
	limited, forbidden, html, status atomic.Int64 // still to come
}

func newQuirkState(q Quirks) *quirkState {
	s := &quirkState{Quirks: q}
	s.limited.Store(int64(q.RateLimit429.Times))
	s.forbidden.Store(int64(q.Forbidden403))
	s.html.Store(int64(q.HTML200))
	s.status.Store(int64(q.Status5xx.Times))
	return s
}

// take counts down, and returns false once the counter has reached zero.
func take(counter *atomic.Int64) bool {
	for {
		n := counter.Load()
		if n <= 0 {
			return false
		}
		if counter.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

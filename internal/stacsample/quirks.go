package stacsample

import (
	"sync/atomic"
	"time"
)

// NextStyle is the form of next links and their tokens. A token of another style is answered with 400: to make the
// tokens of a running scan expire, change the style.
type NextStyle int

// The styles of next links. Unless a style says otherwise, the answer to a GET request has an absolute GET link.
const (
	// PostMergeFalse is method POST, merge false, and a body with the whole query and next. Seen at Earth Search v1.
	PostMergeFalse NextStyle = iota
	// PostMergeTrue is method POST, merge true, and a body with only the token, to be merged into the request's own
	// body. From the specification.
	PostMergeTrue
	// PostTokenNoMerge is method POST, no merge, and a body with the whole query and a token "next:collection:id". Seen
	// at Planetary Computer and eoAPI (pgstac 0.9).
	PostTokenNoMerge
	// PostBodyOnlyToken is method POST, merge false, and a body with only {"next": token}: the token contains the
	// query. From the example in the specification.
	PostBodyOnlyToken
	// GetHref is a GET link without a method, also after POST, with the whole body in its query. Seen at CMR-STAC.
	GetHref
	// GetLiteralColon is token=next:collection:id with unescaped colons; after POST it is like PostTokenNoMerge. Seen
	// at Planetary Computer, /collections/{id}/items.
	GetLiteralColon
	// RelativeHref is like PostMergeFalse, with an href relative to the URL of the answer. Allowed by the
	// specification.
	RelativeHref
	// Headers is like PostMergeFalse, with headers in the link that the client must send: without them the answer is
	// 400. From the specification.
	Headers
	// NewlineToken is like PostTokenNoMerge, with base64 tokens that have a newline after every 76 characters, which
	// the client must keep. Seen at pgstac 0.10.
	NewlineToken
)

// Quirks are the deviations of a [Catalog] from a well-behaved server; the zero value has none. They can be combined. A
// quirk that happens n times counts the requests of all clients.
type Quirks struct {
	// NextStyle is the form of next links; default PostMergeFalse.
	NextStyle NextStyle
	// CrossHostNext, if not empty, replaces the base URL of next links, including those of RelativeHref. Seen at
	// Planetary Computer (without the prefix) and at stac-server behind proxies. A hostile server could use it to
	// obtain credentials.
	CrossHostNext string

	// NoPost answers POST /search with 405 and omits its link. Allowed by the specification, where POST is optional.
	NoPost bool
	// OpenSearchLinkFirst puts a rel=search link of another type before the real ones. Seen at spacebel.
	OpenSearchLinkFirst bool
	// WrongConformance claims release candidates and GeoServer's "req" classes. Seen at Planetary Computer and
	// GeoServer.
	WrongConformance bool
	// ConformanceElsewhere omits conformsTo from the landing page; only /conformance has it. Allowed by OGC API
	// Features.
	ConformanceElsewhere bool

	// MaxLimit, if positive, is the most items on a page, even with a greater limit. Seen at CMR-STAC (100).
	MaxLimit int
	// FailAboveLimit, if positive, answers requests with a greater limit with 502. Seen at Earth Search (6 MB limit of
	// Lambda).
	FailAboveLimit int

	// DropNextOnFullPage omits the next link although there are more items. Seen at Planetary Computer, January 2026.
	DropNextOnFullPage bool
	// RepeatPage ignores the token: every page is the first one, whose next link leads to itself. Seen at CMR-STAC and
	// VEDA.
	RepeatPage bool
	// NextOnLastPage gives the last page a next link, to an empty page without one. Seen at stac-fastapi with
	// Elasticsearch.
	NextOnLastPage bool
	// EmptyPageWithNext puts an empty page, with a next link, before the first. Allowed by the specification.
	EmptyPageWithNext bool
	// NoNumberMatched omits numberMatched and numberReturned. Seen at Planetary Computer.
	NoNumberMatched bool

	// Block, if not nil, makes each request to /search wait, before all other faults, until it receives from the
	// channel or its client goes away. Sending a value releases one request; closing the channel releases all. Seen at
	// CMR-STAC, as minutes without an answer.
	Block <-chan struct{}
	// FaultPath limits the faults from RateLimit429 to Slow to requests whose path begins with it; default: all
	// requests.
	FaultPath string
	// RateLimit429 answers some requests with 429. Seen at CDSE.
	RateLimit429 RateLimit
	// Forbidden403 answers the next requests, this many with 403 {"message":"Forbidden"}. Seen at Earth Search, as
	// throttling.
	Forbidden403 int
	// HTML200 answers the next requests, this many with an HTML error page and 200. Seen at proxies before several
	// services.
	HTML200 int
	// Status5xx answers some requests with a server error. Seen at CMR-STAC (500) and Planetary Computer (504).
	Status5xx StatusFault
	// Slow makes requests wait. Seen at CMR-STAC.
	Slow Slow

	// NoSelfLinks omits the self link of every item, like Item.NoSelf for one. Allowed by the specification.
	NoSelfLinks bool
	// InstantIntervalEmpty finds nothing for datetime T/T, although T finds the item. Seen at pgstac.
	InstantIntervalEmpty bool
	// ExcludeNullDatetime hides items without a datetime from requests with a datetime. Seen at Earth Search
	// (stac-server).
	ExcludeNullDatetime bool
	// SortTieBug pages by the values of the sort alone if it is ascending: of items with equal values at the end of a
	// page, some are lost and some come twice. It also affects items of two collections with equal datetime and id in
	// the default order. Seen at pgstac 0.9.11, which Planetary Computer, eoAPI and CDSE use.
	SortTieBug bool
	// IgnoreFilter accepts filter and query and does not apply them. Seen at CMR-STAC and rustac.
	IgnoreFilter bool
	// IgnoreSort accepts sortby and does not apply it. Seen at CMR-STAC and rustac.
	IgnoreSort bool
	// TextUpdated compares updated as text, and answers a filter that compares it with a timestamp with 400. Seen at
	// pgstac 0.9.11 without a queryable for updated.
	TextUpdated bool
	// HugeItem, if positive, adds a description of this many bytes to every item. For a single item use Item.Extra.
	HugeItem int
}

// RateLimit selects requests that are answered with 429. The zero value selects none.
type RateLimit struct {
	Times      int    // the next requests, this many
	Every      int    // in addition every n-th request; 1 means all
	RetryAfter string // the header Retry-After, in seconds or as a date; empty omits it
}

// StatusFault is a status for a number of requests.
type StatusFault struct {
	Status int // default 500
	Times  int
}

// Slow is the delay of requests. It ends, without an answer, when the client goes away.
type Slow struct {
	Delay time.Duration   // the delay
	Gate  <-chan struct{} // if not nil, requests then wait until they receive from the gate or it is closed
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

// take counts down, and reports false once the counter has reached zero.
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

package stacsample

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	maxBody     = 1 << 20
	typeJSON    = "application/json"
	typeGeoJSON = "application/geo+json"
)

// exchange is one request and its answer, with the quirks at the time of its arrival.
type exchange struct {
	catalog *Catalog
	quirks  *quirkState
	w       *statusWriter
	r       *http.Request
	body    []byte
	base    string // base of absolute links
}

// ServeHTTP implements [http.Handler]. It records every request for [Catalog.Requests].
func (c *Catalog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	x := &exchange{catalog: c, quirks: c.quirks.Load(), w: &statusWriter{ResponseWriter: w}, r: r, base: c.base(r)}
	var err error
	if r.Body != nil {
		x.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	}
	defer func() {
		c.log.add(Request{
			Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(),
			Body: bytes.Clone(x.body[:min(len(x.body), keptBody)]), Time: arrived, Status: x.w.status,
		})
	}()
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		x.fail(http.StatusRequestEntityTooLarge, err.Error())
		return
	}
	if err != nil {
		x.fail(http.StatusBadRequest, "read body: "+err.Error())
		return
	}
	if !x.fault() {
		x.route()
	}
}

func (c *Catalog) base(r *http.Request) string {
	switch {
	case c.baseURL != "":
		return c.baseURL
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// route calls the method of the endpoint. It takes ids from the escaped path, because they may contain a slash.
func (x *exchange) route() {
	parts := strings.Split(strings.Trim(x.r.URL.EscapedPath(), "/"), "/")
	for i, part := range parts {
		decoded, err := url.PathUnescape(part)
		if err != nil {
			x.fail(http.StatusBadRequest, err.Error())
			return
		}
		parts[i] = decoded
	}
	switch n := len(parts); {
	case n == 1 && parts[0] == "search":
		x.search()
	case x.r.Method != http.MethodGet && x.r.Method != http.MethodHead:
		x.methodNotAllowed("GET, HEAD")
	case n == 1 && parts[0] == "":
		x.landing()
	case n == 1 && parts[0] == "conformance":
		x.json(http.StatusOK, typeJSON, map[string]any{"conformsTo": conformance(x.quirks.WrongConformance)})
	case parts[0] != "collections" || n > 4 || n > 2 && parts[2] != "items":
		x.fail(http.StatusNotFound, "no such resource")
	case n == 1:
		x.listCollections()
	case n == 2:
		x.oneCollection(parts[1])
	case n == 3:
		x.collectionItems(parts[1])
	default:
		x.oneItem(parts[1], parts[3])
	}
}

func (x *exchange) search() {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		q, err := parseGet(x.r.URL.Query())
		x.page(q, err)
	case http.MethodPost:
		if x.quirks.NoPost {
			x.methodNotAllowed("GET, HEAD")
			return
		}
		q, err := parsePost(x.body)
		x.page(q, err)
	default:
		x.methodNotAllowed("GET, HEAD, POST")
	}
}

func (x *exchange) collectionItems(id string) {
	if _, ok := x.catalog.title(id); !ok {
		x.fail(http.StatusNotFound, "no collection "+id)
		return
	}
	q, err := parseGet(x.r.URL.Query())
	if q != nil {
		q.Collections = []string{id}
	}
	x.page(q, err)
}

func (x *exchange) oneItem(collection, id string) {
	item := x.catalog.item(collection, id)
	if item == nil {
		x.fail(http.StatusNotFound, "no item "+id+" in collection "+collection)
		return
	}
	x.json(http.StatusOK, typeGeoJSON, x.feature(item))
}

func (x *exchange) methodNotAllowed(allow string) {
	x.w.Header().Set("Allow", allow)
	x.fail(http.StatusMethodNotAllowed, x.r.Method+" is not allowed here")
}

// fail writes an error in the form of the STAC API.
func (x *exchange) fail(status int, description string) {
	code := strings.ReplaceAll(http.StatusText(status), " ", "")
	x.json(status, typeJSON, map[string]string{"code": code, "description": description})
}

func (x *exchange) json(status int, contentType string, v any) {
	body, err := json.Marshal(v)
	if err != nil { // only Item.Extra can contain a value that is not JSON
		status, contentType = http.StatusInternalServerError, "text/plain; charset=utf-8"
		body = []byte("encode answer: " + err.Error())
	}
	x.write(status, contentType, body)
}

func (x *exchange) write(status int, contentType string, body []byte) {
	x.w.Header().Set("Content-Type", contentType)
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // an error means that the client has gone
}

// statusWriter records the status for the log.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives [http.ResponseController] access to the writer of the server.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

package subscriptions

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/streamgate/streamgate/gateway/setting"
)

// maxPage bounds the pages of a list.
const maxPage = 1000

//go:embed openapi.json
var openAPI []byte

// Handler returns the handler of the API under /subscriptions and of its OpenAPI document at /openapi.json. It does no
// authentication, and belongs on the operators' listener.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /subscriptions", s.list)
	mux.HandleFunc("OPTIONS /subscriptions", allow("GET, POST, OPTIONS"))
	mux.HandleFunc("GET /subscriptions/{id}", s.show)
	mux.HandleFunc("OPTIONS /subscriptions/{id}", allow("GET, PUT, DELETE, OPTIONS"))
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPI) // the client may have gone
	})
	// A page that is open in the operator's browser must not be able to change anything.
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "the request comes from a page of another site", nil)
	}))
	mux.Handle("POST /subscriptions", guard.Handler(http.HandlerFunc(s.create)))
	mux.Handle("PUT /subscriptions/{id}", guard.Handler(http.HandlerFunc(s.update)))
	mux.Handle("DELETE /subscriptions/{id}", guard.Handler(http.HandlerFunc(s.remove)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), stepTime)
		defer cancel()
		mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

func allow(methods string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Allow", methods)
		w.WriteHeader(http.StatusOK)
	}
}

// list answers with those of the configuration, and then those of the API, each by id: with all of them, or with a page
// where a limit is given. A client that knows nothing of pages must not miss any.
func (s *Service) list(w http.ResponseWriter, r *http.Request) {
	asked := r.URL.Query().Get("limit")
	limit, err := strconv.Atoi(or(asked, strconv.Itoa(math.MaxInt32)))
	if err != nil || limit < 1 || limit > maxPage && asked != "" {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("limit is not between 1 and %d", maxPage), nil)
		return
	}
	objects, err := s.store.all(r.Context())
	if err != nil {
		unavailable(w, err)
		return
	}
	fixed := s.fixed()
	ids := slices.Concat(slices.Sorted(maps.Keys(fixed)), slices.Sorted(maps.Keys(objects)))
	if after := r.URL.Query().Get("cursor"); after != "" {
		at := slices.Index(ids, after)
		if at < 0 { // it was deleted since the last page: continue where it would be
			at = slices.IndexFunc(ids, func(id string) bool { return fixed[id] == nil && id > after }) - 1
			if at == -2 {
				at = len(ids) - 1
			}
		}
		ids = ids[at+1:]
	}
	if len(ids) > limit {
		ids = ids[:limit]
		w.Header().Set("Link", fmt.Sprintf(`</subscriptions?limit=%d&cursor=%s>; rel="next"`, limit,
			url.QueryEscape(ids[limit-1])))
	}
	page := make([]*Object, 0, len(ids))
	for _, id := range ids {
		if o := fixed[id]; o != nil {
			page = append(page, o)
		} else {
			page = append(page, objects[id].withoutSecrets())
		}
	}
	answer(w, http.StatusOK, page)
}

// or returns value, or otherwise if it is empty.
func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// fixed returns the subscriptions of the configuration by name. They are read-only.
func (s *Service) fixed() map[string]*Object {
	objects := make(map[string]*Object, len(s.config.Subscriptions))
	for i := range s.config.Subscriptions {
		c := &s.config.Subscriptions[i]
		o := &Object{ID: c.Name, Sink: c.Sink.Describe(), Protocol: protocolHTTP}
		if c.Sink.URI == "" {
			o.Protocol = protocolRedis
		}
		o.Config, _ = json.Marshal(map[string]string{"stream": c.Stream}) // strings can be encoded
		for j := range c.Filters {
			filter, _ := json.Marshal(encodeFilter(&c.Filters[j]))
			o.Filters = append(o.Filters, filter)
		}
		objects[c.Name] = o
	}
	return objects
}

func (s *Service) show(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if o := s.fixed()[id]; o != nil {
		answer(w, http.StatusOK, o)
		return
	}
	o, tag, err := s.store.get(r.Context(), id)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("ETag", `"`+tag+`"`)
	answer(w, http.StatusOK, o.withoutSecrets())
}

func (s *Service) create(w http.ResponseWriter, r *http.Request) {
	o, ok := s.read(w, r)
	if !ok {
		return
	}
	o.ID = uuid.NewString() // an id from the client is ignored (section 3.2.1)
	if !s.check(w, o) {
		return
	}
	tag, err := s.store.put(r.Context(), o, "new")
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Location", "/subscriptions/"+o.ID)
	w.Header().Set("ETag", `"`+tag+`"`)
	answer(w, http.StatusCreated, o.withoutSecrets())
}

// update replaces a subscription. A changed stream is refused, because the position belongs to the stream.
func (s *Service) update(w http.ResponseWriter, r *http.Request) {
	o, ok := s.read(w, r)
	if !ok || s.isFixed(w, r.PathValue("id")) {
		return
	}
	if o.ID != r.PathValue("id") {
		refuse(w, http.StatusBadRequest, "the id in the body differs from the id in the path; write the same id in "+
			"both", nil)
		return
	}
	old, tag, err := s.store.get(r.Context(), o.ID)
	if err != nil {
		s.fail(w, err)
		return
	}
	o.keepSecrets(old)
	if !s.check(w, o) {
		return
	}
	if was, is := old.stream(s.defaultStream()), o.stream(s.defaultStream()); was != is {
		refuse(w, http.StatusConflict, fmt.Sprintf("the subscription reads stream %q and cannot change to stream %q; "+
			"delete it and create a new one", was, is), nil)
		return
	}
	if wanted := r.Header.Get("If-Match"); wanted != "" && wanted != "*" && strings.Trim(wanted, `"`) != tag {
		s.fail(w, errChanged)
		return
	}
	if tag, err = s.store.put(r.Context(), o, tag); err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("ETag", `"`+tag+`"`)
	answer(w, http.StatusOK, o.withoutSecrets())
}

// remove deletes a subscription. Its group is deleted later, when every replica has stopped it; see [Service.Run].
func (s *Service) remove(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if s.isFixed(w, id) {
		return
	}
	o, _, err := s.store.get(r.Context(), id)
	if err == nil {
		o, err = s.store.delete(r.Context(), id, o.stream(s.defaultStream()))
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, http.StatusOK, o.withoutSecrets())
}

// isFixed reports whether a subscription is read-only, and answers that it is.
func (s *Service) isFixed(w http.ResponseWriter, id string) bool {
	if s.fixed()[id] == nil {
		return false
	}
	w.Header().Set("Allow", "GET, OPTIONS")
	refuse(w, http.StatusMethodNotAllowed, fmt.Sprintf("subscription %q belongs to the configuration file; change it "+
		"there", id), nil)
	return true
}

// read returns the object in the body of a request, or answers what is wrong with it and returns false.
func (s *Service) read(w http.ResponseWriter, r *http.Request) (*Object, bool) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType,
			"the content type must be application/json; send the header content-type: application/json", nil)
		return nil, false
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the body is larger than %d bytes; use fewer or shorter filters", maxBody), nil)
		return nil, false
	case err != nil:
		refuse(w, http.StatusBadRequest, "the body could not be read; send it again", nil)
		return nil, false
	}
	o, err := parse(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error(), nil)
		return nil, false
	}
	return o, true
}

// check reports whether an object is valid, and answers what is wrong if it is not.
func (s *Service) check(w http.ResponseWriter, o *Object) bool {
	c, problems := s.configuration(o)
	if len(problems) == 0 {
		problems = s.gateway.Check(&c)
	}
	if len(problems) > 0 {
		refuse(w, http.StatusBadRequest, "the subscription is not valid", problems)
	}
	return len(problems) == 0
}

// fail answers an error of the store.
func (s *Service) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errNotFound):
		refuse(w, http.StatusNotFound, err.Error()+"; to list the subscriptions, use GET /subscriptions", nil)
	case errors.Is(err, errChanged):
		refuse(w, http.StatusPreconditionFailed,
			err.Error()+"; get the subscription, and try again with its ETag in If-Match", nil)
	case errors.Is(err, errTooMany):
		refuse(w, http.StatusConflict, err.Error()+"; delete some first", nil)
	default:
		unavailable(w, err)
	}
}

func unavailable(w http.ResponseWriter, err error) {
	w.Header().Set("Retry-After", "1")
	refuse(w, http.StatusServiceUnavailable, "redis: "+err.Error()+"; try again later", nil)
}

// problem is a problem document (RFC 9457).
type problem struct {
	Type     string          `json:"type"`
	Title    string          `json:"title"`
	Status   int             `json:"status"`
	Detail   string          `json:"detail"`
	Problems []problemMember `json:"problems,omitempty"`
}

type problemMember struct {
	Path    string `json:"path"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

func refuse(w http.ResponseWriter, status int, detail string, problems setting.Problems) {
	document := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
	for _, p := range problems {
		document.Problems = append(document.Problems, problemMember(p))
	}
	write(w, status, "application/problem+json", document)
}

func answer(w http.ResponseWriter, status int, body any) { write(w, status, "application/json", body) }

func write(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body) // the client may have gone
}

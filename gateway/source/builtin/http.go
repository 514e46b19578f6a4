package builtin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/net/http/httpguts"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/template"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func httpType() source.Type {
	return source.Type{Name: "http", NewConfig: func(source.Defaults) source.Config { return NewHTTPConfig() }}
}

// HTTPConfig is the configuration of a source of type http: it reads a JSON document again and again, and publishes an
// event for each element of a list in it that is new or has changed.
type HTTPConfig struct {
	// URL is the address of the document.
	URL string `mapstructure:"url"`
	// Interval is the time between the beginnings of two polls; default 1m. Timeout is how long one may take; default
	// 30s.
	Interval setting.Duration `mapstructure:"interval"`
	Timeout  setting.Duration `mapstructure:"timeout"`
	// Headers are sent with every request.
	Headers []HTTPHeader `mapstructure:"headers"`
	// Items is where in the document the list is, as names and numbers between dots; default is the document itself.
	Items string `mapstructure:"items"`
	// Key is where in an element its identity is, in the same form; required.
	Key string `mapstructure:"key"`
	// Version is where in an element there is something that changes with it; default is the whole element.
	Version string `mapstructure:"version"`
	// Event says what the events look like. Their data is the element.
	Event HTTPEventConfig `mapstructure:"event"`
}

// HTTPHeader is one header of requests.
type HTTPHeader struct {
	Name  string `mapstructure:"name"`
	Value string `mapstructure:"value"`
}

// HTTPEventConfig says what events look like. Type and Subject are templates, see [template.Parse], of key and
// operation (create or update).
type HTTPEventConfig struct {
	// Type is the type of the events; default dev.streamgate.element.{operation}.
	Type string `mapstructure:"type"`
	// Source is their source; default url, without its query.
	Source string `mapstructure:"source"`
	// Subject is their subject; default {key}.
	Subject string `mapstructure:"subject"`
}

// Bounds of a document.
const (
	maxFeedBytes = 16 << 20
	feedRefresh  = 24 * time.Hour
	feedForget   = 7 * 24 * time.Hour // after which an element that has left the list is new again
	maxFeedPause = 15 * time.Minute
)

// NewHTTPConfig returns the defaults.
func NewHTTPConfig() *HTTPConfig {
	return &HTTPConfig{
		Interval: setting.Duration(time.Minute), Timeout: setting.Duration(30 * time.Second),
		Event: HTTPEventConfig{Type: "dev.streamgate.element.{operation}", Subject: "{key}"},
	}
}

// Validate implements source.Config.
func (c *HTTPConfig) Validate(string) setting.Problems {
	var p setting.Problems
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		p.Add("url", "there is no http or https address without a user", "write one like https://api.example.com/scenes, and put credentials into headers")
		return p
	}
	if c.Key == "" {
		p.Add("key", "there is no place of the identity of an element", "write where it is, like id or properties.name")
	}
	if c.Interval.Std() < time.Second || c.Timeout.Std() < time.Second {
		p.Add("interval", "a time is shorter than 1s", "set times like 1m and 30s")
	}
	for i, h := range c.Headers {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
			p.Add(fmt.Sprintf("headers[%d]", i), "the name or the value is not valid in a header", "give a name like X-Api-Key and a value without line breaks")
		}
	}
	feed, err := c.feed(source.Env{})
	if err != nil {
		p.Add("event", err.Error(), "use {key} and {operation}, and {{ for a brace")
		return p
	}
	if e, err := feed.event("key", "version", "create", nil); err != nil || e.Validate() != nil {
		p.Add("event", "it makes no valid event", "give a type like com.example.scene.{operation} and a source that is a URI-reference")
	}
	return p
}

// EventKinds implements source.Config: the file says what the events look like.
func (c *HTTPConfig) EventKinds() ([]source.EventKind, error) { return nil, nil }

// Report implements source.Config.
func (c *HTTPConfig) Report(map[string][]byte) (source.Report, error) {
	return source.Report{}, nil
}

// NewSource implements source.Config.
func (c *HTTPConfig) NewSource(env source.Env) (source.Source, error) { return c.feed(env) }

func (c *HTTPConfig) feed(env source.Env) (*feed, error) {
	f := &feed{config: c, env: env, source: c.Event.Source, client: &http.Client{
		Timeout: c.Timeout.Std(),
		// The headers may be credentials, and a redirect may lead anywhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if u, err := url.Parse(c.URL); err == nil && f.source == "" {
		u.RawQuery, u.Fragment = "", ""
		f.source = u.String()
	}
	var err error
	if f.eventType, err = template.Parse(c.Event.Type, "key", "operation"); err != nil {
		return nil, err
	}
	f.subject, err = template.Parse(c.Event.Subject, "key", "operation")
	return f, err
}

// feed remembers the elements that it has published, in the step that publishes them.
type feed struct {
	config             *HTTPConfig
	env                source.Env
	source             string
	client             *http.Client
	eventType, subject template.Template
	etag, modified     string // of the last document, when all of it was published
	forgot             time.Time
	found              int // elements of the last document
	failed             bool
}

var _ source.Source = (*feed)(nil)

// Run implements source.Source.
func (f *feed) Run(ctx context.Context) error {
	defer f.client.CloseIdleConnections()
	pause := f.config.Interval.Std()
	for ctx.Err() == nil {
		began := time.Now()
		err := f.poll(ctx)
		if errors.Is(err, source.ErrFenced) || ctx.Err() != nil {
			return err
		}
		switch {
		case err != nil && !f.failed:
			f.env.Logger.Warn("cannot read the document, trying again", "err", err)
		case err == nil && f.failed:
			f.env.Logger.Info("reading the document again")
		}
		f.failed = err != nil
		if err == nil {
			pause = f.config.Interval.Std()
		} else { // it is left in peace for a while
			pause = min(pause+rand.N(pause+1), max(maxFeedPause, f.config.Interval.Std()))
		}
		if err != nil {
			f.env.Monitor.Failed(ctx, err, began.Add(pause))
		} else {
			f.env.Monitor.Succeeded(ctx, f.found, began.Add(pause))
		}
		backoff.Sleep(ctx, time.Until(began.Add(pause)))
	}
	return nil
}

// RunOnce implements source.Source.
func (f *feed) RunOnce(ctx context.Context) error {
	defer f.client.CloseIdleConnections()
	return f.poll(ctx)
}

// poll publishes what is new or has changed.
func (f *feed) poll(ctx context.Context) error {
	elements, validators, err := f.fetch(ctx)
	if err != nil {
		return err
	}
	if elements != nil { // else it has not changed
		f.found = len(elements)
	}
	var skipped error // the last of what makes no event; it does not keep the others back
	var pointers []*source.Emission
	var data []json.RawMessage
	for i, raw := range elements {
		e, err := f.identify(raw)
		if err != nil {
			skipped = fmt.Errorf("element %d: %w", i, err)
			continue
		}
		pointers, data = append(pointers, &e), append(data, raw)
	}
	known, err := f.env.Outbox.Seen().Recall(ctx, pointers)
	if err != nil {
		return err
	}
	var news []source.Emission
	for i := range pointers {
		e := *pointers[i]
		operation := "create"
		switch {
		case known[i].Exists && known[i].SameVersion && time.Since(known[i].Found) < feedRefresh:
			continue
		case known[i].Exists && known[i].SameVersion:
			e.Action = source.Note
		case known[i].Exists:
			operation = "update"
		}
		if e.Action != source.Note {
			if e.Event, err = f.event(e.Key, e.Version, operation, data[i]); err != nil {
				skipped = fmt.Errorf("element %q makes no event: %w", e.Key, err)
				continue
			}
		}
		news = append(news, e)
	}
	if _, err := f.env.Outbox.Publish(ctx, news); err != nil {
		return err
	}
	if skipped != nil {
		return skipped
	}
	f.etag, f.modified = validators.etag, validators.modified
	if time.Since(f.forgot) > feedRefresh {
		f.forgot = time.Now()
		_, err = f.env.Outbox.Seen().Forget(ctx, time.Now().Add(-feedForget))
	}
	return err
}

type validators struct{ etag, modified string }

// fetch reads the list, or nothing where the document has not changed since it was published.
func (f *feed) fetch(ctx context.Context) ([]json.RawMessage, validators, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.config.URL, nil)
	if err != nil {
		return nil, validators{}, fmt.Errorf("build the request: %w", err)
	}
	for _, h := range f.config.Headers {
		r.Header.Add(h.Name, h.Value)
	}
	r.Header.Set("User-Agent", f.env.UserAgent)
	if f.etag != "" {
		r.Header.Set("If-None-Match", f.etag)
	} else if f.modified != "" {
		r.Header.Set("If-Modified-Since", f.modified)
	}
	response, err := f.client.Do(r)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // without the address, which may hold a key
		}
		return nil, validators{}, fmt.Errorf("no answer from %s: %w", r.URL.Host, err)
	}
	defer func() { _ = response.Body.Close() }()
	now := validators{response.Header.Get("ETag"), response.Header.Get("Last-Modified")}
	if response.StatusCode == http.StatusNotModified && f.etag+f.modified != "" {
		return nil, validators{f.etag, f.modified}, nil
	}
	list, err := readFeed(response, f.config.Items)
	return list, now, err
}

// member returns the part of a document at a path of names and numbers between dots.
func member(document json.RawMessage, path string) (json.RawMessage, error) {
	if path == "" {
		return document, nil
	}
	name, rest, _ := strings.Cut(path, ".")
	if n, err := strconv.Atoi(name); err == nil {
		var list []json.RawMessage
		if json.Unmarshal(document, &list) == nil && n >= 0 && n < len(list) {
			return member(list[n], rest)
		}
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(document, &object); err != nil || object[name] == nil {
		return nil, fmt.Errorf("there is no %q in %s", name, kindOf(document))
	}
	return member(object[name], rest)
}

// identify returns what is remembered of an element.
func (f *feed) identify(raw json.RawMessage) (source.Emission, error) {
	key, err := member(raw, f.config.Key)
	if err != nil {
		return source.Emission{}, fmt.Errorf("key: %w", err)
	}
	version, err := member(raw, f.config.Version)
	if err != nil {
		return source.Emission{}, fmt.Errorf("version: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, version); err != nil {
		return source.Emission{}, fmt.Errorf("version: %w", err)
	}
	sum := sha256.Sum256(compact.Bytes())
	e := source.Emission{Key: plain(key), Version: hex.EncodeToString(sum[:16])}
	if e.Key == "" || e.Key == "null" {
		return e, errors.New("the key is empty")
	}
	return e, nil
}

// plain returns a string without its quotes, and anything else as it is written.
func plain(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(bytes.TrimSpace(raw))
}

// event returns the event of a state of an element: its id is the same on every replica.
func (f *feed) event(key, version, operation string, data []byte) (rawevent.Event, error) {
	lookup := func(name string) (string, bool) {
		return map[string]string{"key": key, "operation": operation}[name], true
	}
	eventType, err := f.eventType.Expand(nil, lookup)
	if err != nil {
		return rawevent.Event{}, fmt.Errorf("expand the type: %w", err)
	}
	subject, err := f.subject.Expand(nil, lookup)
	if err != nil {
		return rawevent.Event{}, fmt.Errorf("expand the subject: %w", err)
	}
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte(f.source+"\n"+key+"\n"+operation+"\n"+version)).String()
	e := rawevent.New(id, f.source, string(eventType))
	if len(subject) > 0 {
		e.Set(rawevent.AttrSubject, string(subject))
	}
	e.Set(rawevent.AttrTime, time.Now().UTC().Format(time.RFC3339Nano))
	e.DataContentType, e.Data = "application/json", data
	if err := e.Validate(); err != nil {
		return rawevent.Event{}, err
	}
	return e, nil
}

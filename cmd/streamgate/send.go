package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Limits of send.
const (
	sendTimeout = 30 * time.Second // for one event, with its retries
	sendTries   = 5                // attempts at a receiver that is busy
	sendPause   = time.Second      // between two attempts
	maxLine     = 8 << 20          // bytes of one event
)

// sendFlags describe an event and its destination.
type sendFlags struct {
	url, stream                string
	id, source, eventType      string
	subject, data, contentType string
	href, producer             string
	extensions                 []string
	structured, ndjson         bool
	redis                      redisFlags
}

func newSend() *cobra.Command {
	var f sendFlags
	c := &cobra.Command{
		Use:   "send",
		Short: "Send one event, or many as NDJSON from stdin",
		Long: "Send one event that the flags describe or, with --ndjson, one event per line of stdin in the " +
			"CloudEvents JSON format.\n" +
			"Events go over HTTP to --url or, with --stream, directly into a Redis stream.\n\n" +
			"For each accepted event, one line with its id and the id of its stream entry is printed. A receiver " +
			"that " +
			"answers 429 or\n" +
			"503 gets the event again, with the same id, up to five times.",
		Example: "  streamgate send --type com.example.hello --data '{\"hello\":\"world\"}'\n" +
			"  streamgate send --href https://example.com/items/S2B_10TFK --producer project-a\n" +
			"  streamgate tail events --no-follow -o json | streamgate send --ndjson --stream copy",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.url, "url", "http://127.0.0.1:8080/",
		"HTTP `URL` of a gateway or any other CloudEvents receiver")
	flags.StringVar(&f.stream, "stream", "", "write to this Redis `STREAM` instead of an HTTP URL")
	flags.StringVar(&f.id, "id", "", "`ID` of the event; by default a new UUID")
	flags.StringVar(&f.source, "source", "/streamgate/send", "`SOURCE` of the event")
	flags.StringVar(&f.eventType, "type", "dev.streamgate.sent", "`TYPE` of the event")
	flags.StringVar(&f.subject, "subject", "", "`SUBJECT` of the event; by default none")
	flags.StringVar(&f.data, "data", "", "`DATA` of the event: text, @FILE, or - for stdin; by default none")
	flags.StringVar(&f.contentType, "content-type", "",
		"media `TYPE` of the data; by default application/json if it is JSON, else text/plain")
	flags.StringVar(&f.href, "href", "",
		"`URL` of a resource: becomes the subject, and the data is {\"href\": URL, \"producer\": --producer}")
	flags.StringVar(&f.producer, "producer", "streamgate", "`NAME` of the producer; used with --href")
	flags.StringArrayVar(&f.extensions, "ext", nil, "extension attribute as `NAME=VALUE`; can be repeated")
	flags.BoolVar(&f.structured, "structured", false, "send in structured content mode")
	flags.BoolVar(&f.ndjson, "ndjson", false, "read events in the JSON format from stdin, one per line")
	f.redis.register(c)
	return c
}

func (f *sendFlags) run(c *cobra.Command) error {
	deliver, closeTarget, err := f.target()
	if err != nil {
		return err
	}
	defer closeTarget()
	if !f.ndjson {
		event, err := f.event(c.InOrStdin())
		if err != nil {
			return err
		}
		return failed(f.sendOne(c, deliver, &event))
	}
	err = eachLine(c.InOrStdin(), func(event *rawevent.Event) error { return f.sendOne(c, deliver, event) })
	if err != nil {
		return failed(err)
	}
	return nil
}

// sendOne sends an event and prints its id and the id of its entry.
func (f *sendFlags) sendOne(c *cobra.Command, deliver deliverFunc, event *rawevent.Event) error {
	ctx, cancel := context.WithTimeout(c.Context(), sendTimeout)
	defer cancel()
	entryID, err := deliver(ctx, event)
	if err != nil {
		return fmt.Errorf("event %q was not accepted: %w", event.ID(), err)
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), strings.TrimRight(event.ID()+" "+entryID, " "))
	return err
}

// deliverFunc sends an event. It returns the id of its stream entry, or "" if the receiver does not report one.
type deliverFunc func(ctx context.Context, event *rawevent.Event) (entryID string, err error)

// target returns how to send an event, and how to release what that needs.
func (f *sendFlags) target() (deliver deliverFunc, closeTarget func(), err error) {
	if f.stream == "" {
		if u, err := url.Parse(f.url); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, nil, fmt.Errorf("--url: %q is not an http or https address; write one like http://127.0.0.1:8080/",
				withoutSecrets(f.url))
		}
		return f.post, func() {}, nil
	}
	client, err := f.redis.dial()
	if err != nil {
		return nil, nil, err
	}
	var options []redisstreams.SenderOption
	if f.structured {
		options = append(options, redisstreams.WithStructuredMode())
	}
	sender, err := redisstreams.NewSender(client, f.stream, options...)
	if err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return sender.Append, func() { _ = client.Close() }, nil // every command has its reply by then
}

// post sends an event over HTTP. It retries a receiver that answers 503 or 429; the id stays the same, so that a
// receiver that deduplicates stores the event once.
func (f *sendFlags) post(ctx context.Context, event *rawevent.Event) (entryID string, err error) {
	tries := 0
	_ = poll(ctx, sendPause, func() (bool, error) { // err is that of the last attempt, also when ctx ends
		var status int
		entryID, status, err = f.postOnce(ctx, event)
		tries++
		busy := status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
		return !busy || tries == sendTries, nil
	})
	return entryID, err
}

func (f *sendFlags) postOnce(ctx context.Context, event *rawevent.Event) (entryID string, status int, err error) {
	header, body := http.Header{"User-Agent": {userAgent()}}, event.Data
	if f.structured || rawevent.ModeOf(event.DataContentType) != rawevent.Binary {
		header.Set("Content-Type", rawevent.MediaTypeJSON)
		body = event.AppendJSON(nil)
	} else {
		event.WriteHTTP(header)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(body))
	if err != nil {
		return "", 0, fmt.Errorf("--url: %q is not a valid URL: %w", withoutSecrets(f.url), err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", 0, fmt.Errorf("%w; is the gateway running? To start it, run: streamgate serve", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // it only explains a status; a part of it is enough
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return "", response.StatusCode, fmt.Errorf("%s: %s", response.Status, explain(answer))
	}
	return response.Header.Get("Streamgate-Entry-Id"), response.StatusCode, nil
}

// explain returns the detail of a problem document (RFC 9457), or any other answer as it is.
func explain(answer []byte) string {
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(answer, &problem) == nil && problem.Detail != "" {
		return problem.Detail
	}
	return strings.TrimSpace(string(answer))
}

// event builds the event that the flags describe.
func (f *sendFlags) event(stdin io.Reader) (rawevent.Event, error) {
	if f.id == "" {
		f.id = uuid.NewString()
	}
	event := rawevent.New(f.id, f.source, f.eventType)
	event.Set(rawevent.AttrTime, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"))
	if f.subject != "" {
		event.Set(rawevent.AttrSubject, f.subject)
	}
	for _, extension := range f.extensions {
		name, value, found := strings.Cut(extension, "=")
		if !found {
			return event, fmt.Errorf("--ext: %q is not of the form NAME=VALUE; write one like color=blue", extension)
		}
		event.Set(name, value)
	}
	if err := f.setData(&event, stdin); err != nil {
		return event, err
	}
	if err := event.Validate(); err != nil {
		return event, fmt.Errorf("the flags do not describe a valid CloudEvent: %w", err)
	}
	return event, nil
}

// setData sets the data and its media type from --href, or from --data and --content-type.
func (f *sendFlags) setData(event *rawevent.Event, stdin io.Reader) (err error) {
	switch {
	case f.href != "" && f.data != "":
		return errors.New("--href and --data cannot be combined; remove one of them")
	case f.href != "":
		if event.Subject() == "" {
			event.Set(rawevent.AttrSubject, f.href)
		}
		event.DataContentType = "application/json"
		event.Data, err = json.Marshal(map[string]string{"href": f.href, "producer": f.producer})
		return err
	case f.data == "-":
		event.Data, err = io.ReadAll(stdin)
	case strings.HasPrefix(f.data, "@"):
		event.Data, err = os.ReadFile(filepath.Clean(f.data[1:]))
	case f.data != "":
		event.Data = []byte(f.data)
	}
	if err != nil {
		return fmt.Errorf("read the data: %w", err)
	}
	switch {
	case f.contentType != "":
		event.DataContentType = f.contentType
	case event.Data != nil && json.Valid(event.Data):
		event.DataContentType = "application/json"
	case event.Data != nil:
		event.DataContentType = "text/plain"
	}
	return nil
}

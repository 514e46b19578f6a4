package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	sendTimeout = 30 * time.Second
	sendTries   = 5 // where the receiver says that it is busy
	sendPause   = time.Second
	maxLine     = 8 << 20 // of one event in NDJSON
)

// sendFlags are the parts of an event on the command line, and where it goes.
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
		Short: "Send an event, or many as NDJSON from stdin",
		Long: "Send one event that is made from flags, or with --ndjson one event in JSON format a line from stdin.\n" +
			"It goes over HTTP to --url, or with --stream straight into a stream of Redis.\n\n" +
			"For each event that was accepted a line is printed: its id, and the id of its stream entry.",
		Example: "  streamgate send --type com.example.hello --data '{\"hello\":\"world\"}'\n" +
			"  streamgate send --href https://example.com/items/S2B_10TFK --producer project-a\n" +
			"  streamgate tail events --no-follow -o json | streamgate send --ndjson --stream copy",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c) },
	}
	flags := c.Flags()
	flags.StringVar(&f.url, "url", "http://127.0.0.1:8080/", "HTTP address to send to: a gateway, or any CloudEvents receiver")
	flags.StringVar(&f.stream, "stream", "", "write to this stream of Redis instead of an HTTP address")
	flags.StringVar(&f.id, "id", "", "id; default is a new UUID")
	flags.StringVar(&f.source, "source", "/streamgate/send", "source")
	flags.StringVar(&f.eventType, "type", "dev.streamgate.sent", "type")
	flags.StringVar(&f.subject, "subject", "", "subject; default none")
	flags.StringVar(&f.data, "data", "", "data: text, @FILE, or - for stdin; default none")
	flags.StringVar(&f.contentType, "content-type", "", "media type of the data; default application/json if it is JSON, else text/plain")
	flags.StringVar(&f.href, "href", "", `address of a thing: subject becomes it, and data {"href","producer"}`)
	flags.StringVar(&f.producer, "producer", "streamgate", "producer, with --href")
	flags.StringArrayVar(&f.extensions, "ext", nil, "extension attribute as NAME=VALUE; may be given several times")
	flags.BoolVar(&f.structured, "structured", false, "send in structured mode")
	flags.BoolVar(&f.ndjson, "ndjson", false, "read events in JSON format from stdin, one a line")
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

// deliverFunc sends an event and returns the id of its stream entry, if the receiver tells it.
type deliverFunc func(ctx context.Context, event *rawevent.Event) (entryID string, err error)

func (f *sendFlags) target() (deliver deliverFunc, closeTarget func(), err error) {
	if f.stream == "" {
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
	return sender.Append, func() { _ = client.Close() }, nil // everything was answered
}

// post sends an event over HTTP. A receiver that says 503 or 429 is asked again a few times: the id stays the same.
func (f *sendFlags) post(ctx context.Context, event *rawevent.Event) (string, error) {
	for try := 1; ; try++ {
		entryID, status, err := f.postOnce(ctx, event)
		if try == sendTries || status != http.StatusServiceUnavailable && status != http.StatusTooManyRequests {
			return entryID, err
		}
		select {
		case <-time.After(sendPause):
		case <-ctx.Done():
			return "", err
		}
	}
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
		return "", 0, fmt.Errorf("--url %q is no address: %w", withoutSecrets(f.url), err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", 0, fmt.Errorf("%w; is the gateway running? Start it with: streamgate serve", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // what came before an error will do
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return "", response.StatusCode, fmt.Errorf("%s: %s", response.Status, explain(answer))
	}
	return response.Header.Get("Streamgate-Entry-Id"), response.StatusCode, nil
}

// explain returns the detail of a problem document, or the text as it is.
func explain(answer []byte) string {
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(answer, &problem) == nil && problem.Detail != "" {
		return problem.Detail
	}
	return strings.TrimSpace(string(answer))
}

// event makes the event that the flags describe.
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
			return event, fmt.Errorf("--ext %q is not NAME=VALUE", extension)
		}
		event.Set(name, value)
	}
	if err := f.setData(&event, stdin); err != nil {
		return event, err
	}
	if err := event.Validate(); err != nil {
		return event, fmt.Errorf("the flags make no valid CloudEvent: %w", err)
	}
	return event, nil
}

func (f *sendFlags) setData(event *rawevent.Event, stdin io.Reader) (err error) {
	switch {
	case f.href != "" && f.data != "":
		return errors.New("--href and --data exclude each other")
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

package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/streamgate/streamgate/gateway/foreign"
	"github.com/streamgate/streamgate/gateway/peer"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// NoReplies as replyStream means that answers are not read as events.
const NoReplies = "none"

// How the body of a 2xx is read, where answers may hold events.
const (
	// RepliesLenient: a CloudEvent is a reply, and any other body is ignored. The sink has accepted the event either
	// way.
	RepliesLenient = "lenient"
	// RepliesStrict is the rule of Knative's Triggers: a body that is not a CloudEvent is a failure, as if the sink
	// were a bad gateway, because something that is not a sink for events has answered (knative/eventing
	// pkg/broker/filter/filter_handler.go).
	RepliesStrict = "strict"
)

// readAccepted reads the answer to a delivery that was accepted. The answer 202 says that the event is yet to be
// processed: it must not be taken for a reply, whatever it holds (Knative data plane contract, CloudEvents HTTP webhook
// section 2.2).
func (s *httpSink) readAccepted(o *Outcome, response *http.Response, cancel context.CancelFunc) {
	switch {
	case s.replies == "" || response.StatusCode == http.StatusAccepted:
		drain(response, cancel)
	case holdsEvent(response.Header):
		s.readReply(o, response)
	case response.ContentLength == 0:
	case s.replies == RepliesStrict:
		s.refuseBody(o, response, cancel)
	default:
		drain(response, cancel)
	}
}

// holdsEvent reports whether an answer says that it is a CloudEvent, in any mode.
func holdsEvent(header http.Header) bool {
	return header.Get("Ce-Specversion") != "" || rawevent.ModeOf(header.Get("Content-Type")) != rawevent.Binary
}

// readReply reads an answer that says that it is a CloudEvent. If it breaks off, the event is delivered again, because
// the reply would be lost. If it is not valid, that depends: a strict subscription takes it for a failure; a lenient
// one keeps to what the sink has said, that it accepted the event, and reports the reply as unusable.
func (s *httpSink) readReply(o *Outcome, response *http.Response) {
	body, err := readReplyBody(response)
	var unreadable *foreign.Error
	if err != nil && !errors.As(err, &unreadable) {
		*o = noResponse("the answer broke off: " + peer.Cause(err))
		return
	}
	if err == nil {
		var reply rawevent.Event
		if reply, err = rawevent.FromHTTP(response.Header, body); err == nil {
			o.Reply = &reply
			return
		}
	}
	reason := fmt.Sprintf("the sink answered %d with a CloudEvent that is not valid: %s",
		response.StatusCode, peer.OneLine(err.Error(), maxReason))
	if s.replies == RepliesStrict {
		*o = badReply(reason)
		return
	}
	o.Unusable = reason
}

// maxReason bounds, in characters, what is quoted of an error about a reply.
const maxReason = 300

// readReplyBody returns the body of a reply, unpacked. Data that the event itself declares as compressed stays as it
// is.
func readReplyBody(response *http.Response) ([]byte, error) {
	if response.ContentLength == 0 { // the usual case, in which reading nothing would cost something, too
		return nil, nil
	}
	encoding := strings.Join(response.Header.Values("Content-Encoding"), ",")
	if encoding != "" {
		return foreign.Unpack(response.Body, encoding, maxReplyBytes)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReplyBytes+1))
	if err == nil && len(body) > maxReplyBytes {
		return nil, &foreign.Error{Reason: foreign.TooLarge, Text: fmt.Sprintf("it is larger than %d bytes", maxReplyBytes)}
	}
	return body, err
}

// refuseBody is for strict subscriptions: a body that is not a CloudEvent makes the attempt fail. An answer without a
// length may turn out to have no body.
func (s *httpSink) refuseBody(o *Outcome, response *http.Response, cancel context.CancelFunc) {
	answer := peer.Read(response)
	drain(response, cancel)
	if len(bytes.TrimSpace(answer.Text)) == 0 && answer.Unreadable == "" {
		return
	}
	*o = badReply(fmt.Sprintf("the sink answered %s; the body is not a CloudEvent, which delivery.replies: strict takes for "+
		"a failure; answer without a body, or set delivery.replies: lenient or replyStream: none", answer.Describe()))
}

func badReply(reason string) Outcome {
	return Outcome{Code: http.StatusBadGateway, Detail: []byte(reason), Reason: reason, Answered: true}
}

package sink

import (
	"fmt"
	"io"
	"net/http"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// NoReplies as replyStream means that answers are not read as events.
const NoReplies = "none"

// readReply reads the answer to a delivery that was accepted. As in Knative, an empty body is the end of it, a CloudEvent is
// a reply, and anything else a failure, as if the sink were a bad gateway: something that is no sink for events has
// answered (knative/eventing pkg/broker/filter/filter_handler.go).
func (s *httpSink) readReply(o *Outcome, response *http.Response) {
	var body []byte
	var err error
	if response.ContentLength != 0 { // it seldom is not, and reading nothing costs, too
		body, err = io.ReadAll(io.LimitReader(response.Body, maxReplyBytes+1))
	}
	if err != nil {
		*o = Outcome{Code: NoResponse, Detail: []byte("the answer broke off: " + err.Error())}
		return
	}
	holdsEvent := response.Header.Get("Ce-Specversion") != "" || rawevent.ModeOf(response.Header.Get("Content-Type")) != rawevent.Binary
	switch {
	case len(body) > maxReplyBytes:
		*o = badReply(fmt.Sprintf("the answer is larger than %d bytes", maxReplyBytes))
	case holdsEvent:
		reply, err := rawevent.FromHTTP(response.Header, body)
		if err != nil {
			*o = badReply("the answer is no valid CloudEvent: " + err.Error())
			return
		}
		o.Reply = &reply
	case len(body) > 0:
		*o = badReply("the answer has a body that is no CloudEvent; answer without one, or set replyStream: none")
	}
}

func badReply(reason string) Outcome {
	return Outcome{Code: http.StatusBadGateway, Detail: []byte(reason), Answered: true}
}

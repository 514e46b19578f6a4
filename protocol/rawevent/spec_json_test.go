package rawevent_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestJSONOrderOfMembers: every attribute that is present is a member (JSON event format sections 2 and 3), in the
// canonical order, whatever the order was.
func TestJSONOrderOfMembers(t *testing.T) {
	t.Parallel()
	const want = `{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2020-01-02T03:04:05Z","subject":"x",` +
		`"dataschema":"urn:x","alpha":"","zeta":"2","datacontenttype":"application/json","data":{}}`
	e, err := rawevent.FromJSON([]byte(`{"data":{},"zeta":2,"dataschema":"urn:x","subject":"x","alpha":"","type":"t",` +
		`"datacontenttype":"application/json","time":"2020-01-02t03:04:05z","id":"1","source":"/s","specversion":"1.0"}`))
	accepted(t, &e, err)
	if diff := cmp.Diff(want, string(e.AppendJSON(nil))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var built rawevent.Event
	for _, name := range []string{"zeta", "type", "subject", "time", "alpha", "id", "dataschema", "datacontenttype", "source", "specversion"} {
		value, _ := e.Attribute(name)
		built.Set(name, "first")
		built.Set(name, value)
	}
	built.Data = e.Data
	if diff := cmp.Diff(e, built); diff != "" {
		t.Errorf("Set does not keep the order:\n%s", diff)
	}
}

// TestJSONImpliedContentType: section 3.1.2. Data without datacontenttype is JSON, and says so once it is converted;
// data_base64 without one is of unknown type, and no type may be added (section 3.1.1).
func TestJSONImpliedContentType(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ input, contentType, body, written string }{
		{with(`"data":"hi"`), "application/json", `"hi"`, with(`"datacontenttype":"application/json","data":"hi"`)},
		{with(`"datacontenttype":"text/plain","data":"hi"`), "text/plain", `hi`, with(`"datacontenttype":"text/plain","data":"hi"`)},
		{with(`"data_base64":"aGk="`), "", `hi`, with(`"data_base64":"aGk="`)},
		{minimal, "", "", minimal},
	} {
		e, err := rawevent.FromJSON([]byte(row.input))
		accepted(t, &e, err)
		header := http.Header{}
		e.WriteHTTP(header)
		if got := header.Get("Content-Type"); got != row.contentType || string(e.Data) != row.body {
			t.Errorf("%s becomes Content-Type %q and body %q", row.input, got, e.Data)
		}
		if diff := cmp.Diff(row.written, string(e.AppendJSON(nil))); diff != "" {
			t.Errorf("%s:\n%s", row.input, diff)
		}
	}
}

// TestJSONBatchFormat: section 4.1.
func TestJSONBatchFormat(t *testing.T) {
	t.Parallel()
	if got := string(rawevent.AppendBatch([]byte("x"), nil)); got != "x[]" {
		t.Errorf("an empty batch is written as %s", got)
	}
	events := []rawevent.Event{rawevent.New("1", "/s", "t"), rawevent.New("1", "/s", "t")}
	if got := string(rawevent.AppendBatch(nil, events)); got != "["+minimal+","+minimal+"]" {
		t.Errorf("a batch is written as %s", got)
	}
}

// TestJSONDataOwnsItsBytes: appending to the data of one event must not write into the input that others share.
func TestJSONDataOwnsItsBytes(t *testing.T) {
	t.Parallel()
	input := []byte("[" + with(`"data":{}`) + "," + minimal + "]")
	before := bytes.Clone(input)
	events, err := rawevent.BatchFromJSON(input)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(events[0].Data, "XXXX"...)
	if !bytes.Equal(before, input) {
		t.Errorf("the input is now %s", input)
	}
}

// TestJSONAttributeStrings: what AppendJSON writes means the same to encoding/json.
func TestJSONAttributeStrings(t *testing.T) {
	t.Parallel()
	const value = "\"\\/<>&\u2028\u2029é😀\u00a0\ufffd"
	e := rawevent.New("1", "/s", "t")
	e.Set("subject", value)
	var got map[string]string
	if err := json.Unmarshal(e.AppendJSON(nil), &got); err != nil || got["subject"] != value {
		t.Errorf("encoding/json reads %q, %v", got["subject"], err)
	}
}

// TestDataMember reads members of the data, which the event itself does not look into.
func TestDataMember(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		mediaType, data, name, want string
		found                       bool
	}{
		{"application/json", `{"a":"x\u0041"}`, "a", "xA", true},
		{"application/json", ` { "b" : [ 1, {"a":2} ] , "a" : 1.50 } `, "a", "1.50", true},
		{"application/json", `{"a":{"x": [1 ]}}`, "a", `{"x": [1 ]}`, true},
		{"application/json", `{"a":null}`, "a", "null", true},
		{"application/json", `{"\u0061":""}`, "a", "", true},
		{"application/json", `{"b":{"a":1}}`, "a", "", false},
		{"application/json", `{"a":"\ud800"}`, "a", "", false},
		{"application/json", `{"A":1}`, "a", "", false},
		{"application/json", `["a"]`, "a", "", false},
		{"application/json", `{bad`, "a", "", false},
		{"application/json", ``, "a", "", false},
		{"text/plain", `{"a":1}`, "a", "", false},
		{"", `{"a":1}`, "a", "", false},
	} {
		e := rawevent.New("1", "/s", "t")
		e.DataContentType, e.Data = row.mediaType, []byte(row.data)
		if got, found := e.DataMember(row.name); got != row.want || found != row.found {
			t.Errorf("member %s of %s (%s) = %q, %v", row.name, row.data, row.mediaType, got, found)
		}
	}
}

func TestCloneAndDelete(t *testing.T) {
	t.Parallel()
	e := rawevent.New("1", "/s", "t")
	e.Set("foo", "x")
	e.Set("datacontenttype", "text/plain")
	c := e.Clone()
	c.Set("foo", "y")
	c.Delete("id")
	c.Delete("datacontenttype")
	c.Delete("absent")
	if value, _ := e.Attribute(
		"foo",
	); value != "x" || e.ID() != "1" || e.DataContentType != "text/plain" ||
		len(e.Attributes) != 5 {
		t.Errorf("the original is now %+v", e)
	}
	if _, found := c.Attribute("id"); found || c.DataContentType != "" || len(c.Attributes) != 4 {
		t.Errorf("the clone is %+v", c)
	}
}

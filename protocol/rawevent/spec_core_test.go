package rawevent_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// validity sets one attribute of a valid event to each value, and expects Validate, FromJSON and FromHTTP to agree.
func validity(t *testing.T, attribute string, valid, notValid []string) {
	t.Helper()
	check := func(value string, want bool) {
		e := rawevent.New("1", "/s", "t")
		e.Set(attribute, value)
		written := e.Clone()
		if err := e.Validate(); (err == nil) != want {
			t.Errorf("%s %q: Validate says %v", attribute, value, err)
		} else if err != nil && asError(t, err).Attribute != attribute {
			t.Errorf("%s %q: the error blames %q", attribute, value, asError(t, err).Attribute)
		}
		if _, err := rawevent.FromJSON(written.AppendJSON(nil)); (err == nil) != want {
			t.Errorf("%s %q: FromJSON says %v", attribute, value, err)
		}
		header := map[string][]string{}
		written.WriteHTTP(header)
		if _, err := rawevent.FromHTTP(header, nil); (err == nil) != want {
			t.Errorf("%s %q: FromHTTP says %v", attribute, value, err)
		}
	}
	for _, value := range valid {
		check(value, true)
	}
	for _, value := range notValid {
		check(value, false)
	}
}

func TestCoreTypeSystemURIReference(t *testing.T) {
	t.Parallel()
	validity(t, "source", []string{
		"/",
		"/a/b",
		"a",
		"a/b:c",
		"./a:b",
		"../..",
		"?q",
		"#f",
		"?a:b",
		"//host/p",
		"//host:8080",
		"//",
		"/a?b?c/d#e?/f",
		"mailto:a@b.c",
		"urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
		"https://github.com/cloudevents",
		"HTTP://EX.com/x",
		"http://ex.com/a?#",
		"1-555-123-4567",
		"cloudevents/spec/pull/123",
		"/sensors/tn-1234567/alerts",
		"http://u:p@ex.com:80/",
		"http://[::1]:80/x",
		"http://[2001:db8::7]",
		"a+b-c.d:x",
		"//[::]",
		"http://[::ffff:1.2.3.4]/",
		"http://[1:2:3:4:5:6:7::]",
		"http://u@[::1]:/",
		"http://[v1.x:y]",
		"http://[VaF.~]/",
		"http:",
		"http:///p",
		"/a%20b",
		"/%e2%82%ac",
		"/-._~!$&'()*+,;=:@",
	}, []string{
		"a b",
		" a",
		"a ",
		"a b%zz",
		"%zz",
		"%",
		"%4",
		"%4g",
		"1-555:x",
		":x",
		"a:b#c#d",
		"/é",
		"/€",
		"/<a>",
		"/a\"",
		"/a\\b",
		"/{id}",
		"/a|b",
		"/a^b",
		"/`",
		"http://ex.com:8a/",
		"http://[::1/",
		"http://[]/",
		"http://[::1]x/",
		"http://a@b@c/",
		"http://a[b]/",
		"http://[zzz]/",
		"http://[1.2.3.4]",
		"http://[1::2::3]",
		"http://[01234::]",
		"http://[::1%25eth0]",
		"http://[::1%eth0]",
		"http://[1:2:3:4:5:6:7:8:9]",
		"http://[v.x]",
		"http://[v1.]",
		"http://[v1]",
		"http://[vg.x]",
		"http://[v1.a%20]",
		"http://[v1.a@b]",
		"http://[::1]8",
		"http://[::1]:8a",
		"/[x]",
		"?[x]",
		"#[x]",
		"//a:b:c",
	})
}

func TestCoreTypeSystemURI(t *testing.T) {
	t.Parallel()
	validity(t, "dataschema", []string{
		"http://ex.com/schema",
		"HTTP://EX.com/x?y=z",
		"urn:x:y",
		"a:",
		"http://ex.com/?",
		"tag:x,2020:y",
		"http://ex.com/%25",
	}, []string{
		"/rel",
		"rel",
		"//host/p",
		"?q",
		"%zz",
		"http://ex.com/#",
		"http://ex.com/a#b",
		"http://ex.com/%zz",
		"http://ex.com/a b",
		"1http://ex.com",
		"http://é.com/",
	})
}

func TestCoreTypeSystemTimestamp(t *testing.T) {
	t.Parallel()
	validity(t, "time", []string{
		"2020-01-02T03:04:05Z",
		"2020-01-02T03:04:05.1Z",
		"2020-01-02T03:04:05.0123456789Z",
		"2020-01-02T03:04:05+05:30",
		"2020-01-02T03:04:05-23:59",
		"2020-01-02T03:04:05-00:00",
		"2016-12-31T23:59:60Z",
		"0001-01-01T00:00:00Z",
		"0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999999Z",
		"2020-02-29T00:00:00Z",
		"2000-02-29T00:00:00Z",
		"2020-01-02t03:04:05z",
		"2020-01-02T03:04:05z",
		"2020-04-30T00:00:00Z",
	}, []string{
		"2020-01-02T03:04:05",
		"2020-01-02",
		"2020-01-02T03:04Z",
		"2020-01-02 03:04:05Z",
		"2020-01-02T03:04:05,5Z",
		"2020-01-02T3:04:05Z",
		"2020-1-02T03:04:05Z",
		"2020-01-02T03:04:05.Z",
		"2020-01-02T03:04:05.5",
		"2020-01-02T24:00:00Z",
		"2020-01-02T03:60:05Z",
		"2020-01-02T03:04:61Z",
		"2020-01-02T03:04:05+24:00",
		"2020-01-02T03:04:05+25:00",
		"2020-01-02T03:04:05+05:60",
		"2020-01-02T03:04:05+0530",
		"2020-01-02T03:04:05+05",
		"2020-13-02T03:04:05Z",
		"2020-00-02T03:04:05Z",
		"2020-01-32T03:04:05Z",
		"2020-01-00T03:04:05Z",
		"2020-04-31T00:00:00Z",
		"2021-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2020-01-02T03:04:05ZZ",
		" 2020-01-02T03:04:05Z",
		"2020-01-02T03:04:05Z ",
		"12020-01-02T03:04:05Z",
		"2020-01-02T03:04:05+5:300",
		"2020-01-02T03:04:0\u0665Z",
		"2020_01_02T03:04:05Z",
		"x",
		"1577934245",
	})
}

func TestCoreTypeSystemString(t *testing.T) {
	t.Parallel()
	var valid, notValid []string
	for r := rune(0); r <= 0x10ffff; r++ {
		var legal bool
		switch {
		case r >= 0xd800 && r <= 0xdfff:
			continue // no rune
		case r > 0x2100 && r < 0xd700, r > 0x10100 && r < 0x10fff0 && r&0xffff > 8 && r&0xffff < 0xfff0:
			continue // all alike
		case r < 0x20, r >= 0x7f && r <= 0x9f, r >= 0xfdd0 && r <= 0xfdef, r&0xffff == 0xfffe, r&0xffff == 0xffff:
		default:
			legal = true
		}
		if value := "a" + string(r) + "b"; legal {
			valid = append(valid, value)
		} else {
			notValid = append(notValid, value)
		}
	}
	// \xff and its like cannot go through FromJSON as attribute values, which refuses the whole text.
	for _, value := range []string{"\xff", "a\xc0\xa0", "\xed\xa0\x80", "\xe2\x82"} {
		e := rawevent.New("1", "/s", "t")
		e.Set("foo", value)
		if err := e.Validate(); err == nil || asError(t, err).Attribute != "foo" {
			t.Errorf("%q: %v", value, err)
		}
	}
	if len(notValid) != 32+33+32+2*17 {
		t.Fatalf("%d characters are not legal", len(notValid))
	}
	validity(t, "foo", valid, notValid)
}

func TestCoreNamingConventions(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"a": true, "0": true, "9z": true, "traceparent": true, strings.Repeat("x", 64): true,
		"": false, "A": false, "aB": false, "a-b": false, "a_b": false, "a.b": false, "a b": false, "é": false, "a\x00": false, "\u212a": false,
	} {
		if got := rawevent.ValidName(name); got != want {
			t.Errorf("ValidName(%q) = %v", name, got)
		}
		e := rawevent.New("1", "/s", "t")
		e.Attributes = append(e.Attributes, rawevent.Attribute{Name: name, Value: "x"})
		if err := e.Validate(); (err == nil) != want {
			t.Errorf("Validate with the name %q: %v", name, err)
		}
	}
	for _, name := range []string{"data", "datacontenttype"} {
		e := rawevent.New("1", "/s", "t")
		e.Attributes = append(e.Attributes, rawevent.Attribute{Name: name, Value: "text/plain"})
		if err := e.Validate(); err == nil || asError(t, err).Attribute != name {
			t.Errorf("Validate with an attribute %s: %v", name, err)
		}
	}
}

func TestCoreRequiredAttributes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"specversion", "id", "source", "type"} {
		validity(t, name, nil, []string{""})
		e := rawevent.New("1", "/s", "t")
		e.Delete(name)
		if err := e.Validate(); err == nil || asError(t, err).Attribute != name {
			t.Errorf("without %s: %v", name, err)
		}
	}
	validity(t, "specversion", []string{"1.0"}, []string{"1.0.2", "0.3", "1.1", "2.0", "1.0 "})
	validity(t, "subject", []string{" ", "a b"}, []string{""})
	var zero rawevent.Event
	if err := zero.Validate(); err == nil {
		t.Error("the zero event is valid")
	}
}

func TestCoreEachAttributeOnce(t *testing.T) {
	t.Parallel()
	e := rawevent.New("1", "/s", "t")
	e.Attributes = append(
		e.Attributes,
		rawevent.Attribute{Name: "foo", Value: "1"},
		rawevent.Attribute{Name: "bar"},
		rawevent.Attribute{Name: "foo", Value: "2"},
	)
	if err := e.Validate(); err == nil || asError(t, err).Attribute != "foo" {
		t.Errorf("Validate says %v", err)
	}
}

func TestCoreDataContentType(t *testing.T) {
	t.Parallel()
	valid := []string{
		"text/plain",
		"application/json",
		"APPLICATION/JSON",
		"text/plain; charset=utf-8",
		"text/plain;charset=utf-8;a=b",
		"text/plain ; charset=\"utf-8\"",
		"application/vnd.x.y+json",
		"multipart/mixed; boundary=\"a b/c\"",
		"x/!#$%&'*+-.^_`|~",
		"text/plain; a=\"\\\"q\\\"\"",
	}
	notValid := []string{
		"json",
		"text/",
		"/plain",
		"text/plain/x",
		"text plain",
		"text/pl ain",
		" text/plain",
		"text/plain ",
		"text/plain; ",
		"text/plain; a=b ",
		"text/plain\t",
		"te(xt/plain",
		"text/plain; charset",
		"text/plain; a=1; a=2",
		"text/plain\x00",
		"text/é",
		"text/plain; a=\"\x01\"",
		"text/plain; a=\"\x85\"",
		strings.Repeat("a", 64<<10) + "/b",
	}
	check := func(value string, want bool) {
		e := rawevent.New("1", "/s", "t")
		e.Set("datacontenttype", value)
		if got, found := e.Attribute("datacontenttype"); got != value || !found || len(e.Attributes) != 4 {
			t.Errorf("Set %q gives %+v", value, e)
		}
		if err := e.Validate(); (err == nil) != want {
			t.Errorf("Validate with %q: %v", value, err)
		} else if err != nil && asError(t, err).Attribute != "datacontenttype" {
			t.Errorf("Validate with %q blames %q", value, asError(t, err).Attribute)
		}
	}
	for _, value := range valid {
		check(value, true)
	}
	for _, value := range notValid {
		check(value, false)
	}
	for mediaType, want := range map[string]bool{
		"application/json": true, "text/json": true, "x/JSON": true, "application/vnd.x+JSON; a=b": true, "application/json ; a=b": true, "application/a+b+json": true,
		"": false, "json": false, "application/jsonx": false, "application/xjson": false, "application/+json": false, "text/plain; a=application/json": false, "application/json+xml": false,
	} {
		if got := rawevent.IsJSON(mediaType); got != want {
			t.Errorf("IsJSON(%q) = %v", mediaType, got)
		}
	}
}

// TestCoreSizeLimits: an event of 64 KiB on the wire must pass, whichever part of it is large.
func TestCoreSizeLimits(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(e *rawevent.Event){
		"one long value":  func(e *rawevent.Event) { e.Set("foo", strings.Repeat("x", 63<<10)) },
		"data":            func(e *rawevent.Event) { e.Data = []byte(strings.Repeat("\xff", 64<<10)) },
		"200 attributes":  func(e *rawevent.Event) { setMany(e, 200, strings.Repeat("v", 300)) },
		"a long subject":  func(e *rawevent.Event) { e.Set("subject", strings.Repeat("é", 32<<10)) },
		"a long schema":   func(e *rawevent.Event) { e.Set("dataschema", "urn:"+strings.Repeat("x", 63<<10)) },
		"a long fraction": func(e *rawevent.Event) { e.Set("time", "2020-01-02T03:04:05."+strings.Repeat("0", 63<<10)+"Z") },
	} {
		e := rawevent.New("1", "/s", "t")
		change(&e)
		got, err := rawevent.FromJSON(e.AppendJSON(nil))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(e, got); diff != "" {
			t.Errorf("%s: read back changed", name)
		}
	}
}

func setMany(e *rawevent.Event, n int, value string) {
	for i := range n {
		e.Set("x"+string(rune('a'+i/26))+string(rune('a'+i%26)), value)
	}
}

package rawevent_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// ordinary returns an event with five attributes and 1 KiB of JSON.
func ordinary() rawevent.Event {
	e := rawevent.New(
		"6e8bc430-9c3a-11d9-9669-0800200c9a66",
		"https://example.com/sensors/17",
		"com.example.sensor.measured",
	)
	e.Set("time", "2026-11-23T01:02:03.456Z")
	const reading = `{"name":"temperature","value":21.50,"unit":"C"},`
	body := `{"readings":[` + strings.Repeat(reading, 20) + `{}],"note":"`
	e.DataContentType, e.Data = "application/json", []byte(body+strings.Repeat("x", 1024-len(body)-2)+`"}`)
	return e
}

func BenchmarkFromHTTP(b *testing.B) {
	e := ordinary()
	header := http.Header{"User-Agent": {"x"}, "Accept": {"*/*"}, "Content-Length": {"1024"}}
	e.WriteHTTP(header)
	b.SetBytes(int64(len(e.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rawevent.FromHTTP(header, e.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFromHTTPEncoded(b *testing.B) {
	e := ordinary()
	e.Set("subject", "Euro € 100%")
	e.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	header := http.Header{}
	e.WriteHTTP(header)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rawevent.FromHTTP(header, e.Data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteHTTP(b *testing.B) {
	e := ordinary()
	b.ReportAllocs()
	for b.Loop() {
		e.WriteHTTP(make(http.Header, 8))
	}
}

func BenchmarkFromJSON(b *testing.B) {
	e := ordinary()
	input := e.AppendJSON(nil)
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rawevent.FromJSON(input); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBatchFromJSON(b *testing.B) {
	events := make([]rawevent.Event, 100)
	for i := range events {
		events[i] = ordinary()
	}
	input := rawevent.AppendBatch(nil, events)
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := rawevent.BatchFromJSON(input); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	for name, mediaType := range map[string]string{"JSON": "application/json", "text": "text/plain", "base64": "image/png"} {
		b.Run(name, func(b *testing.B) {
			e := ordinary()
			e.DataContentType = mediaType
			var buffer []byte
			b.SetBytes(int64(len(e.Data)))
			b.ReportAllocs()
			for b.Loop() {
				buffer = e.AppendJSON(buffer[:0])
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	e := ordinary()
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}

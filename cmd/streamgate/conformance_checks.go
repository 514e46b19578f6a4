package main

import (
	"net/http"
	"slices"
	"strings"
)

// conformanceCheck is a request to a CloudEvents receiver, with the answer that the specifications require.
type conformanceCheck struct {
	section string // of the HTTP protocol binding, the JSON event format or the core specification
	name    string
	request func() (http.Header, string)
	accept  bool // a 2xx is required; otherwise a 4xx
	should  bool // the specification only recommends it
	batch   bool // 415 means that the receiver does not support batches, which are optional
}

// binaryMode returns a request in binary mode. parts are the names and values of headers that replace the defaults,
// where an empty value removes the header, and the body last.
func binaryMode(parts ...string) func() (http.Header, string) {
	return func() (http.Header, string) {
		h := http.Header{
			"Ce-Specversion": {"1.0"}, "Ce-Id": {"conformance-1"}, "Ce-Source": {"/streamgate/conformance"},
			"Ce-Type":      {"com.example.conformance"},
			"Content-Type": {"application/json"},
		}
		for i := 0; i+1 < len(parts); i += 2 {
			if h.Del(parts[i]); parts[i+1] != "" {
				h.Set(parts[i], parts[i+1])
			}
		}
		return h, parts[len(parts)-1]
	}
}

// structuredMode returns a request in structured or batched mode.
func structuredMode(media, body string) func() (http.Header, string) {
	return func() (http.Header, string) { return http.Header{"Content-Type": {media}}, body }
}

const (
	jsonMedia  = "application/cloudevents+json"
	batchMedia = "application/cloudevents-batch+json"
	required   = `"specversion":"1.0","id":"conformance-1","source":"/streamgate/conformance",` +
		`"type":"com.example.conformance"`
	noData = `{` + required + `}` // an event with the required attributes alone
)

// conformanceChecks are the rules of the HTTP protocol binding 1.0.2 and the JSON event format 1.0.2 for a receiver, as
// far as its answers show whether it follows them.
func conformanceChecks() []conformanceCheck { return slices.Concat(acceptedChecks(), refusedChecks()) }

func accepted(section, name string, request func() (http.Header, string)) conformanceCheck {
	return conformanceCheck{section: section, name: name, request: request, accept: true}
}

func refused(section, name string, request func() (http.Header, string)) conformanceCheck {
	return conformanceCheck{section: section, name: name, request: request}
}

func should(c conformanceCheck) conformanceCheck { c.should = true; return c }

func inBatch(c conformanceCheck) conformanceCheck { c.batch = true; return c }

// acceptedChecks are valid requests.
func acceptedChecks() []conformanceCheck {
	return []conformanceCheck{
		accepted("HTTP 3.1", "binary mode", binaryMode(`{"a":1}`)),
		accepted("HTTP 3.1.1", "binary mode, text data",
			binaryMode("Content-Type", "text/plain; charset=utf-8", "Grüße")),
		accepted("HTTP 3.1.1", "binary mode, bytes as data",
			binaryMode("Content-Type", "application/octet-stream", "\x00\xff\xfe")),
		accepted("HTTP 3.1.2", "binary mode, without data", binaryMode("Content-Type", "", "")),
		accepted("HTTP 3.1.3", "all optional attributes",
			binaryMode("Ce-Subject", "a", "Ce-Time", "2026-11-23T01:02:03.5Z", "Ce-Dataschema", "https://example.com/s",
				`{}`)),
		accepted("HTTP 3.1.3", "extension attributes",
			binaryMode("Ce-Comexampleextension1", "value", "Ce-Sampledrate", "5", `{}`)),
		accepted("HTTP 3.1.3.2", "percent-encoded value",
			binaryMode("Ce-Subject", "Euro%20%E2%82%AC%20%F0%9F%98%80", `{}`)),
		accepted("HTTP 3.1.3.2", "lower-case and unnecessary percent-encoding",
			binaryMode("Ce-Subject", "%e2%82%ac%61", `{}`)),
		accepted("HTTP 3.1.3.2", "quoted value", binaryMode("Ce-Subject", `"a \"b\""`, `{}`)),
		accepted("HTTP 3.2", "structured mode", structuredMode(jsonMedia,
			`{`+required+`,"datacontenttype":"application/json","data":{"a":1}}`)),
		accepted("HTTP 3.2.1", "structured mode, with charset", structuredMode(jsonMedia+"; charset=UTF-8", noData)),
		accepted("HTTP 3.2.1", "structured mode, media type in upper case",
			structuredMode("Application/CloudEvents+JSON", noData)),
		accepted("JSON 2.2", "a null attribute", structuredMode(jsonMedia, `{`+required+`,"subject":null}`)),
		accepted("JSON 2.2", "extensions of type boolean, integer and string",
			structuredMode(jsonMedia, `{`+required+`,"a":true,"b":-2147483648,"c":"x"}`)),
		accepted("JSON 3.1", "data of any JSON type", structuredMode(jsonMedia, `{`+required+`,"data":[1,null,"x"]}`)),
		accepted("JSON 3.1.1", "data_base64", structuredMode(jsonMedia,
			`{`+required+`,"datacontenttype":"image/png","data_base64":"iVBORw0KGgo="}`)),
		inBatch(accepted("HTTP 3.3", "batched mode",
			structuredMode(batchMedia, `[`+noData+`,`+strings.Replace(noData, "-1", "-2", 1)+`]`))),
		inBatch(accepted("JSON 4", "an empty batch", structuredMode(batchMedia, `[]`))),
		should(accepted("core, Size Limits", "an event of 64 KiB",
			binaryMode(`{"a":"`+strings.Repeat("x", 64<<10-600)+`"}`))),
	}
}

// refusedChecks are requests that a receiver must reject.
func refusedChecks() []conformanceCheck {
	return []conformanceCheck{
		refused("core, REQUIRED", "no id", binaryMode("Ce-Id", "", `{}`)),
		refused("core, REQUIRED", "no source", binaryMode("Ce-Source", "", `{}`)),
		refused("core, REQUIRED", "no type", binaryMode("Ce-Type", "", `{}`)),
		refused("core, REQUIRED", "no specversion", binaryMode("Ce-Specversion", "", `{}`)),
		refused("core, specversion", "an unknown specversion", binaryMode("Ce-Specversion", "9.9", `{}`)),
		refused("core, time", "a time that is not valid", binaryMode("Ce-Time", "yesterday", `{}`)),
		refused("core, Naming", "an attribute name with a dash", binaryMode("Ce-My-Extension", "x", `{}`)),
		refused("HTTP 3.1.3.2", "a value that is not UTF-8", binaryMode("Ce-Subject", "%C0%A0", `{}`)),
		refused("JSON 3", "a body that is not JSON", structuredMode(jsonMedia, `{`)),
		refused("JSON 3", "a required member is missing",
			structuredMode(jsonMedia, `{"specversion":"1.0","id":"1","source":"/"}`)),
		refused("JSON 3", "an id that is a number",
			structuredMode(jsonMedia, strings.Replace(noData, `"conformance-1"`, `1`, 1))),
		refused("JSON 3.1.1", "data and data_base64",
			structuredMode(jsonMedia, `{`+required+`,"data":1,"data_base64":"AA=="}`)),
		refused("JSON 3.1.1", "data_base64 that is not valid",
			structuredMode(jsonMedia, `{`+required+`,"data_base64":"*"}`)),
		refused("JSON 2.2", "an extension that is an object",
			structuredMode(jsonMedia, `{`+required+`,"ext":{"a":1}}`)),
		refused("core, Attributes", "a duplicate member", structuredMode(jsonMedia, `{`+required+`,"id":"2"}`)),
		refused("webhook 2.2", "an unknown event format", structuredMode("application/cloudevents+nosuchformat", "x")),
		inBatch(refused("JSON 4", "a batch that is an object", structuredMode(batchMedia, noData))),
		inBatch(refused("JSON 4", "a batch with an event that is not valid",
			structuredMode(batchMedia, `[`+noData+`,{}]`))),
	}
}

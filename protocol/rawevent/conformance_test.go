package rawevent_test

import (
	"net/http"
	"testing"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// TestConformanceScenarios goes through the scenarios of the cloudevents/conformance repository: those of its HTTP
// feature (features/http-protocol-binding.feature), and the cases of its JSON format (format/json), by their names
// there.
func TestConformanceScenarios(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for name, c := range map[string]struct {
		lines []string
		body  string
	}{
		"Binary content mode (application/json)":                                {headers("Content-Type: application/json"), ""},
		"Binary content mode (application/json; charset=utf-8)":                 {headers("Content-Type: application/json; charset=utf-8"), ""},
		"Structured content mode (application/cloudevents+json)":                {headers("Content-Type: application/cloudevents+json"), ""},
		"Structured content mode (application/cloudevents+json; charset=utf-8)": {headers("Content-Type: application/cloudevents+json; charset=utf-8"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const data = "{\n    \"message\": \"Hello World!\"\n}"
			contentType := c.lines[0][len("Content-Type: "):]
			lines, body := c.lines, data
			if rawevent.ModeOf(contentType) == rawevent.Structured {
				body = `{"specversion":"1.0","type":"com.example.someevent","time":"2018-04-05T03:56:24Z","id":"1234-1234-1234",` +
					`"source":"/mycontext/subcontext","datacontenttype":"application/json","data":` + data + `}`
				contentType = "application/json"
			} else {
				lines = append(
					lines,
					"ce-specversion: 1.0",
					"ce-type: com.example.someevent",
					"ce-time: 2018-04-05T03:56:24Z",
					"ce-id: 1234-1234-1234",
					"ce-source: /mycontext/subcontext",
				)
			}
			status, e, err := overSocket(t, server, "POST /someresource HTTP/1.1", lines, body)
			if status != http.StatusAccepted {
				t.Fatalf("net/http answers %d", status)
			}
			all(
				has("id", "1234-1234-1234"),
				has("specversion", "1.0"),
				has("type", "com.example.someevent"),
				has("source", "/mycontext/subcontext"),
				has("time", "2018-04-05T03:56:24Z"),
				has("datacontenttype", contentType),
				hasData(data),
			)(
				t,
				e,
				err,
			)
		})
	}
	for name, c := range conformanceEvents() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, err := rawevent.FromJSON([]byte(c.input))
			c.expect(t, &e, err)
		})
	}
	for name, c := range map[string]struct {
		input string
		want  int // events, or -1
	}{
		"validBatchEmpty":                         {"[]", 0},
		"validBatchMinimal":                       {"[" + minimal + "]", 1},
		"validBatchMinimal2":                      {"[" + minimal + "," + minimal + "]", 2},
		"validBatchMinimalAndAllCore":             {"[" + minimal + "," + with(allCore) + "]", 2},
		"validBatchMinimalAndAllExtensionTypes":   {"[" + minimal + "," + with(allTypes) + "]", 2},
		"invalidBatchMixedSpecVersions":           {"[" + minimal + "," + without("specversion", `"specversion":"0.9"`) + "]", -1},
		"invalidBatchContainingInvalidCloudEvent": {"[" + without("id", "") + "]", -1},
		"invalidBatchContainingNonObject":         {`["not an object",` + minimal + "]", -1},
	} {
		events, err := rawevent.BatchFromJSON([]byte(c.input))
		if err == nil && len(events) != c.want || err != nil && c.want >= 0 {
			t.Errorf("%s: %d events, %v", name, len(events), err)
		}
	}
}

const (
	allCore  = `"datacontenttype":"text/plain","dataschema":"https://cloudevents.io/dataschema","subject":"tests","time":"2018-04-05T17:31:00Z"`
	allTypes = `"extinteger":10,"extboolean":true,"extstring":"text","exturi":"https://cloudevents.io","exturiref":"//authority/path",` +
		`"exttimestamp":"2023-03-31T15:12:00Z","extbinary":"TWE="`
)

func conformanceEvents() map[string]jsonRow {
	atTime := func(time string) string { return with(`"time":"` + time + `"`) }
	instead := func(name, value string) string { return without(name, `"`+name+`":`+value) }
	return map[string]jsonRow{
		"validMinimal": {"", minimal, has("id", "1")},
		"validMinimalWithNullForOptional": {
			"",
			with(`"datacontenttype":null,"dataschema":null,"subject":null,"time":null`),
			all(lacks("time"), lacks("datacontenttype")),
		},
		"validAllCoreAttributes": {
			"",
			with(allCore),
			all(has("subject", "tests"), has("datacontenttype", "text/plain"), noData),
		},
		"validMinimalWithTimeUtc": {
			"",
			atTime("2018-04-05T17:31:00Z"),
			has("time", "2018-04-05T17:31:00Z"),
		},
		"validMinimalWithTimeToNanosecondsUtc": {
			"",
			atTime("2018-04-05T17:31:00.000000000Z"),
			has("time", "2018-04-05T17:31:00.000000000Z"),
		},
		"validMinimalWithTimeUsingPositiveOffset": {
			"",
			atTime("2018-04-05T18:31:00+01:00"),
			has("time", "2018-04-05T18:31:00+01:00"),
		},
		"validMinimalWithTimeUsingNegativeOffset": {
			"",
			atTime("2018-04-05T16:31:00-01:00"),
			has("time", "2018-04-05T16:31:00-01:00"),
		},
		"validRelativeSource": {"", instead("source", `"#fragment"`), has("source", "#fragment")},
		"validSimpleTextData": {
			"",
			with(`"datacontenttype":"text/plain","data":"Simple text"`),
			hasData("Simple text"),
		},
		"validAllExtensionTypes": {
			"",
			with(allTypes),
			all(
				has("extinteger", "10"),
				has("extboolean", "true"),
				has("exturiref", "//authority/path"),
				has("extbinary", "TWE="),
			),
		},
		"invalidNoSpecVersion":             {"", without("specversion", ""), invalid("specversion")},
		"invalidNoId":                      {"", without("id", ""), invalid("id")},
		"invalidNoType":                    {"", without("type", ""), invalid("type")},
		"invalidNoSource":                  {"", without("source", ""), invalid("source")},
		"invalidTimeGarbage":               {"", atTime("lunchtime"), invalid("time")},
		"invalidTimeToMinute":              {"", atTime("2018-04-05T18:31Z"), invalid("time")},
		"invalidTimeOffsetX":               {"", atTime("2018-04-05T18:31:00X"), invalid("time")},
		"invalidTimeOffsetOutOfRange":      {"", atTime("2018-04-05T18:31:00+25:00"), invalid("time")},
		"invalidTimeOffsetNonInteger":      {"", atTime("2018-04-05T18:31:00+xx:00"), invalid("time")},
		"invalidTimeOffsetHourOnly":        {"", atTime("2018-04-05T18:31:00+05"), invalid("time")},
		"invalidEmptyId":                   {"", instead("id", `""`), invalid("id")},
		"invalidEmptyType":                 {"", instead("type", `""`), invalid("type")},
		"invalidEmptySource":               {"", instead("source", `""`), invalid("source")},
		"invalidEmptySpecVersion":          {"", instead("specversion", `""`), invalid("specversion")},
		"invalidUnknownSpecVersion":        {"", instead("specversion", `"0.9"`), invalid("specversion")},
		"invalidNonRfc2046DataContentType": {"", with(`"datacontenttype":"xyz"`), invalid("datacontenttype")},
		"invalidEmptyDataContentType":      {"", with(`"datacontenttype":""`), invalid("datacontenttype")},
		"invalidEmptyDataSchema":           {"", with(`"dataschema":""`), invalid("dataschema")},
		"invalidEmptySubject":              {"", with(`"subject":""`), invalid("subject")},
		"invalidNumericId":                 {"", instead("id", "25"), invalid("id")},
		"invalidObjectId":                  {"", instead("id", `{"xyz":"abc"}`), invalid("id")},
		"invalidCapitalizedExtension":      {"", with(`"MyExtension":"bad"`), invalid("MyExtension")},
		"invalidPunctuatedExtension":       {"", with(`"my.extension":"bad"`), invalid("my.extension")},
		"invalidNonIntegerExtensionValue":  {"", with(`"my.extension":1.5`), invalid("my.extension")},
		"invalidBothDataAndDataBase64": {
			"",
			with(`"data":"text","data_base64":"eyAieHl6IjogMTIzIH0="`),
			invalid("data_base64"),
		},
	}
}

package layout_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// sized returns the beginning of a MessagePack value, its length n in size bytes, and its content.
func sized(first string, size, n int, content string) string {
	length := binary.BigEndian.AppendUint32(nil, uint32(n)) //nolint:gosec // the lengths of a test
	return first + string(length[4-size:]) + content
}

// TestLayoutWatermill holds a case for every encoding of a map of strings, besides the rules of the layout.
func TestLayoutWatermill(t *testing.T) {
	t.Parallel()
	message := func(metadata string) []string {
		return []string{"_watermill_message_uuid", "u", "metadata", metadata, "payload", "x"}
	}
	of := func(id, more string) string {
		return strings.Replace(made, "orders/"+layoutEntryID, id, 1) + more + `,"data_base64":"eA=="}`
	}
	long := strings.Repeat("v", 300)
	many, manyJSON := "", ""
	for i := range 20 {
		many += fmt.Sprintf("\xa3k%02d\xa1v", i)
		manyJSON += fmt.Sprintf(`,"k%02d":"v"`, i)
	}
	runLayoutCases(t, layout.Config{Name: "watermill"}, map[string]layoutCase{
		"fixmap, empty":    {message("\x80"), of("u", ""), nil},
		"nil":              {message("\xc0"), of("u", ""), nil},
		"none":             {message(""), of("u", ""), nil},
		"no field":         {[]string{"_watermill_message_uuid", "u", "payload", "x"}, of("u", ""), nil},
		"no payload":       {[]string{"_watermill_message_uuid", "u"}, strings.TrimSuffix(of("u", ""), `,"data_base64":"eA=="}`) + "}", nil},
		"fixmap, fixstr":   {message("\x82\xa1b\xa11\xa1a\xa12"), of("u", `,"a":"2","b":"1"`), nil},
		"map16":            {message(sized("\xde", 2, 20, many)), of("u", manyJSON), nil},
		"map32":            {message(sized("\xdf", 4, 20, many)), of("u", manyJSON), nil},
		"str8":             {message("\x81" + sized("\xd9", 1, 1, "a") + sized("\xd9", 1, 1, "v")), of("u", `,"a":"v"`), nil},
		"str16":            {message("\x81\xa1a" + sized("\xda", 2, 300, long)), of("u", `,"a":"`+long+`"`), nil},
		"str32":            {message("\x81\xa1a" + sized("\xdb", 4, 300, long)), of("u", `,"a":"`+long+`"`), nil},
		"bin8":             {message("\x81\xc4\x01a\xc4\x01v"), of("u", `,"a":"v"`), nil},
		"bin16":            {message("\x81\xa1a" + sized("\xc5", 2, 300, long)), of("u", `,"a":"`+long+`"`), nil},
		"bin32":            {message("\x81\xa1a" + sized("\xc6", 4, 300, long)), of("u", `,"a":"`+long+`"`), nil},
		"not UTF-8":        {message("\x81\xa1a\xa1\xff"), of("u", `,"abase64":"/w=="`), nil},
		"key twice":        {message("\x82\xa1a\xa11\xa1a\xa12"), of("u", `,"a":"1"`), nil},
		"empty UUID":       {[]string{"_watermill_message_uuid", "", "payload", "x"}, of("orders/"+layoutEntryID, ""), nil},
		"id of the event":  {message("\x81\xa5ce_id\xa11"), of("1", `,"watermillmessageuuid":"u"`), nil},
		"the same id":      {message("\x81\xa5ce_id\xa1u"), of("u", ""), nil},
		"structured":       {[]string{"_watermill_message_uuid", "u", "metadata", "\x81\xaccontent-type" + "\xbc" + "application/cloudevents+json", "payload", whole}, whole[:len(whole)-1] + `,"watermillmessageuuid":"u"}`, nil},
		"attribute twice":  malformed(message("\x82\xa5ce_id\xa11\xa5ce_id\xa11")...),
		"UUID not UTF-8":   malformed("_watermill_message_uuid", "\xff", "payload", "x"),
		"UUID twice":       malformed("_watermill_message_uuid", "u", "_watermill_message_uuid", "u"),
		"metadata twice":   malformed(append(message(""), "metadata", "")...),
		"payload twice":    malformed(append(message(""), "payload", "")...),
		"more behind":      malformed(message("\x80\x80")...),
		"key is a number":  malformed(message("\x81\x01\xa1a")...),
		"value is nil":     malformed(message("\x81\xa1a\xc0")...),
		"an array":         malformed(message("\x92\xa1a\xa1b")...),
		"a string":         malformed(message("\xa1a")...),
		"no key":           malformed(message("\x81")...),
		"no value":         malformed(message("\x81\xa1a")...),
		"short string":     malformed(message("\x81\xa1a\xa5b")...),
		"short length":     malformed(message("\x81\xa1a\xda\x01")...),
		"short map length": malformed(message("\xde\x00")...),
		"huge map":         malformed(message("\xdf\xff\xff\xff\xff\xa1a\xa1b")...),
		"huge string":      malformed(message("\x81\xa1a\xdb\xff\xff\xff\xffb")...),
		"JSON":             malformed(message("{}")...),
		"no UUID":          unknown("metadata", "\x80", "payload", "x"),
	})
}

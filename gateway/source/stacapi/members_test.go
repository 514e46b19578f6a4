package stacapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestMembersOfPages mirrors the table in docs/stac.md: what may be odd about the members of a page.
func TestMembersOfPages(t *testing.T) {
	t.Parallel()
	const item = `{"id":"a"}`
	for name, c := range map[string]struct {
		text    string
		items   int
		matched int
		fails   string
	}{
		"only features":            {`{"features":[` + item + `]}`, 1, -1, ""},
		"white space":              {" \r\n{ \"features\" : [ " + item + " , " + item + " ] } \n", 2, -1, ""},
		"features twice":           {`{"features":[` + item + `],"features":[` + item + `]}`, 2, -1, ""},
		"a comma too many":         {`{"features":[` + item + `,],}`, 1, -1, ""},
		"items that are not valid": {`{"features":[{"id":"a","x":tru},{"id":"b","t":"` + "\t" + `"},null,7,"x",` + item + `]}`, 6, -1, ""},
		"names like features":      {`{"Features":[` + item + `],"features":[]}`, 0, -1, ""},
		"odd members":              {`{"type":7,"numberReturned":"x","context":[],"stac_version":NaN,"timeStamp":{},"features":[` + item + `]}`, 1, -1, ""},
		"a member that is broken":  {`{"note":tru,"features":[` + item + `]}`, 1, -1, ""},
		"matched as text":          {`{"numberMatched":"5","features":[]}`, 0, 5, ""},
		"matched as 5.0":           {`{"numberMatched":5.0,"features":[]}`, 0, 5, ""},
		"matched as 5e0":           {`{"context":{"matched":5e0},"features":[]}`, 0, 5, ""},
		"matched, a half":          {`{"numberMatched":5.5,"features":[]}`, 0, -1, ""},
		"matched, negative":        {`{"numberMatched":-1,"features":[]}`, 0, -1, ""},
		"matched, null":            {`{"numberMatched":null,"context":null,"features":[]}`, 0, -1, ""},
		"matched, NaN":             {`{"numberMatched":NaN,"features":[]}`, 0, -1, ""},
		"matched, huge":            {`{"numberMatched":1e300,"features":[]}`, 0, -1, ""},
		"matched, words":           {`{"numberMatched":"many","features":[]}`, 0, -1, ""},
		"matched, an object":       {`{"numberMatched":{"value":5},"features":[]}`, 0, -1, ""},
		"matched, in both":         {`{"context":{"matched":8},"numberMatched":null,"features":[]}`, 0, 8, ""},
		"returned, odd":            {`{"numberReturned":"NaN","context":{"returned":-7,"limit":"x"},"features":[]}`, 0, -1, ""},
		"no features":              {`{"links":[]}`, 0, 0, "no features"},
		"features is null":         {`{"features":null}`, 0, 0, "features is not a list, but null"},
		"features is text":         {`{"features":"[]"}`, 0, 0, "features is not a list, but text"},
		"links is text":            {`{"features":[],"links":"x"}`, 0, 0, "links is neither a list nor an object, but text"},
		"links is a number":        {`{"features":[],"links":7}`, 0, 0, "links is neither a list nor an object, but a number"},
		"null":                     {`null`, 0, 0, "the document is null, not a JSON object"},
		"a list":                   {`[{"features":[]}]`, 0, 0, "the document is a list, not a JSON object"},
		"text":                     {`"features"`, 0, 0, "the document is text, not a JSON object"},
		"HTML":                     {`<!DOCTYPE html><title>Sign in</title>`, 0, 0, `an HTML page with the title "Sign in"`},
		"cut off":                  {`{"features":[{"id":"a`, 0, 0, "it ends too early"},
	} {
		p, err := decodePage([]byte(c.text), &answer{})
		switch {
		case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
			t.Errorf("%s: error %v, want %q", name, err, c.fails)
		case c.fails != "":
		case err != nil || len(p.Items) != c.items || p.Matched != c.matched || p.next != nil:
			t.Errorf("%s: %+v, %v", name, p, err)
		}
		if err != nil && strings.Contains(err.Error(), "invalid character") {
			t.Errorf("%s: the words of a decoder: %v", name, err)
		}
	}
}

// TestMembersOfItems mirrors the table in docs/stac.md: only the id is needed.
func TestMembersOfItems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text    string
		id      string
		ignored string // the beginnings, separated by commas
		fails   string
	}{
		"only an id":           {`{"id":"a"}`, "a", "", ""},
		"a number as id":       {`{"id":12345678901234567890}`, "", "", "its id is a number, not text: 12345678901234567890"},
		"null members":         {`{"id":"a","collection":null,"properties":null,"geometry":null,"bbox":null,"assets":null,"links":null,"stac_version":null}`, "a", "", ""},
		"numbers for text":     {`{"id":"a","collection":7,"stac_version":1.0}`, "a", "", ""},
		"other types":          {`{"id":"a","collection":[],"stac_version":{},"properties":[],"links":7,"assets":7,"bbox":"x","geometry":[]}`, "a", "collection,stac_version,properties,links", ""},
		"times":                {`{"id":"a","properties":{"datetime":7,"updated":"yesterday","created":null,"published":{}}}`, "a", "properties.datetime,properties.updated,properties.published", ""},
		"odd links":            {`{"id":"a","links":[null,"x",7,{"rel":7,"href":8},{"rel":"self","href":{}}]}`, "a", "", ""},
		"NaN":                  {`{"id":"a","assets":{"a":{"nodata":NaN,"max":-Infinity}}}`, "a", "NaN or Infinity", ""},
		"twice":                {`{"id":"a","id":"b"}`, "b", "", ""},
		"no id":                {`{"ID":"a"}`, "", "", "it has no id"},
		"an empty id":          {`{"id":""}`, "", "", "it has no id"},
		"id null":              {`{"id":null}`, "", "", "it has no id"},
		"id NaN":               {`{"id":NaN}`, "", "", "it has no id"},
		"an object as id":      {`{"id":{}}`, "", "", "its id is an object"},
		"a huge id":            {`{"id":"` + strings.Repeat("x", 2000) + `"}`, "", "", "longer than 1024"},
		"null":                 {`null`, "", "", "it is null, not an object"},
		"a number":             {`7`, "", "", "it is a number, not an object"},
		"a broken literal":     {`{"id":"a","x":tru}`, "", "", `item "a" is not valid`},
		"a control character":  {"{\"id\":\"a\",\"title\":\"x\ty\"}", "", "", `item "a" is not valid`},
		"not UTF-8":            {"{\"id\":\"a\",\"title\":\"caf\xe9\"}", "", "", `item "a" is not valid`},
		"broken before its id": {`{"x":tru,"id":"a"}`, "", "", `item "a" is not valid`},
	} {
		i, err := ParseItem(json.RawMessage(c.text))
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "invalid character") {
				t.Errorf("%s: error %v, want %q", name, err, c.fails)
			}
			continue
		}
		if err != nil || i.ID != c.id || !json.Valid(i.Raw) {
			t.Errorf("%s: %+v, %v", name, i, err)
			continue
		}
		var want []string
		if c.ignored != "" {
			want = strings.Split(c.ignored, ",")
		}
		if len(i.Ignored) != len(want) {
			t.Errorf("%s: ignored %q, want %q", name, i.Ignored, want)
			continue
		}
		for n := range want {
			if !strings.HasPrefix(i.Ignored[n], want[n]) {
				t.Errorf("%s: ignored %q, want %q", name, i.Ignored, want)
			}
		}
	}
}

// TestTimesOfRFC3339 in all spellings.
func TestTimesOfRFC3339(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2020-01-02T03:04:05Z": "2020-01-02T03:04:05Z", "2020-01-02t03:04:05z": "2020-01-02T03:04:05Z",
		"2020-01-02 03:04:05Z": "2020-01-02T03:04:05Z", "2020-01-02 03:04:05.5+01:00": "2020-01-02T03:04:05.5+01:00",
		"2020-01-02T03:04:05.1234567890123Z": "2020-01-02T03:04:05.123456789Z", "2020-01-02T03:04:05-00:00": "2020-01-02T03:04:05Z",
		"2016-12-31T23:59:60Z": "2017-01-01T00:00:00Z", "2016-12-31T23:59:60.25Z": "2017-01-01T00:00:00.25Z",
		"1990-12-31T15:59:60-08:00": "1990-12-31T16:00:00-08:00",
		"":                          "", "2020-01-02": "", "2020-01-02T03:04:05": "", "2020-01-02T03:04:61Z": "", "yesterday, at half past four": "",
	} {
		if got := (Members{"t": json.RawMessage(`"` + text + `"`)}).Time("t"); got != want {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
	}
}

// TestNextLinksThatAreOdd are followed, or fail: a page with a next link is never the last one.
func TestNextLinksThatAreOdd(t *testing.T) {
	t.Parallel()
	post := `"method":"POST","merge":true,"body":{"token":"t"}`
	search := "https://api.example.com/v1/search"
	merged := "POST " + search + ` {"limit":1,"token":"t"}`
	for name, c := range map[string]struct{ links, want, fails string }{
		"href empty":               {`[{"rel":"next","href":"",` + post + `}]`, merged, ""},
		"href null":                {`[{"rel":"next","href":null,` + post + `}]`, merged, ""},
		"href missing":             {`[{"rel":"next",` + post + `}]`, merged, ""},
		"href an object":           {`[{"rel":"next","href":{},` + post + `}]`, merged, ""},
		"body without a method":    {`[{"rel":"next","body":{"token":"t"}}]`, "POST " + search + ` {"token":"t"}`, ""},
		"method in lower case":     {`[{"rel":"next","href":"search","method":"post","merge":true,"body":{"token":"t"}}]`, merged, ""},
		"merge as text":            {`[{"rel":"next","href":"search","method":"POST","merge":"true","body":{"token":"t"}}]`, merged, ""},
		"merge as a number":        {`[{"rel":"next","href":"search","method":"POST","merge":1,"body":{"token":"t"}}]`, merged, ""},
		"body as text":             {`[{"rel":"next","method":"POST","merge":true,"body":"{\"token\":\"t\"}"}]`, merged, ""},
		"token in the headers":     {`[{"rel":"next","headers":{"X-Page":2}}]`, "GET " + search + " X-Page: 2", ""},
		"rel in upper case":        {`[{"rel":" NEXT ","href":"?t=1"}]`, "GET " + search + "?t=1", ""},
		"several relations":        {`[{"rel":"last next","href":"?t=1"}]`, "GET " + search + "?t=1", ""},
		"relations as a list":      {`[{"rel":["next"],"href":"?t=1"}]`, "GET " + search + "?t=1", ""},
		"links as an object":       {`{"next":{"href":"?t=1"},"self":{"href":"?"}}`, "GET " + search + "?t=1", ""},
		"addresses in an object":   {`{"self":"?","next":"?t=1"}`, "GET " + search + "?t=1", ""},
		"lists in an object":       {`{"next":[{"href":"?t=1"}]}`, "GET " + search + "?t=1", ""},
		"one link, not a list":     {`{"rel":"next","href":"?t=1"}`, "GET " + search + "?t=1", ""},
		"of HTML first":            {`[{"rel":"next","type":"text/html","href":"?h=1"},{"rel":"next","type":"Application/Geo+JSON; charset=utf-8","href":"?t=1"}]`, "GET " + search + "?t=1", ""},
		"GET and POST":             {`[{"rel":"next","href":"?t=1"},{"rel":"next","href":"search",` + post + `}]`, merged, ""},
		"an unusable one first":    {`[{"rel":"next"},{"rel":"next","href":"?t=1"}]`, "GET " + search + "?t=1", ""},
		"among links that are odd": {`[null,7,"x",{},{"rel":null},{"rel":"next","href":"?t=1"}]`, "GET " + search + "?t=1", ""},
		"blanks in the address":    {`[{"rel":"next","href":" ?t=a b "}]`, "GET " + search + "?t=a%20b", ""},
		"relative to the scheme":   {`[{"rel":"next","href":"//other.example.com/s?t=1"}]`, "GET https://other.example.com/s?t=1", ""},
		"NaN in a title":           {`[{"rel":"next","href":"?t=1","title":NaN}]`, "GET " + search + "?t=1", ""},
		"nothing but a relation":   {`[{"rel":"next"}]`, "", "it has no address"},
		"POST without anything":    {`[{"rel":"next","method":"POST"}]`, "", "it has no address"},
		"no valid address":         {`[{"rel":"next","href":"http://[x"}]`, "", "not a valid address"},
		"another method":           {`[{"rel":"next","href":"x","method":"PUT"}]`, "", `its method is "PUT"`},
		"a method of no type":      {`[{"rel":"next","href":"x","method":{}}]`, "", "its method is an object"},
		"a list as body":           {`[{"rel":"next","method":"POST","body":[1]}]`, "", "its body is a list"},
		"words as body":            {`[{"rel":"next","method":"POST","body":"token=t"}]`, "", "its body is"},
		"headers as text":          {`[{"rel":"next","href":"x","headers":"X: 1"}]`, "", "its headers are text"},
		"a header with a line end": {`[{"rel":"next","href":"x","headers":{"X":"1\r\nY: 2"}}]`, "", `its header "X" is not valid`},
		"merge of no sense":        {`[{"rel":"next","href":"x","method":"POST","merge":"perhaps"}]`, "", "neither true nor false"},
		"broken":                   {`[{"rel":"next","href":"x","y":tru}]`, "", "not valid JSON"},
	} {
		from := getFrom(search)
		p, err := decodePage([]byte(`{"features":[],"links":`+c.links+`}`), &answer{from: from.url, method: http.MethodPost})
		if err != nil || p.next == nil {
			t.Errorf("%s: it is taken for the last page: %v", name, err)
			continue
		}
		from.method, from.body = http.MethodPost, map[string]any{"limit": 1}
		next, err := p.next.follow(from, from.url)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) || !strings.Contains(err.Error(), "there is a next link") {
				t.Errorf("%s: error %v, want %q", name, err, c.fails)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := next.method + " " + next.url.String()
		if next.body != nil {
			got += " " + marshalledRaw(t, next.body)
		}
		for name, values := range next.header {
			got += " " + name + ": " + strings.Join(values, ",")
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// apiOf serves five items of the collection c, two a page by a token, or all at once, in an answer that change changes.
func apiOf(pageSize int, change func(body string, matched int) string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			_, _ = io.WriteString(w, `{"links":[{"rel":"search","href":"/search","method":"POST"}]}`)
			return
		}
		var asked struct{ Token, Limit int }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		size := pageSize
		if size == 0 {
			size = asked.Limit
		}
		var items []string
		for i := asked.Token; i < min(asked.Token+size, 5); i++ {
			items = append(items, fmt.Sprintf(`{"id":"%d","collection":"c"}`, i))
		}
		links := ""
		if next := asked.Token + size; next < 5 {
			links = fmt.Sprintf(`{"rel":"next","href":"/search","method":"POST","merge":true,"body":{"token":%d}}`, next)
		}
		_, _ = io.WriteString(w, change(`{"features":[`+strings.Join(items, ",")+`],"links":[`+links+`]}`, 5))
	})
}

// TestCountsAreEstimates: whatever number a server tells, the search ends, finds everything, and asks for no more than
// two pages to find out that the number is wrong, once.
func TestCountsAreEstimates(t *testing.T) {
	t.Parallel()
	for name, count := range map[string]string{
		"text": `"5"`, "a fraction": "5.0", "one too high": "6", "far too high": "1000000000", "one too low": "4", "zero": "0",
		"negative": "-5", "null": "null", "NaN": "NaN", "an object": "{}", "huge": "1e400", "words": `"about five"`,
	} {
		for _, size := range []int{0, 2, 5, 7} { // 0 is as many as asked for
			for _, form := range []string{`"numberMatched":%s,`, `"context":{"matched":%[1]s,"returned":%[1]s},`, `"numberReturned":%s,`} {
				server := serve(apiOf(size, func(body string, _ int) string {
					return "{" + fmt.Sprintf(form, count) + body[1:]
				}))
				client := testClient(t, server.URL, nil)
				if err := discover(t, client); err != nil {
					t.Fatal(err)
				}
				for round, most := range []int64{5, 3} {
					if count == "1000000000" && round == 0 {
						most = 8 // more than a search may read: the window is halved once
					}
					before, found := server.requests.Load(), map[string]bool{}
					_, err := client.Search(t.Context(), Query{Collection: "c", Limit: 9}, func(_ context.Context, p *Page) error {
						for _, raw := range p.Items {
							found[IDOf(raw)] = true
						}
						return nil
					})
					if asked := server.requests.Load() - before; err != nil || len(found) != 5 || asked > most {
						t.Errorf("%s, pages of %d, %s, round %d: %d items, %d requests, %v", name, size, form, round, len(found), asked, err)
					}
				}
				server.Close()
			}
		}
	}
}

// TestTextOfAnswers: byte order marks, charsets and compression are undone, and what cannot be is refused with its
// reason.
func TestTextOfAnswers(t *testing.T) {
	t.Parallel()
	page := `{"features":[{"id":"a"},{"id":"é"}]}`
	for name, c := range map[string]struct {
		contentType, encoding, body string
		ids                         string
		fails                       string
	}{
		"plain":                 {"application/geo+json", "", page, "a é", ""},
		"a byte order mark":     {"application/geo+json", "", "\ufeff" + page, "a é", ""},
		"Latin-1":               {"application/json; charset=iso-8859-1", "", "{\"features\":[{\"id\":\"a\"},{\"id\":\"\xe9\"}]}", "a é", ""},
		"UTF-16":                {"application/json", "", "\xff\xfe{\x00\"\x00f\x00e\x00a\x00t\x00u\x00r\x00e\x00s\x00\"\x00:\x00[\x00{\x00\"\x00i\x00d\x00\"\x00:\x00\"\x00a\x00\"\x00}\x00]\x00}\x00", "a", ""},
		"one item not UTF-8":    {"application/json", "", "{\"features\":[{\"id\":\"a\"},{\"id\":\"b\",\"t\":\"\xe9\"}]}", "a b", ""},
		"unknown compression":   {"application/json", "br", "xxxx", "", "compressed with br"},
		"said to be gzip":       {"application/json", "x-gzip", page, "", "not gzip data"},
		"a sign-in page":        {"text/html", "", "<html><title>Sign in</title>", "", `an HTML page with the title "Sign in"`},
		"nothing":               {"application/json", "", "", "", "empty"},
		"words":                 {"text/plain", "", "Service is down", "", "Service is down"},
		"an error in an object": {"application/json", "", `{"message":"down"}`, "", "no features"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", c.contentType)
			if c.encoding != "" {
				w.Header().Set("Content-Encoding", c.encoding)
			}
			_, _ = io.WriteString(w, c.body)
		}))
		client := testClient(t, server.URL+"/stac?key=secret", nil)
		var ids []string
		err := client.get(t.Context(), &request{method: http.MethodGet, url: client.base}, false, func(text []byte, a *answer) error {
			p, err := decodePage(text, a)
			if err == nil {
				for _, raw := range p.Items {
					ids = append(ids, IDOf(raw))
				}
			}
			return err
		})
		server.Close()
		switch {
		case c.fails == "" && (err != nil || strings.Join(ids, " ") != c.ids):
			t.Errorf("%s: %q, %v", name, ids, err)
		case c.fails == "":
		case err == nil || !strings.Contains(err.Error(), c.fails):
			t.Errorf("%s: error %v, want %q", name, err, c.fails)
		case !strings.Contains(err.Error(), server.URL+"/stac answered 200 ("+strings.Split(c.contentType, ";")[0]+")"),
			strings.Contains(err.Error(), "secret"), strings.Contains(err.Error(), "invalid character"):
			t.Errorf("%s: error %v", name, err)
		}
	}
}

package redisstreams_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// The specification of the binding, and the test vectors that it refers to. The tests of this file keep document,
// vectors and package in agreement.
const (
	specDocument = "../../docs/redis-streams-protocol-binding.md"
	specVectors  = "testdata/spec/vectors.json"
)

// The outcomes of reading an entry (section 3.7).
const (
	outcomeEvent         = "event"
	outcomeMalformed     = "malformed"
	outcomeInvalid       = "invalid"
	outcomeBatch         = "batch"
	outcomeUnknownFormat = "unknown format"
	outcomeNone          = "not of the binding"
)

// TestSpecExamples runs every example of the document: the command, what redis-cli shows, the event it is said to be,
// and what this package writes for that event.
func TestSpecExamples(t *testing.T) {
	t.Parallel()
	examples := specExamples(t)
	if len(examples) < 15 {
		t.Fatalf("only %d examples found", len(examples))
	}
	last := map[string]string{}
	for _, ex := range examples {
		if ex.args[0] == "XADD" { // so that all of them can be copied into one server
			stream, id := ex.args[1], ex.args[2]
			if redisstreams.CompareIDs(last[stream], id) >= 0 || last[stream] != "" && ex.console != "" {
				t.Errorf("example %s: entry %s of stream %s disturbs an earlier one", ex.name, id, stream)
			}
			last[stream] = id
		}
		t.Run(ex.name, func(t *testing.T) {
			t.Parallel()
			if ex.args[0] == "PUBLISH" {
				checkPublished(t, ex)
				return
			}
			checkAdded(t, ex)
		})
	}
}

func checkAdded(t *testing.T, ex specExample) {
	t.Helper()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	do(t, client, append([]string{"XADD", stream}, ex.args[2:]...)...)
	entry := onlyEntry(t, client, stream)
	if entry.ID != ex.args[2] {
		t.Errorf("entry ID %s, want %s", entry.ID, ex.args[2])
	}
	if diff := cmp.Diff(ex.args[3:], entry.Fields); diff != "" {
		t.Errorf("Redis holds other fields: %s", diff)
	}
	if ex.console != "" {
		prompt, output, _ := strings.Cut(ex.console, "\n")
		command := strings.Fields(strings.TrimPrefix(prompt, "127.0.0.1:6379> "))
		if command[0] != "XRANGE" || command[1] != ex.args[1] {
			t.Fatalf("%s does not show stream %s", prompt, ex.args[1])
		}
		got := formatReply(do(t, client, append([]string{"XRANGE", stream}, command[2:]...)...), "")
		if diff := cmp.Diff(output, got); diff != "" {
			t.Errorf("redis-cli shows something else: %s", diff)
		}
	}
	got, outcome := outcomeOf(t, entry)
	if want := ex.outcome(); !sameOutcome(want, outcome) {
		t.Fatalf("the outcome is %q, want %q", outcome, want)
	}
	if outcome == outcomeEvent {
		want := fromJSON(t, ex.event)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("another event: %s", diff)
		}
		checkWriter(t, client, ex, &want)
	}
}

// checkWriter requires that the sender writes the fields of the example, in their order.
func checkWriter(t *testing.T, client *redis.Client, ex specExample, e *rawevent.Event) {
	t.Helper()
	var opts []redisstreams.SenderOption
	switch words := strings.Fields(ex.kind); words[1] {
	case "binary":
	case "structured":
		opts = append(opts, redisstreams.WithStructuredMode())
	case "mirror":
		opts = append(opts, redisstreams.WithMirror(words[2:]...))
	case "none":
		return
	default:
		t.Fatalf("what is %q?", ex.kind)
	}
	stream := redistest.Stream(t)
	if _, err := newSender(t, client, stream, opts...).Append(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ex.args[3:], onlyEntry(t, client, stream).Fields); diff != "" {
		t.Errorf("the sender writes other fields: %s", diff)
	}
}

func checkPublished(t *testing.T, ex specExample) {
	t.Helper()
	client, channel := redistest.Shared(t).Client(), redistest.Stream(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	sub := client.Subscribe(ctx, channel)
	defer func() { _ = sub.Close() }()
	if _, err := sub.Receive(ctx); err != nil { // the confirmation
		t.Fatal(err)
	}
	do(t, client, append([]string{"PUBLISH", channel}, ex.args[2:]...)...)
	message, err := sub.ReceiveMessage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON(t, ex.event), fromJSON(t, message.Payload)); diff != "" {
		t.Errorf("another event: %s", diff)
	}
}

// TestSpecReadVectors puts the entries of all vectors into one stream and reads them from there, so that it also shows
// that none of them keeps the others from being read.
func TestSpecReadVectors(t *testing.T) {
	t.Parallel()
	vectors := loadVectors(t).Read
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	for i, v := range vectors {
		args := []string{"XADD", stream, fmt.Sprintf("1798074123456-%d", i)}
		do(t, client, append(args, v.Entry.fields()...)...)
	}
	entries, err := redisstreams.ReadAfter(context.Background(), client, stream, "0", len(vectors), -1)
	if err != nil || len(entries) != len(vectors) {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	for i, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			entry := entries[i]
			if diff := cmp.Diff(v.Entry.fields(), entry.Fields); diff != "" {
				t.Fatal(diff)
			}
			got, outcome := outcomeOf(t, entry)
			want := v.Error
			if want == "" {
				want = outcomeEvent
			}
			if !sameOutcome(want, outcome) {
				t.Fatalf("the outcome is %q, want %q", outcome, want)
			}
			switch want {
			case outcomeEvent:
				if diff := cmp.Diff(v.Event.raw(t), got); diff != "" {
					t.Error(diff)
				}
				sdk, err := binding.ToEvent(context.Background(), redisstreams.NewMessage(entry))
				if err != nil || sdk.ID() != got.ID() {
					t.Errorf("the SDK reads %v: %v", sdk, err)
				}
			case outcomeUnknownFormat:
				if v.Forward.ContentType != got.DataContentType || string(v.Forward.bytes()) != string(got.Data) {
					t.Errorf("%q and %q can be forwarded, want %+v", got.DataContentType, got.Data, v.Forward)
				}
			}
		})
	}
}

// TestSpecWriteVectors: the sender writes exactly the entries of the vectors, and they are read as the same events.
func TestSpecWriteVectors(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t).Write {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			want := v.Event.raw(t)
			entry := written(t, v, &want)
			fields, encoded := v.Entry.fieldsWithEvent()
			got, outcome := outcomeOf(t, entry)
			if diff := cmp.Diff(want, got); diff != "" || outcome != outcomeEvent {
				t.Errorf("read again, the outcome is %q: %s", outcome, diff)
			}
			if encoded >= 0 {
				fields[encoded] = entry.Fields[encoded] // it is the event: just compared
			}
			if diff := cmp.Diff(fields, entry.Fields); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// written returns the entry that the package writes for the event of a vector: through the sender where it can be told
// to write this entry, else through the functions that the sender uses.
func written(t *testing.T, v specVector, e *rawevent.Event) redisstreams.Entry {
	t.Helper()
	structured := v.Mode == "structured"
	if len(v.Plain) > 0 && structured {
		return entryOf(redisstreams.AppendStructured(nil, rawevent.MediaTypeJSON, e.AppendJSON(nil), v.Plain.fields()))
	}
	if len(v.Plain) > 0 {
		return entryOf(redisstreams.AppendFields(nil, e, v.Plain.fields()))
	}
	if typed := v.Event.sdk(t); typed != nil {
		fields, err := redisstreams.WriteMessage(context.Background(), binding.ToMessage(typed))
		if err != nil {
			t.Fatal(err)
		}
		return entryOf(fields)
	}
	var opts []redisstreams.SenderOption
	if structured {
		opts = append(opts, redisstreams.WithStructuredMode())
	}
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	if _, err := newSender(t, client, stream, opts...).Append(context.Background(), e); err != nil {
		t.Fatal(err)
	}
	return onlyEntry(t, client, stream)
}

func TestSpecPartitionVectors(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t).Partitions {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			e := specEvent{Attributes: v.Attributes}.raw(t)
			before := e.Clone()
			if got := redisstreams.PartitionStream(v.Stream, v.Partitions, &e, v.Configured); got != v.StreamKey {
				t.Errorf("key %s, want %s", got, v.StreamKey)
			}
			if diff := cmp.Diff(before, e); diff != "" {
				t.Errorf("the event was changed: %s", diff)
			}
			sum := crc32.ChecksumIEEE([]byte(v.PartitionKey))
			if text := fmt.Sprintf("0x%08x", sum); text != v.CRC32 {
				t.Errorf("the CRC-32 of %q is %s, not %s", v.PartitionKey, text, v.CRC32)
			}
			if key := fmt.Sprintf("{%s:%d}", v.Stream, sum%uint32(v.Partitions)); key != v.StreamKey {
				t.Errorf("the vector contradicts itself: %s", key)
			}
			entry := entryOf(redisstreams.AppendFields(nil, &e, nil))
			key, found := entry.Field("ce_partitionkey")
			if want, has := v.Attributes["partitionkey"]; found != has || has && key != want {
				t.Errorf("partitionkey is written: %v, %q", found, key)
			}
		})
	}
}

// TestSpecPartitionTable checks the table of section 3.4.1.
func TestSpecPartitionTable(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(readFile(t, specDocument), "<!-- partitions -->")
	rows := 0
	for line := range strings.Lines(strings.TrimSpace(table)) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `")
		}
		partitions, err := strconv.Atoi(cells[1])
		if err != nil {
			continue // the head
		}
		rows++
		e := rawevent.New(cells[5], cells[4], "t")
		key := cells[4] + "\n" + cells[5]
		if cells[3] != "" {
			key = cells[3]
		}
		if cells[2] != "" {
			e.Set("partitionkey", cells[2])
			key = cells[2]
		}
		sum := fmt.Sprintf("0x%08x", crc32.ChecksumIEEE([]byte(key)))
		if got := redisstreams.PartitionStream(cells[0], partitions, &e, cells[3]); got != cells[7] || sum != cells[6] {
			t.Errorf("%s and %s: %s", sum, got, line)
		}
	}
	if rows < 5 {
		t.Errorf("only %d rows", rows)
	}
}

func TestSpecChannelVectors(t *testing.T) {
	t.Parallel()
	for _, v := range loadVectors(t).Channel {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			got, err := rawevent.FromJSON([]byte(v.Payload))
			if v.Error == outcomeMalformed {
				if err == nil {
					t.Errorf("it was read as %v", got)
				}
				return
			}
			if diff := cmp.Diff(v.Event.raw(t), got); diff != "" || err != nil {
				t.Errorf("%s %v", diff, err)
			}
		})
	}
}

// outcomeOf reads an entry as a consumer of the package does.
func outcomeOf(t *testing.T, entry redisstreams.Entry) (rawevent.Event, string) {
	t.Helper()
	e, err := entry.Event()
	if err == nil {
		if invalid := e.Validate(); invalid != nil {
			e, err = rawevent.Event{}, entry.Reject(redisstreams.ErrMalformed, invalid.Error())
		}
	}
	if err == nil {
		return e, outcomeEvent
	}
	failure := (*redisstreams.EntryError)(nil)
	if !errors.As(err, &failure) || failure.Stream != entry.Stream || failure.ID != entry.ID || failure.Reason == "" {
		t.Fatalf("stream, entry ID and reason are not reported: %v", err)
	}
	_, bindingErr := entry.Event() // checks the rules of the binding only
	switch {
	case errors.Is(err, redisstreams.ErrUnknownEncoding):
		return e, outcomeNone
	case errors.Is(err, redisstreams.ErrUnknownFormat):
		return e, outcomeUnknownFormat
	case !errors.Is(err, redisstreams.ErrMalformed):
		t.Fatal(err)
	case strings.HasPrefix(failure.Reason, "a batch is not supported"):
		return e, outcomeBatch
	case bindingErr == nil:
		return e, outcomeInvalid
	}
	return e, outcomeMalformed
}

// sameOutcome: an invalid event may be reported as a malformed entry (section 3.7.2).
func sameOutcome(want, got string) bool {
	return got == want || want == outcomeInvalid && got == outcomeMalformed
}

// specFile is testdata/spec/vectors.json, which describes itself.
type specFile struct {
	About      []string
	Read       []specVector
	Write      []specVector
	Partitions []specVector
	Channel    []specVector
}

func (f *specFile) all() []specVector { return slices.Concat(f.Read, f.Write, f.Partitions, f.Channel) }

type specVector struct {
	Name    string
	Section string
	Must    []string

	Entry specFields
	Event specEvent
	Error string

	Forward struct {
		ContentType string `json:"content-type"`
		specData
	}
	Mode  string
	Plain specFields

	Stream       string
	Partitions   int
	Configured   string
	Attributes   map[string]any
	PartitionKey string `json:"partition_key"`
	CRC32        string
	StreamKey    string `json:"stream_key"`

	Payload specBytes
}

// specBytes is a string or {"base64": ...}.
type specBytes string

// UnmarshalJSON implements json.Unmarshaler.
func (b *specBytes) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		return json.Unmarshal(text, (*string)(b))
	}
	var object struct{ Base64 []byte }
	err := json.Unmarshal(text, &object)
	*b = specBytes(object.Base64)
	return err
}

type specFields [][2]*specBytes

func (f specFields) fields() []string {
	fields, _ := f.fieldsWithEvent()
	return fields
}

// fieldsWithEvent also returns where the value stands that is null: the encoded event. It is -1 if there is none.
func (f specFields) fieldsWithEvent() (fields []string, encoded int) {
	encoded = -1
	for _, pair := range f {
		fields = append(fields, string(*pair[0]))
		if pair[1] == nil {
			encoded = len(fields)
			pair[1] = new(specBytes)
		}
		fields = append(fields, string(*pair[1]))
	}
	return fields, encoded
}

type specData struct {
	Data       *string `json:"data"`
	DataBase64 *[]byte `json:"data_base64"`
}

func (d specData) bytes() []byte {
	switch {
	case d.Data != nil:
		return append([]byte{}, *d.Data...)
	case d.DataBase64 != nil:
		return *d.DataBase64
	}
	return nil
}

type specEvent struct {
	Attributes map[string]any
	specData
}

func (s specEvent) raw(t *testing.T) rawevent.Event {
	t.Helper()
	e := rawevent.Event{Data: s.bytes()}
	for name, value := range s.Attributes {
		text, err := types.Format(typedValue(t, value))
		if err != nil {
			t.Fatal(err)
		}
		e.Set(name, text)
	}
	return e
}

// sdk returns the event as one of the SDK if it has attributes with a type, else nil.
func (s specEvent) sdk(t *testing.T) *event.Event {
	t.Helper()
	e, typed := event.New(), false
	e.SetID(s.Attributes["id"].(string))
	e.SetSource(s.Attributes["source"].(string))
	e.SetType(s.Attributes["type"].(string))
	for name, value := range s.Attributes {
		if _, isString := value.(string); !isString {
			typed = true
		}
		if !slices.Contains([]string{"specversion", "id", "source", "type"}, name) {
			e.SetExtension(name, typedValue(t, value))
		}
	}
	if !typed {
		return nil
	}
	return &e
}

func typedValue(t *testing.T, value any) any {
	t.Helper()
	object, ok := value.(map[string]any)
	if !ok {
		if number, ok := value.(float64); ok {
			return int32(number)
		}
		return value
	}
	if text, ok := object["binary"].(string); ok {
		decoded, err := types.ParseBinary(text)
		if err != nil {
			t.Fatal(err)
		}
		return decoded
	}
	if text, ok := object["uri"].(string); ok {
		return *types.ParseURI(text)
	}
	parsed, err := types.ParseTimestamp(object["timestamp"].(string))
	if err != nil {
		t.Fatal(err)
	}
	return *parsed
}

func loadVectors(t *testing.T) specFile {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(readFile(t, specVectors)))
	decoder.DisallowUnknownFields()
	var f specFile
	if err := decoder.Decode(&f); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSpecVectorsCoverEveryRequirement: every vector names a section that exists and quotes it, and every sentence of
// the document with MUST, MUST NOT, SHALL or REQUIRED is quoted by a vector of its section.
func TestSpecVectorsCoverEveryRequirement(t *testing.T) {
	t.Parallel()
	sections, file := specSections(t), loadVectors(t)
	if n := len(file.all()); n < 40 {
		t.Errorf("only %d vectors", n)
	}
	names := map[string]bool{}
	quotes := map[string][]string{}
	for _, v := range file.all() {
		text, found := sections[v.Section]
		if !found {
			t.Errorf("vector %q names the section %q, which is not there", v.Name, v.Section)
		}
		if len(v.Must) == 0 {
			t.Errorf("vector %q quotes no requirement", v.Name)
		}
		for _, quote := range v.Must {
			if !strings.Contains(text, quote) {
				t.Errorf("vector %q quotes what section %s does not say: %q", v.Name, v.Section, quote)
			}
		}
		quotes[v.Section] = append(quotes[v.Section], v.Must...)
	}
	for _, group := range [][]specVector{file.Read, file.Write, file.Partitions, file.Channel} {
		clear(names)
		for _, v := range group {
			if names[v.Name] {
				t.Errorf("two vectors are called %q", v.Name)
			}
			names[v.Name] = true
		}
	}
	absolute, requirements := regexp.MustCompile(`\b(MUST|SHALL)\b`), 0
	for anchor, text := range sections {
		if anchor == "#11-conformance" {
			continue // it explains the words
		}
		for _, sentence := range strings.SplitAfter(text, ". ") {
			if !absolute.MatchString(sentence) {
				continue
			}
			requirements++
			if !slices.ContainsFunc(quotes[anchor], func(quote string) bool { return strings.Contains(sentence, quote) }) {
				t.Errorf("section %s: no vector tests %q", anchor, sentence)
			}
		}
	}
	if requirements < 40 {
		t.Errorf("only %d requirements found", requirements)
	}
}

// TestSpecDocument: links lead somewhere, the table of contents is complete, and the words of RFC 2119 stand in
// capitals only, as the CloudEvents project's own check demands.
func TestSpecDocument(t *testing.T) {
	t.Parallel()
	text, sections := readFile(t, specDocument), specSections(t)
	_, contents, _ := strings.Cut(text, "## Table of Contents")
	contents, _, _ = strings.Cut(contents, "## 1. Introduction")
	for _, link := range regexp.MustCompile(`\]\((#[^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if _, found := sections[link[1]]; !found {
			t.Errorf("no section %s", link[1])
		}
	}
	for _, heading := range regexp.MustCompile(`(?m)^###? ((?:\d|Appendix).*)$`).FindAllStringSubmatch(text, -1) {
		title := strings.TrimLeft(heading[1], "0123456789. ")
		if !strings.Contains(contents, title+"]("+anchorOf(heading[1])+")") {
			t.Errorf("the table of contents lacks %q", heading[1])
		}
	}
	defined := map[string]string{}
	for _, link := range regexp.MustCompile(`(?m)^\[([^\]]+)\]: (\S+)$`).FindAllStringSubmatch(text, -1) {
		defined[link[1]] = link[2]
		if !strings.Contains(text, "]["+link[1]+"]") {
			t.Errorf("the link %s is not used", link[1])
		}
		if strings.HasPrefix(link[2], "..") {
			if _, err := os.Stat(filepath.Join(filepath.Dir(specDocument), link[2])); err != nil {
				t.Error(err)
			}
		}
	}
	for _, link := range regexp.MustCompile(`\]\[([^\]]+)\]`).FindAllStringSubmatch(text, -1) {
		if defined[link[1]] == "" {
			t.Errorf("the link %s is not defined", link[1])
		}
	}
	for _, word := range regexp.MustCompile(`(?i)\b(must|shall|should|may|required|recommended|optional)\b`).FindAllString(text, -1) {
		if word != strings.ToUpper(word) {
			t.Errorf("%q is not in capitals", word)
		}
	}
}

// specSections returns the prose of each section of the document, without its subsections, code and tables, in one
// line.
func specSections(t *testing.T) map[string]string {
	t.Helper()
	sections := map[string]string{}
	anchor, inCode := "", false
	marker := regexp.MustCompile(`^\s*(- |\d+\. )`)
	for line := range strings.Lines(readFile(t, specDocument)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "```") {
			inCode = !inCode
			continue
		}
		if inCode || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "<!--") {
			continue
		}
		if strings.HasPrefix(line, "#") {
			anchor = anchorOf(strings.TrimLeft(line, "# "))
			if _, found := sections[anchor]; found {
				t.Errorf("two sections have the anchor %s", anchor)
			}
			sections[anchor] = ""
			continue
		}
		if line = marker.ReplaceAllString(line, ""); line != "" && anchor != "" {
			sections[anchor] += line + " "
		}
	}
	return sections
}

// anchorOf makes an anchor of a heading as GitHub does.
func anchorOf(heading string) string {
	return "#" + strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, strings.ToLower(heading))
}

// specExample is a comment "<!-- example: NAME; KIND -->" of the document and the blocks of code that follow it.
type specExample struct {
	name    string
	kind    string   // "writer: ..." or an outcome
	args    []string // of the redis-cli command
	event   string   // JSON event format
	console string   // prompt and output of redis-cli
}

func (e *specExample) outcome() string {
	if strings.HasPrefix(e.kind, "writer: ") {
		return outcomeEvent
	}
	return e.kind
}

func specExamples(t *testing.T) []specExample {
	t.Helper()
	block := regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	head := regexp.MustCompile(`^ example: ([^;]+); (.*) -->`)
	var examples []specExample
	covered := 0
	text := readFile(t, specDocument)
	for _, part := range strings.Split(text, "<!--")[1:] {
		name := head.FindStringSubmatch(part)
		if name == nil {
			continue
		}
		part, _, _ = strings.Cut(part, "\n#")
		ex := specExample{name: name[1], kind: name[2]}
		for _, code := range block.FindAllStringSubmatch(part, -1) {
			covered++
			switch code[1] {
			case "sh":
				words := shellWords(t, code[2])
				if words[0] != "redis-cli" {
					t.Fatalf("example %s runs %q", ex.name, words[0])
				}
				ex.args = words[1:]
			case "json":
				ex.event = code[2]
			case "console":
				ex.console = code[2]
			}
		}
		if len(ex.args) == 0 || (ex.event == "") == (ex.outcome() == outcomeEvent) && ex.args[0] != "PUBLISH" {
			t.Fatalf("example %s is incomplete", ex.name)
		}
		examples = append(examples, ex)
	}
	if all := len(block.FindAllString(text, -1)); covered != all {
		t.Errorf("%d of %d blocks of code belong to an example", covered, all)
	}
	return examples
}

// shellWords splits one command of a POSIX shell, as far as the document needs it.
func shellWords(t *testing.T, command string) []string {
	t.Helper()
	octal := regexp.MustCompile(`\\([0-7]{3})`)
	word := regexp.MustCompile(`(?s)^(?:'([^']*)'|"\$\(printf '([^']*)'\)"|([^\s'"\\$` + "`" + `*;&|<>()]+))(?:\s+|$)`)
	var words []string
	for rest := strings.TrimSpace(strings.ReplaceAll(command, "\\\n", " ")); rest != ""; {
		m := word.FindStringSubmatch(rest)
		if m == nil {
			t.Fatalf("cannot parse the command at %q", rest)
		}
		rest = rest[len(m[0]):]
		printed := octal.ReplaceAllStringFunc(m[2], func(code string) string {
			n, err := strconv.ParseUint(code[1:], 8, 8)
			if err != nil {
				t.Fatal(err)
			}
			return string([]byte{byte(n)})
		})
		words = append(words, m[1]+printed+m[3])
	}
	return words
}

// formatReply writes a reply as redis-cli does on a terminal.
func formatReply(reply any, prefix string) string {
	list, ok := reply.([]any)
	if !ok {
		return quoteReply(fmt.Sprint(reply)) + "\n"
	}
	if len(list) == 0 {
		return "(empty array)\n"
	}
	width := len(strconv.Itoa(len(list)))
	var b strings.Builder
	for i, element := range list {
		if i > 0 {
			b.WriteString(prefix)
		}
		fmt.Fprintf(&b, "%*d) %s", width, i+1, formatReply(element, prefix+strings.Repeat(" ", width+2)))
	}
	return b.String()
}

func quoteReply(s string) string {
	b := []byte{'"'}
	for _, c := range []byte(s) {
		if i := strings.IndexByte("\\\"\n\r\t\a\b", c); i >= 0 {
			b = append(b, '\\', `\"nrtab`[i])
		} else if c >= ' ' && c <= '~' {
			b = append(b, c)
		} else {
			b = fmt.Appendf(b, `\x%02x`, c)
		}
	}
	return string(append(b, '"'))
}

func do(t *testing.T, client *redis.Client, args ...string) any {
	t.Helper()
	command := make([]any, len(args))
	for i := range args {
		command[i] = args[i]
	}
	reply, err := client.Do(context.Background(), command...).Result()
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return reply
}

func onlyEntry(t *testing.T, client *redis.Client, stream string) redisstreams.Entry {
	t.Helper()
	entries, err := redisstreams.ReadAfter(context.Background(), client, stream, "0", 10, -1)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d entries: %v", len(entries), err)
	}
	return entries[0]
}

func fromJSON(t *testing.T, text string) rawevent.Event {
	t.Helper()
	e, err := rawevent.FromJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

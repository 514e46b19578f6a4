package redisstreams

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Message is an entry as a message of the CloudEvents SDK. It can be read any number of times until Finish; after that,
// its bytes must not be used.
type Message struct {
	entry    Entry
	raw      rawevent.Event
	encoding binding.Encoding
	version  spec.Version  // set in binary mode
	format   format.Format // set in structured mode
	err      error         // why the encoding is unknown, if a layout decided that
	finish   func(error)
}

var (
	_ binding.Message               = (*Message)(nil)
	_ binding.MessageMetadataReader = (*Message)(nil)
)

// attributeVersions are the SDK's attributes with the prefix of the binding. They do not change; making them for each
// message would cost 47 allocations.
var attributeVersions = spec.WithPrefix(FieldPrefix) //nolint:gochecknoglobals // a constant that Go cannot write as one

// NewMessage returns a message over an entry. If the entry does not hold an event of this binding, or a malformed one,
// the encoding is unknown; [Message.Err] tells why.
func NewMessage(entry Entry) *Message {
	m := &Message{entry: entry, encoding: binding.EncodingUnknown}
	mode, ok := entry.Mode()
	if !ok || mode == rawevent.Batched {
		return m
	}
	raw, err := m.entry.binaryEvent()
	if err != nil {
		return m
	}
	m.raw = raw
	if mode == rawevent.Structured {
		m.encoding, m.format = binding.EncodingStructured, formatOf(raw.DataContentType)
		return m
	}
	version, _ := raw.Attribute(rawevent.AttrSpecVersion)
	if m.version = attributeVersions.Version(version); m.version != nil {
		m.encoding = binding.EncodingBinary
	}
	return m
}

// newLayoutMessage returns a message over an entry of any layout. Native entries keep their encoding: an event in
// structured mode stays in structured mode.
func newLayoutMessage(entry Entry, layout Layout) *Message {
	if layout == nil || layout.Native(&entry) {
		return NewMessage(entry)
	}
	m := &Message{entry: entry, encoding: binding.EncodingUnknown}
	if m.raw, m.err = layout.Event(&m.entry); m.err != nil {
		return m
	}
	version, _ := m.raw.Attribute(rawevent.AttrSpecVersion)
	if m.version = attributeVersions.Version(version); m.version != nil {
		m.encoding = binding.EncodingBinary
	}
	return m
}

// EntryID returns the id of the entry that a message was received from, and false for a message of another binding.
func EntryID(m binding.Message) (string, bool) {
	for {
		switch v := m.(type) {
		case *Message:
			return v.entry.ID, true
		case binding.MessageWrapper:
			m = v.GetWrappedMessage()
		default:
			return "", false
		}
	}
}

// Entry returns the entry as Redis holds it.
func (m *Message) Entry() Entry { return m.entry }

// Err returns why the encoding is unknown, as an [*EntryError], or nil.
func (m *Message) Err() error {
	if m.encoding != binding.EncodingUnknown {
		return nil
	}
	if m.err != nil {
		return m.err
	}
	if _, err := m.entry.Event(); err != nil {
		return err
	}
	return m.entry.Reject(ErrMalformed, "its ce_specversion is not supported")
}

// ReadEncoding implements binding.MessageReader.
func (m *Message) ReadEncoding() binding.Encoding { return m.encoding }

// ReadStructured implements binding.MessageReader.
func (m *Message) ReadStructured(ctx context.Context, w binding.StructuredWriter) error {
	if m.encoding != binding.EncodingStructured {
		return binding.ErrNotStructured
	}
	return w.SetStructuredEvent(ctx, m.format, bytes.NewReader(m.raw.Data))
}

// ReadBinary implements binding.MessageReader. Attributes are given as the strings of the entry.
func (m *Message) ReadBinary(_ context.Context, w binding.BinaryWriter) error {
	if m.encoding != binding.EncodingBinary {
		return binding.ErrNotBinary
	}
	for i := range m.raw.Attributes {
		a := &m.raw.Attributes[i]
		var err error
		if attribute := m.version.Attribute(FieldPrefix + a.Name); attribute != nil {
			err = w.SetAttribute(attribute, a.Value)
		} else {
			err = w.SetExtension(a.Name, a.Value)
		}
		if err != nil {
			return err
		}
	}
	if m.raw.DataContentType != "" {
		if err := w.SetAttribute(m.version.AttributeFromKind(spec.DataContentType), m.raw.DataContentType); err != nil {
			return err
		}
	}
	if m.raw.Data == nil {
		return nil
	}
	return w.SetData(bytes.NewReader(m.raw.Data))
}

// GetAttribute implements binding.MessageMetadataReader; a structured message shows no attributes.
func (m *Message) GetAttribute(kind spec.Kind) (spec.Attribute, any) {
	if m.version == nil {
		return nil, nil
	}
	attribute := m.version.AttributeFromKind(kind)
	if attribute == nil {
		return nil, nil
	}
	if value, ok := m.raw.Attribute(attribute.Name()); ok {
		return attribute, value
	}
	return attribute, nil
}

// GetExtension implements binding.MessageMetadataReader.
func (m *Message) GetExtension(name string) any {
	if m.encoding != binding.EncodingBinary {
		return nil
	}
	if value, ok := m.raw.Attribute(strings.ToLower(name)); ok {
		return value
	}
	return nil
}

// Finish implements binding.Message. nil, and every result that the SDK counts as ACK, acknowledges the entry; anything
// else leaves it pending, so that it is delivered again when its lease ends. Acknowledgements are sent in batches and
// repeated until Redis answers, so Finish does not block and returns nil. A second call does nothing.
func (m *Message) Finish(err error) error {
	if m.finish != nil {
		m.finish(err)
		m.finish = nil
	}
	return nil
}

func newReceived(d *Delivery, done func()) *Message {
	m := newLayoutMessage(d.Entry, d.intake.layout)
	m.finish = func(err error) {
		if protocol.IsACK(err) {
			d.Ack()
		} else {
			d.Release()
		}
		done()
	}
	return m
}

// formatOf returns the event format of a media type. A format that the SDK does not know can still be forwarded.
func formatOf(mediaType string) format.Format {
	if known := format.Lookup(mediaType); known != nil {
		return known
	}
	return opaqueFormat(mediaType)
}

// opaqueFormat is an event format of which nothing but the media type is known.
type opaqueFormat string

var errOpaque = errors.New("redisstreams: unknown event format; the event can only be forwarded as it is")

func (f opaqueFormat) MediaType() string { return string(f) }

func (opaqueFormat) Marshal(*event.Event) ([]byte, error) { return nil, errOpaque }

func (opaqueFormat) Unmarshal([]byte, *event.Event) error { return errOpaque }

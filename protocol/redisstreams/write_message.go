package redisstreams

import (
	"context"
	"fmt"
	"io"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// WriteMessage writes a message of the SDK as the fields of an entry, names and values alternately: in structured mode
// if the message is structured, else in binary mode. It does not finish the message.
func WriteMessage(ctx context.Context, m binding.Message, transformers ...binding.Transformer) ([]any, error) {
	w := &fieldWriter{}
	if _, err := binding.Write(ctx, m, w, w, transformers...); err != nil {
		return nil, fmt.Errorf("write the message as a stream entry: %w", err)
	}
	if w.structured {
		return AppendStructured(nil, w.event.DataContentType, w.event.Data, nil), nil
	}
	return AppendFields(nil, &w.event, nil), nil
}

// sendMessage writes a message of the SDK as [Sender.Append] writes an event; what is structured stays as it is.
func (s *Sender) sendMessage(ctx context.Context, m binding.Message, transformers ...binding.Transformer) (string, error) {
	fw := &fieldWriter{}
	if _, err := binding.Write(ctx, m, fw, fw, transformers...); err != nil {
		return "", fmt.Errorf("write the message as a stream entry: %w", err)
	}
	w := &write{}
	w.items = w.one[:]
	if !fw.structured {
		w.one[0] = s.item(&fw.event)
		return s.append(ctx, w)
	}
	var plain []string
	if (s.dedup > 0 || len(s.mirror) > 0) && isJSONFormat(fw.event.DataContentType) {
		if event, err := rawevent.FromJSON(fw.event.Data); err == nil { // else the reader reports what is wrong with it
			plain = mirrored(&event, s.mirror)
			if s.dedup > 0 {
				w.one[0].key = dedupKey(s.stream, &event)
			}
		}
	}
	w.one[0].args = AppendStructured(s.head(make([]any, 0, 16)), fw.event.DataContentType, fw.event.Data, plain)
	return s.append(ctx, w)
}

// fieldWriter collects an event in either mode.
type fieldWriter struct {
	event      rawevent.Event
	structured bool
}

var (
	_ binding.StructuredWriter = (*fieldWriter)(nil)
	_ binding.BinaryWriter     = (*fieldWriter)(nil)
)

// SetStructuredEvent implements binding.StructuredWriter.
func (w *fieldWriter) SetStructuredEvent(_ context.Context, f format.Format, event io.Reader) (err error) {
	w.structured = true
	w.event.DataContentType = f.MediaType()
	w.event.Data, err = readAll(event)
	return err
}

// Start implements binding.BinaryWriter.
func (w *fieldWriter) Start(context.Context) error {
	*w = fieldWriter{}
	return nil
}

// SetAttribute implements binding.BinaryWriter; a nil value deletes.
func (w *fieldWriter) SetAttribute(attribute spec.Attribute, value any) error {
	name := attribute.Name()
	if attribute.Kind() == spec.DataContentType {
		name = rawevent.AttrDataContentType
	}
	return w.set(name, value)
}

// SetExtension implements binding.BinaryWriter; a nil value deletes.
func (w *fieldWriter) SetExtension(name string, value any) error { return w.set(name, value) }

func (w *fieldWriter) set(name string, value any) error {
	if value == nil {
		w.event.Delete(name)
		return nil
	}
	text, err := types.Format(value)
	if err != nil {
		return fmt.Errorf("attribute %q: %w", name, err)
	}
	w.event.Set(name, text)
	return nil
}

// SetData implements binding.BinaryWriter.
func (w *fieldWriter) SetData(data io.Reader) (err error) {
	w.event.Data, err = readAll(data)
	return err
}

// End implements binding.BinaryWriter.
func (w *fieldWriter) End(context.Context) error { return nil }

// readAll reads r into one buffer of the right size if r knows its length, as readers over bytes do.
func readAll(r io.Reader) ([]byte, error) {
	if sized, ok := r.(interface{ Len() int }); ok {
		data := make([]byte, sized.Len())
		_, err := io.ReadFull(r, data)
		return data, err
	}
	return io.ReadAll(r)
}

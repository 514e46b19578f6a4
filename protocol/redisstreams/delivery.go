package redisstreams

import (
	"fmt"

	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Delivery is an entry handed out to be worked on. It ends with Ack or Release; until then it is kept leased.
type Delivery struct {
	Entry
	// Attempt is the number of times the entry has been handed out, including this one: the delivery counter of Redis,
	// which survives a restart.
	Attempt int
	// Again reports that the entry was pending before: it comes from another member, from a reply that was lost, or
	// from Redeliver, Reread or TakeAll. An entry that is read for the first time has none of that behind it.
	Again bool

	intake *intake
}

// Event reads the event that the entry holds, by the layout of the consumer; see [Entry.Event] and [Layout].
func (d *Delivery) Event() (rawevent.Event, error) {
	if d.intake.layout != nil {
		return d.intake.layout.Event(&d.Entry)
	}
	return d.Entry.Event()
}

// Ack marks the entry as finished. It does not block: while Run runs, XACKs are sent in batches and repeated until
// Redis answers. The entry stays leased until then. Call either Ack or Release, once.
func (d *Delivery) Ack() { d.intake.acks.add(d.ID) }

// Release gives the entry up unfinished: it stays pending, and a member of the group gets it when its lease ends.
func (d *Delivery) Release() { d.intake.leases.remove(d.ID) }

// intake turns replies into deliveries and leases them; no entry gets into work another way. It has no state of its
// own.
//
// A kill -9 before the lease is noted changes nothing: Redis made the entries pending when it sent the reply, so other
// members take them over when their lease ends.
type intake struct {
	*member
	layout   Layout // nil: the binding of this package
	maxEntry int
	leases   *leases
	acks     *acknowledger
}

// read takes in the reply of XREADGROUP.
func (in *intake) read(reply any) ([]*Delivery, error) {
	entries, err := parseStreams(in.stream, reply)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	batch, deliveries := make([]*Delivery, len(entries)), make([]Delivery, len(entries))
	for i := range entries {
		deliveries[i] = Delivery{Entry: entries[i], Attempt: entries[i].deliveries + 1, Again: entries[i].deliveries > 0, intake: in}
		batch[i] = &deliveries[i]
	}
	batch = in.leases.addNew(batch) // without what was in work: the heartbeat is late, or the group was created again
	reclaimed := 0
	for _, d := range batch {
		if d.bytes > in.maxEntry {
			d.Fields, d.tooLarge = nil, true // so that nothing downstream copies them
		}
		if d.Attempt > 1 {
			reclaimed++
		}
	}
	in.reportReclaimed(reclaimed)
	return batch, nil
}

// claimed takes in a list of {id, delivery count, entry or its size}, as the scripts return it, and reports the entries
// that were trimmed.
func (in *intake) claimed(list []any) (batch []*Delivery, err error) {
	var trimmed []string
	for _, item := range list {
		id, attempt, content, ok := claimedItem(item)
		if !ok {
			return nil, fmt.Errorf("read stream %q: unexpected reply of type %T", in.stream, item)
		}
		if content == nil {
			trimmed = append(trimmed, id)
			continue
		}
		entry := Entry{Stream: in.stream, ID: id}
		if size, tooLarge := content.(int64); tooLarge {
			entry.bytes, entry.tooLarge = int(size), true
		} else if entry, err = parseEntry(in.stream, content); err != nil {
			return nil, err
		}
		batch = append(batch, &Delivery{Entry: entry, Attempt: attempt, Again: true, intake: in})
	}
	in.leases.add(batch)
	in.reportTrimmed(trimmed)
	return batch, nil
}

// claimedItem takes {id, delivery count, entry or its size} apart; content is nil if the entry was trimmed.
func claimedItem(item any) (id string, attempt int, content any, ok bool) {
	parts, ok := item.([]any)
	if !ok || len(parts) < 2 {
		return "", 0, nil, false
	}
	id, _ = parts[0].(string)
	count, _ := parts[1].(int64)
	if len(parts) > 2 {
		content = parts[2]
	}
	return id, int(count), content, true
}

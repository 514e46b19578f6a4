package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// session is what a replica has in work of a subscription. Its parts:
//
//   - the [dispatcher] reads no more entries than there are free workers, and drops what the filters do not let through,
//   - the [worker]s deliver,
//   - the [retryQueue] holds the ids of events that wait for their next attempt: they stay leased, and occupy neither a
//     worker nor their bytes,
//   - with order byKey, the [keyQueues] hold the ids of events that wait for others of their key.
//
// An entry is acknowledged after the sink has it, after its dead letter is stored, or when the filters do not match. A
// kill -9 at any other moment leaves it pending, and another replica takes it over when its lease ends.
type session struct {
	*Subscription
	consumer *redisstreams.Consumer
	recorder *recorder
	retries  *retryQueue
	keys     *keyQueues // nil without order
	signal   signal
	inbox    *inbox // nil if it reads the stream
	workers  int
}

// rereadPause is the time between two tries to read entries again while Redis does not answer.
const rereadPause = time.Second

// job is an entry that a worker is to deliver.
type job struct {
	sink.Item
	delivery *redisstreams.Delivery
	probe    bool // it is to tell whether the sink is back
}

func (s *Subscription) newSession(m *member, keys *keyQueues) *session {
	return &session{
		Subscription: s, consumer: m.consumer, recorder: m.recorder, retries: newRetryQueue(), keys: keys, workers: s.config.workers(),
	}
}

// run reads until readCtx ends, finishes what is in work until workCtx ends, and gives up the rest.
func (s *session) run(readCtx, workCtx context.Context) {
	consumeCtx, stopConsumer := context.WithCancel(context.WithoutCancel(workCtx))
	var consumer sync.WaitGroup
	consumer.Go(func() { _ = s.consumer.Run(consumeCtx) }) // it returns nil
	newDispatcher(s).run(readCtx, workCtx)
	s.recorder.stop() // before the entries are given up: the next replica must find their due times
	stopConsumer()
	consumer.Wait()
	s.gauge()
}

// finish acknowledges an entry.
func (s *session) finish(d *redisstreams.Delivery, result prometheus.Counter) {
	d.Ack()
	s.recorder.finish(d.ID)
	s.retries.takeVerdict(d.ID) // no worker has asked for the verdict of an entry that does not hold a valid event
	if s.keys != nil {
		s.keys.leave(d.ID)
		s.signal.send(time.Now())
	}
	result.Inc()
}

// retryAt puts an entry into the retry queue.
func (s *session) retryAt(entry string, at time.Time) {
	s.retries.add([]string{entry}, at)
	s.signal.send(at)
}

// queue puts an entry into the retry queue as its progress says.
func (s *session) queue(id string, p progress) {
	switch {
	case p.verdict != nil:
		s.retries.addFailed(id, p.verdict, p.at)
	case p.asked:
		s.retries.addAsked(id, p.at)
	default:
		s.retries.add([]string{id}, p.at)
	}
	s.signal.send(p.at)
}

// isFull reports whether so many entries wait that no new ones may be read.
func (s *session) isFull() bool {
	waiting := s.retries.len()
	if s.keys != nil {
		waiting += s.keys.len()
	}
	return waiting >= s.config.MaxParked
}

func (s *session) gauge() {
	if s.inbox != nil {
		return // the metrics are those of the stream
	}
	s.figures.waiting.Set(float64(s.retries.len()))
	if s.keys != nil {
		s.figures.heldBack.Set(float64(s.keys.len()))
	}
}

package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// maxOrders is how many orders a source may have waiting.
const maxOrders = 1000

// ErrTooManyOrders is returned where a source has maxOrders orders already.
var ErrTooManyOrders = errors.New("the source has 1000 orders; cancel some")

// orderScript leaves an order, or takes it back.
//
//	KEYS[1] orders; ARGV[1] name, ARGV[2] text, "" to take it back, ARGV[3] how many there may be
//	returns 1, or 0 if there are too many
//
// It is a script because two operators must not leave one too many.
var orderScript = redis.NewScript(`
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) return 1 end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1`)

// OrderSource leaves an order for a source, which whoever runs the source finds with [Outbox.Orders], or changes it; an
// empty text takes it back. What orders there are is up to the source type. The source need not run at the moment.
func OrderSource(ctx context.Context, client redis.UniversalClient, stream, source, order, text string) error {
	done, err := orderScript.Run(ctx, client, []string{ordersKey(stream, source)}, order, text, maxOrders).Int()
	if err == nil && done == 0 {
		err = ErrTooManyOrders
	}
	if err != nil {
		return fmt.Errorf("leave an order for source %q: %w", source, err)
	}
	return nil
}

// SourceOrders returns the orders that a source has.
func SourceOrders(ctx context.Context, client redis.UniversalClient, stream, source string) (map[string]string, error) {
	orders, err := client.HGetAll(ctx, ordersKey(stream, source)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the orders of source %q: %w", source, err)
	}
	return orders, nil
}

// Orders returns what operators ask of the source, by name. It retries until Redis answers or ctx ends.
func (o *Outbox) Orders(ctx context.Context) (orders map[string]string, err error) {
	if o.preview != nil {
		return nil, nil
	}
	err = o.retry(ctx, func(ctx context.Context) (err error) {
		orders, err = SourceOrders(ctx, o.client, o.stream, o.source)
		return err
	})
	return orders, err
}

// Done takes an order away that was carried out. It retries until Redis answers or ctx ends.
func (o *Outbox) Done(ctx context.Context, order string) error {
	if o.preview != nil {
		return nil
	}
	return o.retry(ctx, func(ctx context.Context) error {
		return OrderSource(ctx, o.client, o.stream, o.source, order, "")
	})
}

package source

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/state"
)

// maxCommands is how many commands may wait for a source.
const maxCommands = 1000

// ErrTooManyCommands is returned where maxCommands commands wait for a source already.
var ErrTooManyCommands = errors.New("1000 commands wait for the source; cancel some")

// commandScript leaves a command, or takes it back.
//
//	KEYS[1] commands; ARGV[1] name, ARGV[2] text, "" to take it back, ARGV[3] how many there may be
//	returns 1, or 0 if there are too many
//
// It is a script because two operators must not leave one too many.
var commandScript = redis.NewScript(`
if ARGV[2] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) return 1 end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1`)

// SendCommand leaves a command for a source, which the replica that runs the source finds with [Outbox.Commands], or
// changes it; an empty text takes it back. What commands there are is up to the source type. The source need not run at
// the moment.
func SendCommand(ctx context.Context, client redis.UniversalClient, stream, source, command, text string) error {
	done, err := commandScript.Run(ctx, client, []string{state.CommandsKey(stream, source)}, command, text, maxCommands).Int()
	if err == nil && done == 0 {
		err = ErrTooManyCommands
	}
	if err != nil {
		return fmt.Errorf("leave a command for source %q: %w", source, err)
	}
	return nil
}

// Commands returns the commands that wait for a source.
func Commands(ctx context.Context, client redis.UniversalClient, stream, source string) (map[string]string, error) {
	commands, err := client.HGetAll(ctx, state.CommandsKey(stream, source)).Result()
	if err != nil {
		return nil, fmt.Errorf("read the commands of source %q: %w", source, err)
	}
	return commands, nil
}

package redisstreams

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis identifies scripts by it
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

// script is a Lua script. Unlike one of go-redis, it is sent at most once for every call, even by a Cluster client, and
// can be part of a pipeline.
type script struct{ source, hash string }

func newScript(source string) *script {
	digest := sha1.Sum([]byte(source)) //nolint:gosec // as above
	return &script{source: source, hash: hex.EncodeToString(digest[:])}
}

// byHash returns the command that runs the script on a server that knows it.
func (s *script) byHash(ctx context.Context, keys []string, args []any) *redis.Cmd {
	return scriptCommand(ctx, "evalsha", s.hash, keys, args)
}

// inFull returns the command that runs the script on a server that answered NOSCRIPT, and so ran nothing.
func (s *script) inFull(ctx context.Context, keys []string, args []any) *redis.Cmd {
	return scriptCommand(ctx, "eval", s.source, keys, args)
}

func (s *script) run(ctx context.Context, client redis.UniversalClient, keys []string, args []any) *redis.Cmd {
	cmd := s.byHash(ctx, keys, args)
	_ = client.Process(ctx, once{cmd}) // the command carries the error
	if unknownScript(cmd) {
		cmd = s.inFull(ctx, keys, args)
		_ = client.Process(ctx, once{cmd})
	}
	return cmd
}

func unknownScript(cmd *redis.Cmd) bool { return IsReply(cmd.Err(), replyNoScript) }

func scriptCommand(ctx context.Context, name, script string, keys []string, args []any) *redis.Cmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, name, script, len(keys))
	for _, key := range keys {
		all = append(all, key)
	}
	cmd := redis.NewCmd(ctx, append(all, args...)...)
	cmd.SetFirstKeyPos(3)
	return cmd
}

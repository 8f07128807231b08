package remote

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// A right is a command that the cache uses, and a call of it that the right alone decides about: of a key that is not there, which it does not
// make, or one that fails when it is carried out.
type right struct {
	command string
	args    []any  // the key is scratch
	rule    string // that gives the right, without the '+'; "": the command
}

const scratch = "\x00key"

var rights = []right{
	{command: "get", args: []any{scratch}},
	{command: "set", args: []any{scratch, "", "XX"}},
	{command: "setrange", args: []any{scratch, 0, ""}},
	{command: "getrange", args: []any{scratch, 0, 0}},
	{command: "del", args: []any{scratch}},
	{command: "unlink", args: []any{scratch}},
	{command: "exists", args: []any{scratch}},
	{command: "pttl", args: []any{scratch}},
	{command: "pexpire", args: []any{scratch, 1}},
	{command: "persist", args: []any{scratch}},
	{command: "hget", args: []any{scratch, "f"}},
	{command: "hmget", args: []any{scratch, "f"}},
	{command: "hset", args: []any{scratch, "f", "v", "g"}}, // fails: a field lacks its value
	{command: "zadd", args: []any{scratch, "XX", 0, "m"}},
	{command: "zrem", args: []any{scratch, "m"}},
	{command: "zcard", args: []any{scratch}},
	{command: "zscore", args: []any{scratch, "m"}},
	{command: "zmscore", args: []any{scratch, "m"}},
	{command: "zrange", args: []any{scratch, 0, 0}},
	{command: "zrevrange", args: []any{scratch, 0, 0}},
	{command: "zrangebyscore", args: []any{scratch, 0, 0}},
	{command: "zremrangebyrank", args: []any{scratch, 0, 0}},
	{command: "zscan", args: []any{scratch, 0}},
	{command: "xadd", args: []any{scratch, "NOMKSTREAM", "*", "f", "v"}},
	{command: "xrange", args: []any{scratch, "-", "+", "COUNT", 1}},
	{command: "xrevrange", args: []any{scratch, "+", "-", "COUNT", 1}},
	{command: "memory", args: []any{"USAGE", scratch}, rule: "memory|usage"},
	{command: "script", args: []any{"LOAD", "return ("}, rule: "script|load"}, // does not compile, and is not kept
	{command: "eval", args: []any{"return (", 0}},
	{command: "evalsha", args: []any{strings.Repeat("0", 40), 0}},
	{command: "time"},
	{command: "dbsize"},
	{command: "scan", args: []any{0, "COUNT", 1}},
	{command: "info", args: []any{"replication"}},
	{command: "ping"},
}

// Commands returns the commands that the cache uses, as ACL rules write them without their '+', but for those of the bus's channel.
func Commands() []string {
	rules := make([]string, len(rights))
	for i, r := range rights {
		rules[i] = r.name()
	}
	return rules
}

func (r right) name() string {
	if r.rule != "" {
		return r.rule
	}
	return r.command
}

// Check tries each command that the cache uses, and whether each of keys (whole, as Redis has them) and the cache's own keys may be read and
// written. Its error joins all that is missing, each with its remedy. It leaves nothing in Redis.
func (s *Store) Check(ctx context.Context, keys []string) error {
	if err := s.Ping(ctx); err != nil && ReasonOf(err) != NoPerm {
		return fmt.Errorf("remote: Redis does not answer: %w%s", err, advice(ReasonOf(err)))
	}
	return errors.Join(s.checkCommands(ctx), s.checkKeys(ctx, append(s.ownKeys(), keys...)))
}

// ScratchKey is the Redis key of an entry that nobody has.
func (s *Store) ScratchKey(space string) string { return s.EntryKey(space + ":check-" + rand.Text()) }

// IndexKey is the Redis key of the index of an object.
func (s *Store) IndexKey(entity, id string) string { return s.indexKey(entity + ":" + id) }

// FeedKeys are the Redis keys of a feed.
func (s *Store) FeedKeys(feed string) []string { return []string{s.feedKey(feed), s.leadKey(feed)} }

// ownKeys are those that each cache has.
func (s *Store) ownKeys() []string {
	keys := []string{s.tickKey(), s.prefix + "{bus}:head", s.prefix + "{bus}:journal"}
	for b := range bucketCount {
		keys = append(keys, s.bucketKey(b))
	}
	return keys
}

func (s *Store) checkCommands(ctx context.Context) error {
	key := s.prefix + "{check}:" + rand.Text()
	cmds := make([]*redis.Cmd, len(rights))
	pipe := s.client.Pipeline()
	for i, r := range rights {
		args := append([]any{r.command}, r.args...)
		for n := range args {
			if args[n] == scratch {
				args[n] = key
			}
		}
		cmds[i] = pipe.Do(ctx, args...)
	}
	_, _ = pipe.Exec(ctx) // its error is one of the commands'
	var errs []error
	refused := make(map[Reason]bool) // but for NoPerm: one error will do
	for i, cmd := range cmds {
		err := s.refusal(cmd.Err())
		switch reason := ReasonOf(err); {
		case err == nil || isKeyRefusal(err): // of keys, see checkKeys
		case reason == NoPerm:
			errs = append(errs, fmt.Errorf("remote: %s: %w: the user needs +%s: ACL SETUSER %s +%s", strings.ToUpper(rights[i].command), err, rights[i].name(), s.user(), rights[i].name()))
		case !refused[reason]:
			refused[reason] = true
			errs = append(errs, fmt.Errorf("remote: %s: %w%s", strings.ToUpper(rights[i].command), err, advice(reason)))
		}
	}
	return errors.Join(errs...)
}

// checkKeys reads each key and writes nothing to it.
func (s *Store) checkKeys(ctx context.Context, keys []string) error {
	cmds := make([]*redis.Cmd, len(keys))
	pipe := s.client.Pipeline()
	for i, key := range keys {
		cmds[i] = pipe.Do(ctx, "SETRANGE", key, 0, "") // a write of nothing, which also reads
	}
	_, _ = pipe.Exec(ctx)
	var errs []error
	for i, cmd := range cmds {
		if err := cmd.Err(); isKeyRefusal(err) {
			errs = append(errs, fmt.Errorf("remote: key %.128q: %w: ACL SETUSER %s ~%s*", keys[i], err, s.user(), s.prefix))
		}
	}
	return errors.Join(errs...)
}

// isKeyRefusal reports whether a user has the command and not the key.
func isKeyRefusal(err error) bool {
	return ReasonOf(err) == NoPerm && strings.Contains(err.Error(), " key")
}

// refusal is err where it says that a call is not carried out, here and now; nil for what a call of a scratch key may answer.
func (s *Store) refusal(err error) error {
	switch reason := ReasonOf(err); {
	case reason == Other && isAnswer(err):
		return nil
	case reason == "":
		return nil
	}
	return err
}

// isAnswer reports whether a command was carried out, or would have been: its user has the right.
func isAnswer(err error) bool {
	if errors.Is(err, redis.Nil) {
		return true
	}
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

func (s *Store) user() string { return userOf(s.client) }

func userOf(client redis.UniversalClient) (user string) {
	switch c := client.(type) {
	case *redis.Client:
		user = c.Options().Username
	case *redis.ClusterClient:
		user = c.Options().Username
	}
	if user == "" {
		user = "default"
	}
	return user
}

var remedies = map[Reason]string{
	OOM:        "; Redis is full: raise maxmemory, or set an allkeys- eviction policy",
	Misconf:    "; Redis can't persist: look at its log and disk",
	ReadOnly:   "; this is a replica: let Config.Redis lead to the master",
	NoReplicas: "; fewer replicas than min-replicas-to-write are in touch: bring them back",
	Auth:       "; give the client the user and password that Redis knows",
	Timeout:    "; is the server frozen, or far away?",
	Refused:    "; does it run, and is this its address?",
}

func advice(reason Reason) string { return remedies[reason] }

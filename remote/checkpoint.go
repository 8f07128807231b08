package remote

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-cache/tandem/internal/script"
)

// Checkpoint returns the position up to which the changes of feed are applied, or "", and the identity of the server that holds
// it: another after a restart or a promotion, which may have lost the last writes.
func (s *Store) Checkpoint(ctx context.Context, feed string) (position, server string, err error) {
	reply, err := checkpointScript.Run(ctx, s.client, []string{s.feedKey(feed)}).StringSlice()
	if err == nil && reply[1] == unknownServer {
		reply, err = s.witness(ctx, feed)
	}
	if err != nil {
		return "", "", fmt.Errorf("remote: checkpoint of %.128q: %w", feed, err)
	}
	return reply[0], reply[1], nil
}

// Forget removes the checkpoint of feed.
func (s *Store) Forget(ctx context.Context, feed string) error {
	if err := s.client.Del(ctx, s.feedKey(feed)).Err(); err != nil {
		return fmt.Errorf("remote: forget the checkpoint of %q: %w", feed, err)
	}
	return nil
}

// Advance moves the checkpoint of feed from one position to another. It is false when the checkpoint stands elsewhere, or when
// server is not the one that answers.
//
// A checkpoint is written last, and replication and logs keep prefixes: a server that has it has what was written before it. One
// that took over in the middle of a batch has the checkpoint from before the batch and perhaps not its deletes:
//
//	1 follower: reads the checkpoint, 7; deletes for the changes up to 8
//	2 failover: the new master has the checkpoint 7, and not the deletes
//	3 follower: 7 to 8, and the deletes are lost for good
func (s *Store) Advance(ctx context.Context, feed, server, from, to string) (bool, error) {
	if token, ok := strings.CutPrefix(server, witnessed); ok {
		n, err := witnessScript(token).EvalSha(ctx, s.client, s.witnessKeys(feed), "move", from, to).Int()
		if script.IsUnknown(err) {
			return false, nil
		}
		return n == 1, wrapAdvance(feed, err)
	}
	n, err := advanceScript.Run(ctx, s.client, []string{s.feedKey(feed)}, server, from, to).Int()
	return n == 1, wrapAdvance(feed, err)
}

func wrapAdvance(feed string, err error) error {
	if err != nil {
		return fmt.Errorf("remote: advance %.128q: %w", feed, err)
	}
	return nil
}

const (
	unknownServer = "?"       // checkpoint.lua's answer to a user who may not run INFO
	witnessed     = "script:" // begins an identity that is the token of a script
)

// witness reads the checkpoint of feed where the server does not tell this user who it is. The identity is then the token of a script that
// this Store has run there: a server that knows the script is the one where it was run, and has been running since. It may have taken another's
// data meanwhile:
//
//	1 we: read the checkpoint, 7, on the master A; delete for the changes up to 8
//	2 failover: B has the checkpoint 7, and not the deletes; A synchronises with B
//	3 failover back to A, which still knows the script
//	4 we: 7 to 8, and the deletes are lost for good
//
// So the script also asks for a string that it made, and that no server has in the same form after it has loaded data.
//
// A token is never sent twice, not even by the client's own retry:
//
//	1 we: send the script to a master, which runs it; the answer gets lost
//	2 failover
//	3 the client: sends the same text to the new master, and both know it
func (s *Store) witness(ctx context.Context, feed string) ([]string, error) {
	keys := s.witnessKeys(feed)
	if token, ok := s.tokens.Load(feed); ok {
		reply, err := witnessScript(token.(string)).EvalSha(ctx, s.client, keys, "read").StringSlice()
		if !script.IsUnknown(err) {
			return identified(reply, err)
		}
	}
	cmd := redis.NewCmd(ctx, "eval", newWitness{}, len(keys), keys[0], keys[1], "new")
	_ = s.client.Process(ctx, cmd) // its error is cmd's
	reply, err := cmd.StringSlice()
	if script.IsForeign(err) {
		return nil, fmt.Errorf("this user may not run INFO, and before 7.0 Redis has no other way to tell that it forgot: grant +info (%w)", err)
	}
	if err == nil {
		s.tokens.Store(feed, reply[0])
	}
	return identified(reply, err)
}

// identified turns the script's answer, token and position, into position and identity.
func identified(reply []string, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	return []string{reply[1], witnessed + reply[0]}, nil
}

func (s *Store) witnessKeys(feed string) []string {
	return []string{s.feedKey(feed), s.witnessKey(feed)}
}

// witnessText is a script for a Redis that may be full: what it writes is bounded.
func witnessText(token string) string {
	return script.AllowOOM + "local token = '" + token + "'\n" + moveLua + witnessLua
}

func witnessScript(token string) *redis.Script { return redis.NewScript(witnessText(token)) }

// newWitness is the text of a witness with a new token each time that it is sent.
type newWitness struct{}

// MarshalBinary is called by go-redis for each attempt to send a command.
func (newWitness) MarshalBinary() ([]byte, error) { return []byte(witnessText(rand.Text())), nil }

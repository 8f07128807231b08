package remote

import (
	"context"
	"fmt"
)

// Checkpoint returns the position up to which the changes of feed are applied, or "", and the identity of the server that holds
// it: another after a restart or a promotion, which may have lost the last writes.
func (s *Store) Checkpoint(ctx context.Context, feed string) (position, server string, err error) {
	reply, err := checkpointScript.Run(ctx, s.client, []string{s.feedKey(feed)}).StringSlice()
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
	n, err := advanceScript.Run(ctx, s.client, []string{s.feedKey(feed)}, server, from, to).Int()
	if err != nil {
		return false, fmt.Errorf("remote: advance %.128q: %w", feed, err)
	}
	return n == 1, nil
}

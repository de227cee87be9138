package cache

import (
	"context"
	"log/slog"
	"sync"

	"rgwfs/s3backend"
)

// abandonedStore is a Store that remembers uploads which could not be aborted,
// most often since the server was away, and aborts them once it answers again.
// Their parts would use space, and quota, until a lifecycle rule removes them.
type abandonedStore struct {
	s3backend.Store
	log *slog.Logger

	mu   sync.Mutex
	left map[string]string // key by upload id; guarded by mu
}

func (s *abandonedStore) AbortMultipart(ctx context.Context, key, uploadID string) error {
	err := s.Store.AbortMultipart(ctx, key, uploadID)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.left[uploadID] = key
		s.log.Warn("an unfinished upload could not be aborted; it is tried again later", "bucket", s.Name(), "key", key, "error", err)
	} else {
		delete(s.left, uploadID)
	}
	return err
}

// Put, like CompleteMultipart, shows that the server takes writes again.
func (s *abandonedStore) Put(ctx context.Context, req s3backend.PutRequest) (s3backend.Object, error) {
	obj, err := s.Store.Put(ctx, req)
	if err == nil {
		s.retry(ctx)
	}
	return obj, err
}

func (s *abandonedStore) CompleteMultipart(ctx context.Context, req s3backend.CompleteMultipartRequest) (s3backend.Object, error) {
	obj, err := s.Store.CompleteMultipart(ctx, req)
	if err == nil {
		s.retry(ctx)
	}
	return obj, err
}

// retry aborts what is left, until one fails.
func (s *abandonedStore) retry(ctx context.Context) {
	s.mu.Lock()
	left := s.left
	if len(left) == 0 {
		s.mu.Unlock()
		return // the map stays the others'
	}
	s.left = make(map[string]string)
	s.mu.Unlock()
	failed := false
	for id, key := range left {
		if !failed {
			if err := s.Store.AbortMultipart(ctx, key, id); err == nil {
				continue
			}
			failed = true
		}
		s.mu.Lock()
		s.left[id] = key
		s.mu.Unlock()
	}
}

// close tries once more and logs what stays behind.
func (s *abandonedStore) close(ctx context.Context) {
	s.retry(ctx)
	for id, key := range s.left {
		s.log.Warn("an unfinished upload stays behind: its parts use space until it is aborted, or a lifecycle rule does it",
			"bucket", s.Name(), "key", key, "upload", id)
	}
}

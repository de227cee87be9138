package s3test

import (
	"context"
	"slices"
	"strings"
	"sync"

	"rgwfs/s3backend"
)

// MemService is a server of Mem buckets.
type MemService struct {
	recorder recorder

	mu      sync.Mutex
	buckets map[string]*Mem // guarded by mu
}

var _ s3backend.Service = (*MemService)(nil)

// NewMemService returns a server with the buckets named.
func NewMemService(buckets ...string) *MemService {
	s := &MemService{buckets: map[string]*Mem{}}
	for _, name := range buckets {
		s.Create(name)
	}
	return s
}

// Create returns the bucket of that name, which it makes if need be. Copies
// work between the buckets of one MemService.
func (s *MemService) Create(name string) *Mem {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.buckets[name]
	if m == nil {
		m = NewMem(name)
		m.peers = s.find
		s.buckets[name] = m
	}
	return m
}

// Remove takes a bucket away with all it holds.
func (s *MemService) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.buckets, name)
}

func (s *MemService) find(name string) *Mem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buckets[name]
}

// Requests returns how many ListBuckets were made; those to a bucket are
// counted by its Mem.
func (s *MemService) Requests() map[string]int { return s.recorder.counts() }

// ListBuckets implements s3backend.Service.
func (s *MemService) ListBuckets(ctx context.Context) ([]s3backend.BucketInfo, error) {
	s.recorder.add(OpListBuckets, "")
	if ctx.Err() != nil {
		return nil, &s3backend.Error{Kind: s3backend.KindCancelled, Op: OpListBuckets, Err: context.Cause(ctx)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	infos := make([]s3backend.BucketInfo, 0, len(s.buckets))
	for _, m := range s.buckets {
		infos = append(infos, s3backend.BucketInfo{Name: m.name, Created: m.created})
	}
	slices.SortFunc(infos, func(a, b s3backend.BucketInfo) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// CreateBucket implements s3backend.Service.
func (s *MemService) CreateBucket(_ context.Context, req s3backend.NewBucket) error {
	s.recorder.add(OpCreateBucket, "")
	if s.find(req.Name) != nil {
		return &s3backend.Error{Kind: s3backend.KindExist, Op: OpCreateBucket, Bucket: req.Name, Status: 409, Code: "BucketAlreadyExists"}
	}
	s.Create(req.Name)
	return nil
}

// DeleteBucket implements s3backend.Service.
func (s *MemService) DeleteBucket(ctx context.Context, name string) error {
	s.recorder.add(OpDeleteBucket, "")
	m := s.find(name)
	if m == nil {
		return &s3backend.Error{Kind: s3backend.KindNotExist, Op: OpDeleteBucket, Bucket: name, Status: 404, Code: "NoSuchBucket"}
	}
	page, err := m.List(ctx, s3backend.ListRequest{MaxKeys: 1})
	if err != nil {
		return err
	}
	if len(page.Objects) > 0 {
		return &s3backend.Error{Kind: s3backend.KindNotEmpty, Op: OpDeleteBucket, Bucket: name, Status: 409, Code: "BucketNotEmpty"}
	}
	s.Remove(name)
	return nil
}

// Bucket implements s3backend.Service. On a bucket that is absent now every
// call of the Store fails with KindNotExist.
func (s *MemService) Bucket(name string) s3backend.Store {
	if m := s.find(name); m != nil {
		return m
	}
	return Fault(NewMem(name), Rule{Do: []Effect{
		FailWith(s3backend.Error{Kind: s3backend.KindNotExist, Status: 404, Code: "NoSuchBucket"}),
	}})
}

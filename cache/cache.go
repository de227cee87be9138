package cache

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	"rgwfs/s3backend"
)

// Cache is what all buckets of a mount share: the memory budget, the limits on
// parallel requests, the staging directory.
type Cache struct {
	cfg     Config
	mem     *memory
	uploads *semaphore.Weighted
	fetches *semaphore.Weighted
	now     func() time.Time

	maxCopy  int64 // bytes that one CopyObject takes; tests lower it
	copyPart int64 // first part size in bytes of a larger copy; tests lower it
}

// metadataShare is which part of the memory limit remembered names may take.
// Their bytes are on the Go heap, which needs about as much again as it holds.
const metadataShare = 8

// New returns a Cache. It makes no request and touches no disk.
func New(cfg Config) (*Cache, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Cache{
		cfg:     cfg,
		mem:     newMemory(cfg.MemoryLimit - 2*(cfg.MemoryLimit/metadataShare)),
		uploads: semaphore.NewWeighted(int64(cfg.Uploads)),
		fetches: semaphore.NewWeighted(int64(cfg.Fetches)),
		now:     time.Now,

		maxCopy:  s3backend.MaxCopySize,
		copyPart: copyPartSize,
	}, nil
}

// Bucket returns the face of a bucket.
func (c *Cache) Bucket(store s3backend.Store) *Bucket {
	left := &abandonedStore{Store: store, log: c.cfg.Logger, left: make(map[string]string)}
	b := &Bucket{c: c, store: left, abandoned: left, files: make(map[string]*File), dirty: make(map[*File]struct{}), orphans: make(map[string][]*File)}
	b.extra, _ = store.(s3backend.Extras)
	b.tree.init()
	b.meta = newMeta(store, metaConfig{MetadataTTL: c.cfg.MetadataTTL, NegativeTTL: c.cfg.NegativeTTL,
		MaxBytes: c.cfg.MemoryLimit / metadataShare, Now: c.now, Logger: c.cfg.Logger}, b)
	return b
}

// Close frees the memory. Every Bucket is closed before.
func (c *Cache) Close() error {
	c.mem.close()
	return nil
}

// newCursor returns what watches the reads of one handle.
func (c *Cache) newCursor() *cursor { return &cursor{limit: min(maxWindow, c.mem.limit[forReads]/4)} }

// NegativeTTL returns for how long the absence of a name may be believed.
func (c *Cache) NegativeTTL() time.Duration { return c.cfg.NegativeTTL }

// lister is what Account needs of a Service.
type lister interface {
	ListBuckets(ctx context.Context) ([]s3backend.BucketInfo, error)
	Bucket(name string) s3backend.Store
	CreateBucket(ctx context.Context, req s3backend.NewBucket) error
	DeleteBucket(ctx context.Context, name string) error
}

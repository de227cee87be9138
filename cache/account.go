package cache

import (
	"context"
	"errors"
	"sync"
	"time"

	"rgwfs/s3backend"
)

// Account is all the buckets of a user.
type Account struct {
	c   *Cache
	svc lister

	listMu  sync.Mutex // held across a ListBuckets, so that one serves all who ask
	known   []s3backend.BucketInfo
	expires time.Time

	mu      sync.Mutex
	buckets map[string]*Bucket // guarded by mu
}

// Account returns the face of all of a user's buckets.
func (c *Cache) Account(svc s3backend.Service) *Account {
	return &Account{c: c, svc: svc, buckets: make(map[string]*Bucket)}
}

// Buckets returns the user's buckets, remembered for the metadata TTL.
func (a *Account) Buckets(ctx context.Context) ([]s3backend.BucketInfo, error) {
	a.listMu.Lock()
	defer a.listMu.Unlock()
	if a.c.now().Before(a.expires) {
		return a.known, nil
	}
	began := a.c.now()
	known, err := a.svc.ListBuckets(ctx)
	if err != nil {
		return nil, err
	}
	a.known, a.expires = known, began.Add(a.c.cfg.MetadataTTL)
	return known, nil
}

// Bucket returns one of the user's buckets, always the same for a name. A
// bucket of somebody else is none of them, though the user may read it:
// KindNotExist.
func (a *Account) Bucket(ctx context.Context, name string) (*Bucket, error) {
	infos, err := a.Buckets(ctx)
	if err != nil {
		return nil, err
	}
	for _, i := range infos {
		if i.Name == name {
			return a.bucket(name), nil
		}
	}
	return nil, keyError(s3backend.KindNotExist, "lookup", name, "")
}

func (a *Account) bucket(name string) *Bucket {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.buckets[name]
	if b == nil {
		b = a.c.Bucket(a.svc.Bucket(name))
		a.buckets[name] = b
	}
	return b
}

func (a *Account) all() []*Bucket {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]*Bucket, 0, len(a.buckets))
	for _, b := range a.buckets {
		out = append(out, b)
	}
	return out
}

// Sync commits everything dirty in every bucket.
func (a *Account) Sync(ctx context.Context) error {
	var errs []error
	for _, b := range a.all() {
		errs = append(errs, b.Sync(ctx))
	}
	return errors.Join(errs...)
}

// Close closes every bucket; the error is what could not be committed.
func (a *Account) Close() error {
	var errs []error
	for _, b := range a.all() {
		errs = append(errs, b.Close())
	}
	return errors.Join(errs...)
}

package cache

import (
	"context"
	"slices"
	"time"

	"rgwfs/s3backend"
)

// CreateBucket makes a bucket of the user's. KindExist if there is one.
func (a *Account) CreateBucket(ctx context.Context, req s3backend.NewBucket) error {
	const op = "mkdir"
	if a.c.cfg.ReadOnly {
		return keyError(s3backend.KindReadOnly, op, req.Name, "")
	}
	// On RGW making one's own bucket again is no error: only the list tells,
	// as it is now.
	a.expire()
	if _, err := a.Bucket(ctx, req.Name); !s3backend.IsNotExist(err) {
		if err == nil {
			err = keyError(s3backend.KindExist, op, req.Name, "")
		}
		return err
	}
	ctx = context.WithoutCancel(ctx)
	a.listMu.Lock()
	defer a.listMu.Unlock()
	if err := a.svc.CreateBucket(ctx, req); err != nil {
		return err
	}
	a.known = append(slices.Clip(a.known), s3backend.BucketInfo{Name: req.Name, Created: a.c.now()})
	return nil
}

// expire makes the next question ask for the list.
func (a *Account) expire() {
	a.listMu.Lock()
	defer a.listMu.Unlock()
	a.expires = time.Time{}
}

// RemoveBucket removes an empty bucket. KindNotEmpty if it has objects, or
// files that are not on the server yet.
func (a *Account) RemoveBucket(ctx context.Context, name string) error {
	const op = "rmdir"
	if a.c.cfg.ReadOnly {
		return keyError(s3backend.KindReadOnly, op, name, "")
	}
	b, err := a.Bucket(ctx, name)
	if err != nil {
		return err
	}
	if len(b.Unsaved()) > 0 {
		return keyError(s3backend.KindNotEmpty, op, name, "")
	}
	ctx = context.WithoutCancel(ctx)
	if err := b.dropOrphans(ctx, ""); err != nil {
		return err
	}
	a.listMu.Lock()
	defer a.listMu.Unlock()
	if err := a.svc.DeleteBucket(ctx, name); err != nil {
		return err
	}
	a.known = slices.DeleteFunc(slices.Clone(a.known), func(i s3backend.BucketInfo) bool { return i.Name == name })
	a.mu.Lock()
	delete(a.buckets, name)
	a.mu.Unlock()
	// What is remembered of it must not be believed of one of that name that
	// is made later.
	return b.Close()
}

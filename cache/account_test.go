package cache

import (
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

func newAccount(t *testing.T, svc s3backend.Service, change func(*Config)) *Account {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Dir, cfg.MemoryLimit, cfg.MetadataTTL = t.TempDir(), MinMemoryLimit, time.Hour
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Account(svc)
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func kindOf(err error) string {
	if err == nil {
		return "nil"
	}
	return s3backend.KindOf(err).String()
}

func TestMakeAndRemoveBuckets(t *testing.T) {
	svc := s3test.NewMemService("old")
	a := newAccount(t, svc, nil)
	ctx := t.Context()
	if _, err := a.Buckets(ctx); err != nil {
		t.Fatal(err)
	}
	// Made by another client since the list was read.
	svc.Create("theirs")
	for name, want := range map[string]s3backend.Kind{"old": s3backend.KindExist, "theirs": s3backend.KindExist} {
		if err := a.CreateBucket(ctx, s3backend.NewBucket{Name: name}); kindOf(err) != want.String() {
			t.Errorf("making %s again: %v", name, err)
		}
	}
	if err := a.CreateBucket(ctx, s3backend.NewBucket{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	first, err := a.Bucket(ctx, "new")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.store.Put(ctx, s3backend.PutRequest{Key: "k", Body: strings.NewReader(""), Size: 0}); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveBucket(ctx, "new"); kindOf(err) != s3backend.KindNotEmpty.String() {
		t.Errorf("removing a bucket with an object: %v", err)
	}
	if err := first.store.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveBucket(ctx, "new"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Bucket(ctx, "new"); !s3backend.IsNotExist(err) {
		t.Errorf("a removed bucket: %v", err)
	}
	if err := a.RemoveBucket(ctx, "new"); !s3backend.IsNotExist(err) {
		t.Errorf("removed twice: %v", err)
	}
	if err := a.CreateBucket(ctx, s3backend.NewBucket{Name: "new"}); err != nil {
		t.Fatal(err)
	}
	if second, err := a.Bucket(ctx, "new"); err != nil || second == first {
		t.Errorf("what was remembered of the old bucket is believed of the new one: %v", err)
	}
}

func TestReadOnlyAccount(t *testing.T) {
	a := newAccount(t, s3test.NewMemService("old"), func(c *Config) { c.ReadOnly = true })
	if err := a.CreateBucket(t.Context(), s3backend.NewBucket{Name: "new"}); kindOf(err) != s3backend.KindReadOnly.String() {
		t.Error(err)
	}
	if err := a.RemoveBucket(t.Context(), "old"); kindOf(err) != s3backend.KindReadOnly.String() {
		t.Error(err)
	}
}

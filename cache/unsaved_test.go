package cache

import (
	"slices"
	"testing"

	"rgwfs/s3backend/s3test"
)

func TestUnsaved(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Dir = t.TempDir()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Account(s3test.NewMemService("data"))
	b, err := a.Bucket(t.Context(), "data")
	if err != nil {
		t.Fatal(err)
	}
	var handles []*Handle
	for _, name := range []string{"b", "a", "gone"} {
		h, err := b.Create(t.Context(), "", name, nil, OpenFlags{Write: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.WriteAt(t.Context(), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		handles = append(handles, h)
	}
	if err := b.Unlink(t.Context(), "", "gone"); err != nil {
		t.Fatal(err)
	}
	if got := b.Unsaved(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Unsaved() = %q", got)
	}
	if got := a.Unsaved(); !slices.Equal(got, []string{"data/a", "data/b"}) {
		t.Errorf("of the account: %q", got)
	}
	if err := a.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := a.Unsaved(); len(got) != 0 {
		t.Errorf("after Sync: %q", got)
	}
	for _, h := range handles {
		h.Release()
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

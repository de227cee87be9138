package s3backend_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"rgwfs/s3backend"
	"rgwfs/s3backend/s3test"
)

// A bucket that changes after a moment, seen as of that moment.
func TestRGWAsOf(t *testing.T) {
	rgw := s3test.RGW(t)
	c := rgwClient(t, rgw, false, nil)
	bucket := rgw.NewBucket()
	if err := c.SetVersioning(t.Context(), bucket, true); err != nil {
		t.Fatal(err)
	}
	store := c.Bucket(bucket)
	remove := func(key string) {
		t.Helper()
		if err := store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	put(t, store, "replaced", "old")
	put(t, store, "replaced", "then") // the one of that time is not the oldest
	put(t, store, "removed", "x")
	put(t, store, "removed before", "x")
	remove("removed before")
	put(t, store, "dir/a", "x")
	put(t, store, "gone dir/a", "x")
	remove("gone dir/a")
	// Whole seconds, which is all that some releases keep.
	time.Sleep(1100 * time.Millisecond)
	when := time.Now()
	time.Sleep(1100 * time.Millisecond)
	// More versions since than a page has.
	for i := range 5 {
		put(t, store, "replaced", fmt.Sprint("new", i))
	}
	remove("removed")
	put(t, store, "later", "x")
	put(t, store, "later dir/x", "x")
	put(t, store, "removed before", "again")
	remove("dir/a")

	past := c.AsOf(when).Bucket(bucket)
	list := func(delimiter string, most int) (names []string) {
		t.Helper()
		for after := ""; ; {
			page, err := past.List(t.Context(), s3backend.ListRequest{Delimiter: delimiter, MaxKeys: most, StartAfter: after})
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, page.Prefixes...)
			for _, o := range page.Objects {
				names = append(names, o.Key)
			}
			if after = page.Next; after == "" {
				slices.Sort(names)
				return names
			}
		}
	}
	for _, most := range []int{0, 1, 2, 3} {
		if got := list("", most); !slices.Equal(got, []string{"dir/a", "removed", "replaced"}) {
			t.Errorf("pages of %d: %q", most, got)
		}
		if got := list("/", most); !slices.Equal(got, []string{"dir/", "removed", "replaced"}) {
			t.Errorf("pages of %d: %q", most, got)
		}
	}
	// Also without a listing before.
	fresh := c.AsOf(when).Bucket(bucket)
	for _, s := range []s3backend.Store{past, fresh} {
		for _, key := range []string{"later", "removed before", "gone dir/a", "absent", "replace"} {
			_, err := s.Head(t.Context(), key)
			wantKind(t, err, s3backend.KindNotExist)
		}
		obj, body, err := s.Get(t.Context(), s3backend.GetRequest{Key: "replaced", Offset: 1, Length: 2})
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		if err != nil || string(data) != "he" || obj.Size != 4 {
			t.Errorf("%q of %+v, %v", data, obj, err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
		if o, err := s.Head(t.Context(), "removed"); err != nil || o.Size != 1 {
			t.Errorf("%+v, %v", o, err)
		}
	}

	_, err := past.Put(t.Context(), s3backend.PutRequest{Key: "k", Body: strings.NewReader(""), Size: 0})
	wantKind(t, err, s3backend.KindReadOnly)
	wantKind(t, past.Delete(t.Context(), "removed"), s3backend.KindReadOnly)
	wantKind(t, c.AsOf(when).DeleteBucket(t.Context(), bucket), s3backend.KindReadOnly)
	buckets, err := c.AsOf(when.Add(-time.Hour)).ListBuckets(t.Context())
	if err != nil || slices.ContainsFunc(buckets, func(b s3backend.BucketInfo) bool { return b.Name == bucket }) {
		t.Errorf("a bucket made later is there: %v", err)
	}
	// The present is what it is.
	if o, err := store.Head(t.Context(), "replaced"); err != nil || o.Size != 4 || o.ETag == "" {
		t.Errorf("%+v, %v", o, err)
	}
}

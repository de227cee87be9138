package s3test

import (
	"fmt"
	"maps"
	"time"

	"rgwfs/s3backend"
)

var copyObligations = []obligation{
	{"KeepsAttributes", testCopyKeeps},
	{"Replace", testCopyReplace},
	{"ToItself", testCopyToItself},
	{"Missing", testCopyMissing},
	{"OddKeys", testCopyOddKeys},
	{"SourceIfMatch", testCopySourceIfMatch},
	{"OtherBucket", testCopyOtherBucket},
}

var copyAttributes = s3backend.Attributes{
	Metadata:    map[string]string{"mode": "33188", "empty": ""},
	ContentType: "text/x-source",
}

// putSource stores an object with attributes.
func (b *bench) putSource(store s3backend.Store, key string, data []byte) s3backend.Object {
	b.Helper()
	req := putOf(key, data)
	req.Attributes = copyAttributes
	o, err := store.Put(b.ctx, req)
	b.ok(err)
	return o
}

// carries reports a key that has other attributes.
func (b *bench) carries(key string, a s3backend.Attributes) {
	b.Helper()
	head, err := b.store.Head(b.ctx, key)
	b.ok(err)
	if !maps.Equal(head.Metadata, a.Metadata) || head.ContentType != a.ContentType {
		b.Errorf("%q carries %v, %q; want %v, %q", key, head.Metadata, head.ContentType, a.Metadata, a.ContentType)
	}
}

func testCopyKeeps(b *bench) {
	// Over 4 MiB, RGW shares all but the head of an object between copies.
	for _, size := range []int{0, 1000, 9 << 20} {
		src, dst := b.key(fmt.Sprint("src", size)), b.key(fmt.Sprint("dst", size))
		data := random(size)
		b.putSource(b.store, src, data)
		o, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: dst, SourceKey: src})
		b.ok(err)
		head, err := b.store.Head(b.ctx, dst)
		b.ok(err)
		want := md5Hex(data)
		if b.opts.copiesHaveOwnETags {
			want = head.ETag
		}
		if o.Key != dst || o.ETag != want || head.ETag != want {
			b.Errorf("Copy = %+v, Head has ETag %s, want key %q, ETag %s", o, head.ETag, dst, want)
		}
		if d := head.LastModified.Sub(o.LastModified).Abs(); d > 2*time.Second { // of which one is HEAD's rounding
			b.Errorf("Copy says LastModified %v, Head %v", o.LastModified, head.LastModified)
		}
		b.carries(dst, copyAttributes)
		b.ok(b.store.Delete(b.ctx, src))
		b.holds(dst, data)
	}
}

func testCopyReplace(b *bench) {
	src, dst := b.key("src"), b.key("dst")
	b.putSource(b.store, src, []byte("data"))
	b.put(dst, []byte("what was there before"))
	fresh := s3backend.Attributes{Metadata: map[string]string{"mtime": "5.000000001"}, ContentType: "text/x-new"}
	_, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: dst, SourceKey: src, Replace: &fresh})
	b.ok(err)
	b.carries(dst, fresh)
	b.carries(src, copyAttributes)
	b.holds(dst, []byte("data"))
}

func testCopyToItself(b *bench) {
	key, data := b.key("k"), random(5<<20)
	put := b.putSource(b.store, key, data)
	_, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: key, SourceKey: key})
	b.kind(err, s3backend.KindInvalid, "Copy to itself without Replace")
	for i := range 3 {
		fresh := s3backend.Attributes{Metadata: map[string]string{"round": fmt.Sprint(i)}, ContentType: "text/x-new"}
		o, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: key, SourceKey: key, Replace: &fresh})
		b.ok(err)
		if o.ETag != put.ETag && !b.opts.copiesHaveOwnETags {
			b.Errorf("Copy to itself: ETag %s, want %s", o.ETag, put.ETag)
		}
		b.carries(key, fresh)
		b.holds(key, data)
	}
}

func testCopyMissing(b *bench) {
	dst := b.key("dst")
	_, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: dst, SourceKey: b.key("absent")})
	b.kind(err, s3backend.KindNotExist, "Copy of a key that is absent")
	b.absent(dst)
	_, err = b.store.Copy(b.ctx, s3backend.CopyRequest{Key: dst, SourceBucket: "s3test-no-such-bucket", SourceKey: "k"})
	b.kind(err, s3backend.KindNotExist, "Copy from a bucket that is absent")
}

func testCopyOddKeys(b *bench) {
	b.parallel(len(oddNames), func(i int) {
		src, dst := b.key("src/"+oddNames[i]), b.key("dst/"+oddNames[i])
		if _, err := b.store.Put(b.ctx, putOf(src, []byte(src))); err != nil {
			b.Error(err)
			return
		}
		if _, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: dst, SourceKey: src}); err != nil {
			b.Errorf("Copy of %q: %v", src, err)
			return
		}
		b.holds(dst, []byte(src))
	})
}

func testCopySourceIfMatch(b *bench) {
	src, dst := b.key("src"), b.key("dst")
	old := b.put(src, []byte("old"))
	_, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: dst, SourceKey: src, SourceIfMatch: old.ETag})
	b.ok(err)
	b.holds(dst, []byte("old"))
	b.put(src, []byte("new"))
	_, err = b.store.Copy(b.ctx, s3backend.CopyRequest{Key: dst, SourceKey: src, SourceIfMatch: old.ETag})
	b.kind(err, s3backend.KindChanged, "Copy with an old SourceIfMatch")
	b.holds(dst, []byte("old"))
}

func testCopyOtherBucket(b *bench) {
	if b.opts.other == nil {
		b.Skip("no other bucket was given")
	}
	other := b.opts.other(b.T)
	b.Cleanup(func() { b.clean(other) })
	src, dst, data := b.key("a b+c"), b.key("dst"), random(1000)
	b.putSource(other, src, data)
	b.absent(src)
	_, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: dst, SourceBucket: other.Name(), SourceKey: src})
	b.ok(err)
	b.holds(dst, data)
	b.carries(dst, copyAttributes)
	// The same key in another bucket is no copy to itself.
	if _, err := b.store.Copy(b.ctx, s3backend.CopyRequest{Key: src, SourceBucket: other.Name(), SourceKey: src}); err != nil {
		b.Errorf("Copy to the same key of another bucket: %v", err)
	}
	b.holds(src, data)
	id := b.begin("multi", s3backend.Attributes{})
	part, err := b.store.CopyPart(b.ctx, s3backend.CopyPartRequest{
		Key: b.key("multi"), UploadID: id, Number: 1,
		SourceBucket: other.Name(), SourceKey: src, Offset: 10, Length: 500,
	})
	b.ok(err)
	b.complete("multi", id, part)
	b.holds(b.key("multi"), data[10:510])
}

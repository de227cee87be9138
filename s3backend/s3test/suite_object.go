package s3test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"rgwfs/s3backend"
)

var objectObligations = []obligation{
	{"PutHeadGet", testPutHeadGet},
	{"NotExist", testNotExist},
	{"OddKeys", testOddKeys},
	{"BadKeys", testBadKeys},
	{"Ranges", testRanges},
	{"Metadata", testMetadata},
	{"BodyPosition", testBodyPosition},
	{"Overwrite", testOverwrite},
	{"Concurrency", testConcurrency},
	{"Usage", testUsage},
}

// oddNames are names that clients, proxies and encoders like to change.
var oddNames = []string{
	"a//b", "//", "/", "trailing/", "../x", "./x", "x/..", "x/.", ".", "..",
	"%2F", "%", "%%", "%zz", "+", "a+b", "a b", " ", " lead", "tail ", "\x01", "\x1f", "\x7f", "\t", "\n", "a\rb",
	"é", "e\u0301", "日本", "🐟", "\ufeff", "\u2028", "\ufffd", "?", "a?b=c", "#", "&amp;", "<>&\"'", "*", "\\", "a\\b", ":", ";", "=", "@", "$", ",",
	"~", "`", "|", "^", "{}", "[]", "(1)", "null", "None", "-", "--",
}

func testPutHeadGet(b *bench) {
	for _, size := range []int{0, 1, 4096, 1<<20 + 1} {
		key, data := b.key(fmt.Sprintf("size-%d", size)), random(size)
		before := time.Now()
		put := b.put(key, data)
		if put.Key != key || put.Size != int64(size) || put.ETag != md5Hex(data) || put.Metadata == nil {
			b.Errorf("Put = %+v, want key %q, %d bytes, ETag %s, known Metadata", put, key, size, md5Hex(data))
		}
		head, err := b.store.Head(b.ctx, key)
		b.ok(err)
		got := b.holds(key, data)
		for what, o := range map[string]s3backend.Object{"Head": head, "Get": got} {
			if o.Key != key || o.Size != int64(size) || o.ETag != md5Hex(data) {
				b.Errorf("%s = %+v, want key %q, %d bytes, ETag %s", what, o, key, size, md5Hex(data))
			}
			if o.Metadata == nil {
				b.Errorf("%s: Metadata is unknown", what)
			}
			if d := o.LastModified.Sub(before).Abs(); d > 10*time.Minute {
				b.Errorf("%s: LastModified %v is %v away from now", what, o.LastModified, d)
			}
		}
		if !head.LastModified.Equal(got.LastModified) {
			b.Errorf("LastModified: Head says %v, Get says %v", head.LastModified, got.LastModified)
		}
		if put.LastModified.IsZero() {
			b.Error("Put: no LastModified")
		}
	}
}

func testNotExist(b *bench) {
	key := b.key("absent")
	b.absent(key)
	_, _, err := b.store.Get(b.ctx, s3backend.GetRequest{Key: key, Length: -1})
	b.kind(err, s3backend.KindNotExist, "Get")
	_, _, err = b.store.Get(b.ctx, s3backend.GetRequest{Key: key, Offset: 7, Length: 5})
	b.kind(err, s3backend.KindNotExist, "Get of a range")
	b.put(b.key("dir/file"), nil)
	b.absent(b.key("dir"))
	b.absent(b.key("dir/"))
}

func testOddKeys(b *bench) {
	keys := make([]string, 0, len(oddNames)+1)
	for _, n := range oddNames {
		keys = append(keys, b.key(n))
	}
	keys = append(keys, b.key(strings.Repeat("é", (s3backend.MaxKeyLength-len(b.prefix))/2)))
	// What comes first in a key is special to URL cleaners.
	var bare []string
	for _, start := range []string{"/", "//", "../", "./", "..", ".", " ", "%2F", "+"} {
		bare = append(bare, start+rand.Text())
	}
	all := slices.Concat(keys, bare)
	b.Cleanup(func() {
		b.ctx = cleanupContext(b.T)
		b.remove(b.ctx, b.store, bare)
	})
	b.parallel(len(all), func(i int) {
		if _, err := b.store.Put(b.ctx, putOf(all[i], []byte(all[i]))); err != nil {
			b.Errorf("Put %q: %v", all[i], err)
		}
	})
	for _, key := range all {
		if o := b.holds(key, []byte(key)); o.Key != key {
			b.Errorf("Get %q: says its Key is %q", key, o.Key)
		}
		if o, err := b.store.Head(b.ctx, key); err != nil || o.ETag != md5Hex([]byte(key)) {
			b.Errorf("Head %q = %+v, %v", key, o, err)
		}
	}
	page, err := b.store.List(b.ctx, s3backend.ListRequest{Prefix: b.prefix})
	b.ok(err)
	slices.Sort(keys)
	b.sameStrings("listing of all", b.names(keysOf(page.Objects)), b.names(keys))
	for _, key := range bare {
		page, err := b.store.List(b.ctx, s3backend.ListRequest{Prefix: key})
		b.ok(err)
		b.sameStrings("listing of one", keysOf(page.Objects), []string{key})
	}
	for _, key := range keys {
		if err := b.store.Delete(b.ctx, key); err != nil {
			b.Errorf("Delete %q: %v", key, err)
		}
	}
	page, err = b.store.List(b.ctx, s3backend.ListRequest{Prefix: b.prefix})
	b.ok(err)
	b.sameStrings("listing after Delete", b.names(keysOf(page.Objects)), nil)
}

func testBadKeys(b *bench) {
	for _, c := range []struct {
		name, key string
		kind      s3backend.Kind
	}{
		{"empty", "", s3backend.KindInvalidName},
		{"NUL", b.key("a\x00b"), s3backend.KindInvalidName},
		{"not UTF-8", b.key("a\xff"), s3backend.KindInvalidName},
		{"a surrogate", b.key("a\xed\xa0\x80"), s3backend.KindInvalidName},
		{"too long", b.prefix + strings.Repeat("x", s3backend.MaxKeyLength+1-len(b.prefix)), s3backend.KindNameTooLong},
		{"too long in bytes", b.prefix + strings.Repeat("é", s3backend.MaxKeyLength/2), s3backend.KindNameTooLong},
	} {
		_, err := b.store.Put(b.ctx, putOf(c.key, []byte("x")))
		b.kind(err, c.kind, "Put of a key that is "+c.name)
		_, err = b.store.CreateMultipart(b.ctx, s3backend.CreateMultipartRequest{Key: c.key})
		b.kind(err, c.kind, "CreateMultipart of a key that is "+c.name)
	}
	longest := b.prefix + strings.Repeat("x", s3backend.MaxKeyLength-len(b.prefix))
	b.put(longest, []byte("x"))
	b.holds(longest, []byte("x"))
}

func testRanges(b *bench) {
	const size = 100_000
	key, data := b.key("k"), random(size)
	etag := b.put(key, data).ETag
	empty := b.key("empty")
	b.put(empty, nil)
	for _, c := range []struct {
		key            string
		offset, length int64
		want           []byte
	}{
		{key, 0, -1, data},
		{key, 0, size, data},
		{key, 0, size + 1, data},
		{key, 0, 1, data[:1]},
		{key, 0, 0, nil},
		{key, 5, 0, nil},
		{key, 1, -1, data[1:]},
		{key, 4095, 8193, data[4095 : 4095+8193]},
		{key, size - 1, 1, data[size-1:]},
		{key, size - 1, -1, data[size-1:]},
		{key, size - 10, 100, data[size-10:]},
		{key, size, 1, nil},
		{key, size, -1, nil},
		{key, size + 1, 10, nil},
		{key, 1 << 40, -1, nil},
		{empty, 0, -1, nil},
		{empty, 0, 0, nil},
		{empty, 0, 10, nil},
		{empty, 10, -1, nil},
	} {
		what := fmt.Sprintf("Get %s from %d, length %d", strings.TrimPrefix(c.key, b.prefix), c.offset, c.length)
		o, got, err := b.read(s3backend.GetRequest{Key: c.key, Offset: c.offset, Length: c.length})
		if err != nil {
			b.Errorf("%s: %v", what, err)
			continue
		}
		if !bytes.Equal(got, c.want) {
			b.Errorf("%s: %s, want %s", what, brief(got), brief(c.want))
		}
		if c.key == key && (o.Size != size || o.ETag != etag) || c.key == empty && o.Size != 0 {
			b.Errorf("%s: describes %d bytes, ETag %q: want the whole object", what, o.Size, o.ETag)
		}
		if o.Metadata == nil {
			b.Errorf("%s: Metadata is unknown", what)
		}
	}
}

func testMetadata(b *bench) {
	attrs := s3backend.Attributes{
		Metadata: map[string]string{
			"uid": "1000", "mode": "33188", "mtime": "1700000000.123456789", "empty": "",
			"with-dash": "two  spaces", "percent": "%C3%A9%2F+", "long": strings.Repeat("v", 2000),
		},
		ContentType: "text/x-rgwfs; charset=utf-8",
	}
	key := b.key("k")
	req := putOf(key, []byte("data"))
	req.Attributes = attrs
	put, err := b.store.Put(b.ctx, req)
	b.ok(err)
	head, err := b.store.Head(b.ctx, key)
	b.ok(err)
	get := b.holds(key, []byte("data"))
	for what, o := range map[string]s3backend.Object{"Put": put, "Head": head, "Get": get} {
		if !maps.Equal(o.Metadata, attrs.Metadata) {
			b.Errorf("%s: Metadata %v, want %v", what, o.Metadata, attrs.Metadata)
		}
	}
	if head.ContentType != attrs.ContentType || get.ContentType != attrs.ContentType {
		b.Errorf("ContentType: Head %q, Get %q, want %q", head.ContentType, get.ContentType, attrs.ContentType)
	}
	b.put(key, []byte("data"))
	if head, err = b.store.Head(b.ctx, key); err != nil || len(head.Metadata) != 0 || head.Metadata == nil {
		b.Errorf("Head after a Put without metadata: %v, %v; want known and empty", head.Metadata, err)
	}
}

// closeCounter tells whether somebody closed it.
type closeCounter struct {
	*bytes.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

func testBodyPosition(b *bench) {
	body := &closeCounter{Reader: bytes.NewReader([]byte("0123456789"))}
	if _, err := body.Seek(4, 0); err != nil {
		b.Fatal(err)
	}
	_, err := b.store.Put(b.ctx, s3backend.PutRequest{Key: b.key("k"), Body: body, Size: 6})
	b.ok(err)
	b.holds(b.key("k"), []byte("456789"))
	if body.closed != 0 {
		b.Error("Put closed the body")
	}
}

func testOverwrite(b *bench) {
	key := b.key("k")
	for _, data := range [][]byte{[]byte("first, the longer one"), []byte("second"), nil, []byte("fourth")} {
		b.put(key, data)
		b.holds(key, data)
		page, err := b.store.List(b.ctx, s3backend.ListRequest{Prefix: key})
		b.ok(err)
		if len(page.Objects) != 1 || page.Objects[0].Size != int64(len(data)) || page.Objects[0].ETag != md5Hex(data) {
			b.Errorf("List after a Put of %q: %+v", data, page.Objects)
		}
	}
}

func testConcurrency(b *bench) {
	shared := b.key("shared")
	b.put(shared, []byte("start"))
	var mu sync.Mutex
	contents := map[string]bool{"start": true}
	b.parallel(48, func(i int) {
		own, data := b.key(fmt.Sprintf("own-%02d", i)), random(10_000+i)
		if _, err := b.store.Put(b.ctx, putOf(own, data)); err != nil {
			b.Error(err)
			return
		}
		b.holds(own, data)
		text := fmt.Sprintf("writer %d %s", i, strings.Repeat("x", i*100))
		mu.Lock()
		contents[text] = true
		mu.Unlock()
		if _, err := b.store.Put(b.ctx, putOf(shared, []byte(text))); err != nil {
			b.Error(err)
		}
		o, got, err := b.read(s3backend.GetRequest{Key: shared, Length: -1})
		mu.Lock()
		known := contents[string(got)]
		mu.Unlock()
		if err != nil || !known || o.ETag != md5Hex(got) {
			b.Errorf("Get of a key that many write: %s, ETag %s, %v: no writer's whole", brief(got), o.ETag, err)
		}
		if err := b.store.Delete(b.ctx, own); err != nil {
			b.Error(err)
		}
		b.absent(own)
	})
	page, err := b.store.List(b.ctx, s3backend.ListRequest{Prefix: b.prefix})
	b.ok(err)
	b.sameStrings("left over", b.names(keysOf(page.Objects)), []string{"shared"})
}

func testUsage(b *bench) {
	const n, size = 5, 10_000
	for i := range n {
		b.put(b.key(fmt.Sprint(i)), random(size))
	}
	u, err := b.store.Usage(b.ctx)
	b.ok(err)
	// Others may use the bucket at the same time, so these are lower bounds.
	if u.Bytes < n*size || u.Objects < n {
		b.Errorf("Usage = %d bytes, %d objects; want at least %d, %d", u.Bytes, u.Objects, n*size, n)
	}
	for what, v := range map[string]int64{
		"BucketBytes": u.BucketBytes, "BucketCount": u.BucketCount, "UserBytes": u.UserBytes,
		"UserCount": u.UserCount, "UserBytesUsed": u.UserBytesUsed, "UserCountUsed": u.UserCountUsed,
	} {
		if v < -1 {
			b.Errorf("Usage: %s is %d; want -1 for none or unknown", what, v)
		}
	}
}

package s3test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"rgwfs/s3backend"
)

// Option adapts Suite to a server.
type Option func(*options)

type options struct {
	cannot map[string]string
	other  func(t *testing.T) s3backend.Store
	// copiesHaveOwnETags: see CopiesHaveOwnETags.
	copiesHaveOwnETags bool
}

// Cannot says that the server can't pass the subtest of that name, such as
// "Copy/SourceIfMatch", and why. It is skipped with the reason; a name that
// no subtest has fails the suite.
func Cannot(subtest, reason string) Option {
	return func(o *options) { o.cannot[subtest] = reason }
}

// OtherBucket gives the suite a second bucket of the same server, for copies
// between buckets, which are skipped without it.
func OtherBucket(open func(t *testing.T) s3backend.Store) Option {
	return func(o *options) { o.other = open }
}

// CopiesHaveOwnETags says that the ETag of a copy need not be its source's.
func CopiesHaveOwnETags() Option {
	return func(o *options) { o.copiesHaveOwnETags = true }
}

// obligation is one subtest of Suite.
type obligation struct {
	name string
	run  func(*bench)
}

// Suite proves that a Store keeps its contract: each obligation in store.go is
// a subtest. open returns the Store, for which each subtest asks anew. Every
// subtest works below a random prefix of its own and removes what it made, so
// the bucket may be shared, also with another run of the suite.
func Suite(t *testing.T, open func(t *testing.T) s3backend.Store, opts ...Option) {
	o := options{cannot: map[string]string{}}
	for _, opt := range opts {
		opt(&o)
	}
	known := map[string]bool{}
	for _, group := range []struct {
		name string
		all  []obligation
	}{
		{"Object", objectObligations}, {"Condition", conditionObligations}, {"List", listObligations},
		{"Copy", copyObligations}, {"Delete", deleteObligations}, {"Multipart", multipartObligations},
		{"Context", contextObligations},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, ob := range group.all {
				name := group.name + "/" + ob.name
				known[name] = true
				t.Run(ob.name, func(t *testing.T) {
					if reason, ok := o.cannot[name]; ok {
						t.Skipf("this server can't: %s", reason)
					}
					ob.run(newBench(t, open(t), &o))
				})
			}
		})
	}
	for name := range o.cannot {
		if !known[name] {
			t.Errorf("Cannot(%q): no such subtest", name)
		}
	}
}

// bench is what a subtest works with.
type bench struct {
	*testing.T
	ctx    context.Context
	store  s3backend.Store
	prefix string // random, ends in '/'
	opts   *options
}

func newBench(t *testing.T, store s3backend.Store, o *options) *bench {
	b := &bench{T: t, ctx: t.Context(), store: store, prefix: "s3test-" + rand.Text()[:12] + "/", opts: o}
	t.Cleanup(func() { b.clean(store) })
	return b
}

// cleanupContext returns a context for a cleanup function, in which the test's
// own is done already.
func cleanupContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// clean removes all that is below the prefix.
func (b *bench) clean(store s3backend.Store) {
	ctx := cleanupContext(b.T)
	uploads, err := store.ListMultiparts(ctx, b.prefix)
	if err != nil && !s3backend.IsNotExist(err) { // gofakes3's answer where there are none
		b.Errorf("cleaning up: %v", err)
	}
	b.parallel(len(uploads), func(i int) {
		if err := store.AbortMultipart(ctx, uploads[i].Key, uploads[i].UploadID); err != nil {
			b.Errorf("cleaning up: %v", err)
		}
	})
	for {
		page, err := store.List(ctx, s3backend.ListRequest{Prefix: b.prefix})
		if err != nil {
			b.Errorf("cleaning up: %v", err)
			return
		}
		if len(page.Objects) == 0 {
			return
		}
		b.remove(ctx, store, keysOf(page.Objects))
		if b.Failed() && page.Next == "" {
			return
		}
	}
}

// remove deletes keys one by one, without relying on DeleteMany.
func (b *bench) remove(ctx context.Context, store s3backend.Store, keys []string) {
	b.parallel(len(keys), func(i int) {
		if err := store.Delete(ctx, keys[i]); err != nil {
			b.Errorf("cleaning up: %v", err)
		}
	})
}

// parallel runs do(0) to do(n-1), eight at a time.
func (b *bench) parallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, 8) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// key returns the key of that name below the prefix.
func (b *bench) key(name string) string { return b.prefix + name }

// names returns keys without the prefix.
func (b *bench) names(keys []string) []string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = strings.TrimPrefix(k, b.prefix)
	}
	return names
}

func keysOf(objects []s3backend.Object) []string {
	keys := make([]string, len(objects))
	for i, o := range objects {
		keys[i] = o.Key
	}
	return keys
}

// ok ends the subtest if err is not nil.
func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// kind reports an error that isn't an *Error of that Kind.
func (b *bench) kind(err error, want s3backend.Kind, what string) {
	b.Helper()
	var e *s3backend.Error
	switch {
	case err == nil:
		b.Errorf("%s: no error, want kind %q", what, want)
	case !errors.As(err, &e):
		b.Errorf("%s: a %T, want an *s3backend.Error: %v", what, err, err)
	case e.Kind != want:
		b.Errorf("%s: kind %q, want %q: %v", what, e.Kind, want, err)
	case e.Op == "":
		b.Errorf("%s: the error names no Op: %v", what, err)
	}
}

// put stores data or ends the subtest.
func (b *bench) put(key string, data []byte) s3backend.Object {
	b.Helper()
	o, err := b.store.Put(b.ctx, putOf(key, data))
	b.ok(err)
	return o
}

func putOf(key string, data []byte) s3backend.PutRequest {
	return s3backend.PutRequest{Key: key, Body: bytes.NewReader(data), Size: int64(len(data))}
}

// putAll stores an object of its own name under each of the names.
func (b *bench) putAll(names ...string) {
	b.Helper()
	b.parallel(len(names), func(i int) {
		if _, err := b.store.Put(b.ctx, putOf(b.key(names[i]), []byte(names[i]))); err != nil {
			b.Error(err)
		}
	})
	if b.Failed() {
		b.FailNow()
	}
}

// read returns what a Get delivers.
func (b *bench) read(req s3backend.GetRequest) (s3backend.Object, []byte, error) {
	o, body, err := b.store.Get(b.ctx, req)
	if err != nil {
		return o, nil, err
	}
	data, err := io.ReadAll(body)
	if cerr := body.Close(); err == nil {
		err = cerr
	}
	return o, data, err
}

// holds reports a key that doesn't hold data.
func (b *bench) holds(key string, data []byte) s3backend.Object {
	b.Helper()
	o, got, err := b.read(s3backend.GetRequest{Key: key, Length: -1})
	if err != nil {
		b.Errorf("Get %q: %v", key, err)
		return o
	}
	if !bytes.Equal(got, data) {
		b.Errorf("Get %q: %s, want %s", key, brief(got), brief(data))
	}
	if o.Size != int64(len(data)) {
		b.Errorf("Get %q: Size %d, want %d", key, o.Size, len(data))
	}
	return o
}

// absent reports a key that is there.
func (b *bench) absent(key string) {
	b.Helper()
	_, err := b.store.Head(b.ctx, key)
	b.kind(err, s3backend.KindNotExist, fmt.Sprintf("Head of %q, which should be absent", key))
}

// brief shows data in a message.
func brief(data []byte) string {
	if len(data) <= 64 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%d bytes with MD5 %s", len(data), md5Hex(data))
}

func md5Hex(data []byte) string {
	sum := md5.Sum(data)
	return hex.EncodeToString(sum[:])
}

// random returns n bytes that no compression or deduplication hides.
func random(n int) []byte {
	data := make([]byte, n)
	rand.Read(data) // never fails
	return data
}

// sameStrings reports the first difference of two lists.
func (b *bench) sameStrings(what string, got, want []string) {
	b.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			b.Errorf("%s: %d entries, want %d; the first one missing is %q", what, len(got), len(want), want[i])
		case i >= len(want):
			b.Errorf("%s: %d entries, want %d; the first one too many is %q", what, len(got), len(want), got[i])
		case got[i] != want[i]:
			b.Errorf("%s: entry %d is %q, want %q", what, i, got[i], want[i])
		default:
			continue
		}
		return
	}
}

package s3test

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"rgwfs/s3backend"
)

var conditionObligations = []obligation{
	{"GetIfMatch", testGetIfMatch},
	{"PutIfNoneMatch", testPutIfNoneMatch},
	{"PutIfNoneMatchRace", testPutIfNoneMatchRace},
	{"PutIfMatch", testPutIfMatch},
	{"GetOverwrite", testGetOverwrite},
	{"GetDelete", testGetDelete},
}

func testGetIfMatch(b *bench) {
	key := b.key("k")
	old := b.put(key, []byte("old generation"))
	_, got, err := b.read(s3backend.GetRequest{Key: key, Offset: 4, Length: 3, IfMatch: old.ETag})
	if err != nil || string(got) != "gen" {
		b.Errorf("Get with the right ETag: %q, %v", got, err)
	}
	b.put(key, []byte("new generation"))
	_, _, err = b.store.Get(b.ctx, s3backend.GetRequest{Key: key, Offset: 4, Length: 3, IfMatch: old.ETag})
	b.kind(err, s3backend.KindChanged, "Get with an old ETag")
	// Past its end the pinned generation still matters.
	_, _, err = b.store.Get(b.ctx, s3backend.GetRequest{Key: key, Offset: 1 << 20, Length: 3, IfMatch: old.ETag})
	b.kind(err, s3backend.KindChanged, "Get past the end with an old ETag")
	b.ok(b.store.Delete(b.ctx, key))
	_, _, err = b.store.Get(b.ctx, s3backend.GetRequest{Key: key, Length: -1, IfMatch: old.ETag})
	b.kind(err, s3backend.KindNotExist, "Get with an ETag of a key that is gone")
}

func testPutIfNoneMatch(b *bench) {
	key := b.key("k")
	req := putOf(key, []byte("first"))
	req.IfNoneMatch = true
	if _, err := b.store.Put(b.ctx, req); err != nil {
		b.Fatalf("exclusive Put of an absent key: %v", err)
	}
	req = putOf(key, []byte("second"))
	req.IfNoneMatch = true
	_, err := b.store.Put(b.ctx, req)
	b.kind(err, s3backend.KindExist, "exclusive Put of a key that is there")
	b.holds(key, []byte("first"))
	b.ok(b.store.Delete(b.ctx, key))
	req = putOf(key, []byte("third"))
	req.IfNoneMatch = true
	if _, err := b.store.Put(b.ctx, req); err != nil {
		b.Errorf("exclusive Put after Delete: %v", err)
	}
	b.holds(key, []byte("third"))
}

func testPutIfNoneMatchRace(b *bench) {
	const writers = 12
	for round := range 5 {
		key := b.key(fmt.Sprint("race-", round))
		var won atomic.Int32
		var winner [writers]bool
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range writers {
			wg.Go(func() {
				req := putOf(key, []byte{'A' + byte(i)})
				req.IfNoneMatch = true
				<-start
				_, err := b.store.Put(b.ctx, req)
				if err == nil {
					won.Add(1)
					winner[i] = true
					return
				}
				b.kind(err, s3backend.KindExist, "a loser's Put")
			})
		}
		close(start)
		wg.Wait()
		if n := won.Load(); n != 1 {
			b.Fatalf("%d of %d exclusive Puts won, want 1", n, writers)
		}
		_, got, err := b.read(s3backend.GetRequest{Key: key, Length: -1})
		b.ok(err)
		if len(got) != 1 || !winner[got[0]-'A'] {
			b.Errorf("the object holds %q, which the winner did not write", got)
		}
	}
}

func testPutIfMatch(b *bench) {
	key := b.key("k")
	first := b.put(key, []byte("first"))
	req := putOf(key, []byte("second"))
	req.IfMatch = first.ETag
	second, err := b.store.Put(b.ctx, req)
	b.ok(err)
	b.holds(key, []byte("second"))
	req = putOf(key, []byte("third"))
	req.IfMatch = first.ETag
	_, err = b.store.Put(b.ctx, req)
	b.kind(err, s3backend.KindChanged, "Put with an old ETag")
	b.holds(key, []byte("second"))
	b.ok(b.store.Delete(b.ctx, key))
	req = putOf(key, []byte("fourth"))
	req.IfMatch = second.ETag
	_, err = b.store.Put(b.ctx, req)
	b.kind(err, s3backend.KindChanged, "Put with an ETag of a key that is gone")
	b.absent(key)
}

// inFlight is larger than what sockets and a server's read-ahead hold, so that
// a Get of it is under way until it has been read.
const inFlight = 24 << 20

func testGetOverwrite(b *bench) {
	testGetDuring(b, func(key string) {
		b.put(key, random(inFlight))
	})
}

func testGetDelete(b *bench) {
	testGetDuring(b, func(key string) {
		b.ok(b.store.Delete(b.ctx, key))
	})
}

// testGetDuring changes the key while a Get is under way: its body is the old
// generation or ends in KindChanged, and no byte of it is another's.
func testGetDuring(b *bench, change func(key string)) {
	key, data := b.key("k"), random(inFlight)
	put := b.put(key, data)
	o, body, err := b.store.Get(b.ctx, s3backend.GetRequest{Key: key, Length: -1})
	b.ok(err)
	if o.ETag != put.ETag {
		b.Errorf("Get describes ETag %s, want %s", o.ETag, put.ETag)
	}
	var buf bytes.Buffer
	buf.Grow(len(data) + bytes.MinRead)
	_, err = io.CopyN(&buf, body, 1000)
	b.ok(err)
	change(key)
	_, err = buf.ReadFrom(body)
	got := buf.Bytes()
	if !bytes.HasPrefix(data, got) {
		b.Errorf("the body is not of the old generation: %s of %d", brief(got), len(data))
	}
	if err != nil {
		b.Logf("the old generation ended after %d bytes: %v", len(got), err)
		b.kind(err, s3backend.KindChanged, "rest of the body")
	} else if len(got) != len(data) {
		b.Errorf("the body ended without error after %d bytes of %d", len(got), len(data))
	}
	b.ok(body.Close())
}

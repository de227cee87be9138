package s3test

import (
	"fmt"

	"rgwfs/s3backend"
)

var deleteObligations = []obligation{
	{"One", testDeleteOne},
	{"Many", testDeleteMany},
	{"ManyMissing", testDeleteManyMissing},
	{"ManyOddKeys", testDeleteManyOddKeys},
	{"TooMany", testDeleteTooMany},
}

func testDeleteOne(b *bench) {
	key := b.key("k")
	b.put(key, []byte("x"))
	b.put(key+"/below", []byte("x"))
	b.ok(b.store.Delete(b.ctx, key))
	b.absent(key)
	b.holds(key+"/below", []byte("x"))
	if err := b.store.Delete(b.ctx, key); err != nil {
		b.Errorf("Delete of a key that is gone: %v", err)
	}
	if err := b.store.Delete(b.ctx, b.key("never/was")); err != nil {
		b.Errorf("Delete of a key that never was: %v", err)
	}
}

// deleteMany deletes all of names or reports.
func (b *bench) deleteMany(names []string) {
	b.Helper()
	keys := make([]string, len(names))
	for i, n := range names {
		keys[i] = b.key(n)
	}
	failed, err := b.store.DeleteMany(b.ctx, keys)
	if err != nil {
		b.Errorf("DeleteMany of %d keys: %v", len(keys), err)
	}
	for _, e := range failed {
		b.Errorf("DeleteMany of %d keys: %v", len(keys), e)
	}
}

func testDeleteMany(b *bench) {
	var names []string
	for i := range s3backend.MaxDeleteKeys {
		names = append(names, fmt.Sprintf("k%04d", i))
	}
	b.putAll(append(names, "stays")...)
	b.deleteMany(names)
	b.sameStrings("left over", b.listAll(s3backend.ListRequest{}), []string{"stays"})
	// A server that answers before it has read the request must not break it.
	for range 20 {
		b.put(b.key("k"), nil)
		b.deleteMany([]string{"k"})
		b.absent(b.key("k"))
	}
}

func testDeleteManyMissing(b *bench) {
	b.putAll("here", "here/too")
	b.deleteMany([]string{"absent", "here", "absent/", "here/too", "absent too"})
	b.deleteMany([]string{"absent", "here"})
	b.sameStrings("left over", b.listAll(s3backend.ListRequest{}), nil)
}

func testDeleteManyOddKeys(b *bench) {
	b.putAll(oddNames...)
	b.deleteMany(oddNames)
	b.sameStrings("left over", b.listAll(s3backend.ListRequest{}), nil)
}

func testDeleteTooMany(b *bench) {
	b.put(b.key("0"), nil)
	keys := make([]string, s3backend.MaxDeleteKeys+1)
	for i := range keys {
		keys[i] = b.key(fmt.Sprint(i))
	}
	_, err := b.store.DeleteMany(b.ctx, keys)
	b.kind(err, s3backend.KindInvalid, "DeleteMany of more than MaxDeleteKeys")
	b.holds(keys[0], nil)
}

package main

import (
	"context"
	"sort"
	"sync"

	"rgwfs/s3backend"
)

func encryptionSpec() toolSpec {
	return toolSpec{
		name: "encryption", synopsis: "rgwfs encryption status [-l] PATH...", summary: "how objects are encrypted",
		about: `Counts the objects at and below PATH by how they are encrypted. With --sse-c-key-file it tells by
which key; an object that none of the keys opens is told as one of another key. One HEAD for each.`,
		least: 2, most: -1,
		setup: func(t *tool) func(context.Context, []string) error {
			long := t.flags.BoolP("list", "l", false, "each object on a line of its own")
			return func(ctx context.Context, operands []string) error {
				if operands[0] != "status" {
					return usageError("encryption", "no `encryption %s`: usage: %s", operands[0], t.spec.synopsis)
				}
				for _, arg := range operands[1:] {
					l, err := t.open(ctx, arg)
					if err != nil {
						return err
					}
					if err := t.encryptionStatus(ctx, l, *long); err != nil {
						return err
					}
				}
				return nil
			}
		},
	}
}

// encryptionText says in words how an object is encrypted.
func encryptionText(e s3backend.ObjectEncryption) string {
	switch {
	case e.Method == s3backend.NotEncrypted:
		return "not encrypted"
	case e.Method == s3backend.SSEC && e.Key == "":
		return "SSE-C, by a key that is not here"
	case e.Key == "":
		return e.Method
	case e.Current:
		return e.Method + ", key " + e.Key + " (encrypts)"
	}
	return e.Method + ", key " + e.Key
}

// encryptionCount is what objects of one kind come to.
type encryptionCount struct {
	Method  string `json:"method"`
	Key     string `json:"key,omitempty"`
	Current bool   `json:"current"`
	Objects int64  `json:"objects"`
	Bytes   int64  `json:"bytes"`
	text    string
}

func (t *tool) encryptionStatus(ctx context.Context, l location, long bool) error {
	var mu sync.Mutex
	counts := map[string]*encryptionCount{}
	p := t.newProgress("looking", 0)
	n, err := t.manyObjectsOf(ctx, l, func(ctx context.Context, o s3backend.Object) error {
		e, err := t.client.EncryptionOf(ctx, l.bucket, o.Key)
		if s3backend.IsNotExist(err) {
			return nil // removed meanwhile
		}
		if err != nil {
			return t.explain(location{bucket: l.bucket, key: o.Key}, err)
		}
		p.add(1, o.Size)
		text := encryptionText(e)
		mu.Lock()
		defer mu.Unlock()
		c := counts[text]
		if c == nil {
			c = &encryptionCount{Method: e.Method, Key: e.Key, Current: e.Current, text: text}
			counts[text] = c
		}
		c.Objects++
		c.Bytes += o.Size
		switch {
		case !long:
			return nil
		case t.json:
			return t.emit(map[string]any{"object": o.Key, "method": e.Method, "key": e.Key, "current": e.Current, "bytes": o.Size})
		}
		return t.printf("%s\t%s\n", shown(o.Key), text)
	})
	p.done()
	if err != nil {
		return err
	}
	if n == 0 && l.key != "" {
		return nothingAt(l)
	}
	var list []*encryptionCount
	for _, c := range counts {
		list = append(list, c)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].text < list[j].text })
	for _, c := range list {
		if t.json {
			err = t.emit(c)
		} else {
			err = t.printf("%8d objects  %10s  %s\n", c.Objects, humanSize(c.Bytes), c.text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// manyObjectsOf is manyObjects that asks the listing also for the object at l:
// a HEAD may be denied for want of its key.
func (t *tool) manyObjectsOf(ctx context.Context, l location, f func(context.Context, s3backend.Object) error) (int, error) {
	n := 0
	if l.key != "" && l.below() != l.key {
		page, err := t.client.Bucket(l.bucket).List(ctx, s3backend.ListRequest{Prefix: l.key, MaxKeys: 1})
		if err != nil {
			return 0, t.explain(l, err)
		}
		if len(page.Objects) == 1 && page.Objects[0].Key == l.key {
			n++
			if err := f(ctx, page.Objects[0]); err != nil {
				return n, err
			}
		}
		l.key = l.below()
	}
	below, err := t.manyObjects(ctx, l, f)
	return n + below, err
}

package main

import (
	"context"
	"sync"

	"rgwfs/s3backend"
)

func rekeySpec() toolSpec {
	return toolSpec{
		name: "rekey", synopsis: "rgwfs rekey [-n] --sse-c-key-file NEW [--sse-c-key-file OLD]... PATH...", summary: "encrypt objects anew, with another key",
		about: `Encrypts every object at and below PATH with the first key (or as --sse says); the other keys open
what was written with them. Objects that are so already are left alone: run again, it goes on where
it was interrupted. What another key has encrypted comes through this machine; what was not
encrypted is copied by the server. Metadata and ACLs stay, tags and older versions don't follow.
Keep the old key until ` + "`rgwfs encryption status`" + ` says that nothing needs it.`,
		least: 1, most: -1,
		setup: func(t *tool) func(context.Context, []string) error {
			dry := t.flags.BoolP("dry-run", "n", false, "only print what would be encrypted anew")
			return func(ctx context.Context, operands []string) error {
				if len(t.backend.SSEKeys) == 0 && t.backend.SSE.Algorithm == "" {
					return usageError("rekey", "no key to encrypt with: give --sse-c-key-file, the new key's first, or --sse")
				}
				for _, arg := range operands {
					l, err := t.open(ctx, arg)
					if err != nil {
						return err
					}
					if err := t.rekey(ctx, l, *dry); err != nil {
						return err
					}
				}
				return nil
			}
		},
	}
}

// rekey goes on after an object that fails, so that one that is in use does not
// keep all others back.
func (t *tool) rekey(ctx context.Context, l location, dry bool) error {
	var mu sync.Mutex
	var done, already, failed, bytes int64
	p := t.newProgress("encrypting", 0)
	n, err := t.manyObjectsOf(ctx, l, func(ctx context.Context, o s3backend.Object) error {
		changed, err := t.rekeyOne(ctx, l, o, dry)
		if ctx.Err() != nil {
			return fail("interrupted; run it again to go on")
		}
		p.add(1, o.Size)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil && s3backend.IsNotExist(err): // removed meanwhile
		case err != nil:
			failed++
			t.warn("%s: %v", location{bucket: l.bucket, key: o.Key}, err)
		case !changed:
			already++
		default:
			done++
			bytes += o.Size
			if dry {
				return t.printf("%s\n", shown(o.Key))
			}
		}
		return nil
	})
	p.done()
	switch {
	case err != nil:
		return err
	case n == 0 && l.key != "":
		return nothingAt(l)
	case t.json:
		err = t.emit(map[string]any{"path": l.String(), "encrypted": done, "bytes": bytes, "already": already, "failed": failed})
	case !dry:
		err = t.printf("encrypted %d objects, %s; %d were so already\n", done, humanSize(bytes), already)
	}
	if err == nil && failed > 0 {
		err = fail("%s: %d objects could not be encrypted; run it again once that is mended", l, failed)
	}
	return err
}

func (t *tool) rekeyOne(ctx context.Context, l location, o s3backend.Object, dry bool) (changed bool, err error) {
	if dry {
		was, err := t.client.EncryptionOf(ctx, l.bucket, o.Key)
		return !was.Current, err
	}
	_, changed, err = t.client.Rekey(ctx, l.bucket, o.Key)
	return changed, err
}

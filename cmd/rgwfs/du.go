package main

import (
	"context"
	"slices"
	"strings"

	"rgwfs/s3backend"
)

func duSpec() toolSpec {
	return toolSpec{
		name: "du", synopsis: "rgwfs du [--depth N] PATH...", summary: "count and add up what is below, without a mount",
		about: "Size, number of objects, path. One listing for 1000 objects; directories' own objects count too.",
		least: 1, most: -1,
		setup: func(t *tool) func(context.Context, []string) error {
			depth := t.flags.IntP("depth", "d", 0, "also each directory down to this `LEVEL`")
			exact := t.flags.BoolP("bytes", "b", false, "sizes in bytes")
			return func(ctx context.Context, operands []string) error {
				for _, arg := range operands {
					l, err := t.open(ctx, arg)
					if err != nil {
						return err
					}
					if l.bucket == "" {
						return usageError("du", "%s is not in one bucket", arg)
					}
					if err := t.usage(ctx, l, *depth, *exact); err != nil {
						return err
					}
				}
				return nil
			}
		},
	}
}

type sum struct{ objects, bytes int64 }

func (t *tool) usage(ctx context.Context, l location, depth int, exact bool) error {
	// Below the given depth nothing is remembered: memory is by directories
	// shown, not by objects.
	sums := map[string]*sum{l.key: {}}
	p := t.newProgress("counting", 0)
	n, err := t.eachObject(ctx, l, func(o s3backend.Object) error {
		p.add(1, o.Size)
		for _, dir := range directories(l, o.Key, depth) {
			s := sums[dir]
			if s == nil {
				s = &sum{}
				sums[dir] = s
			}
			s.objects++
			s.bytes += o.Size
		}
		return nil
	})
	p.done()
	if err != nil {
		return err
	}
	if n == 0 && l.key != "" {
		return nothingAt(l)
	}
	var dirs []string
	for dir := range sums {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		s, name := sums[dir], location{bucket: l.bucket, key: dir}.String()
		size := humanSize(s.bytes)
		switch {
		case t.json:
			err = t.emit(map[string]any{"path": name, "objects": s.objects, "bytes": s.bytes})
		case exact:
			err = t.printf("%16d  %10d  %s\n", s.bytes, s.objects, name)
		default:
			err = t.printf("%12s  %10d  %s\n", size, s.objects, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// directories returns l.key and the directories between it and key, at most
// depth of them.
func directories(l location, key string, depth int) []string {
	list := []string{l.key}
	base := l.below()
	rest := strings.TrimPrefix(key, base)
	for at := 0; depth > 0 && strings.HasPrefix(key, base); depth-- {
		i := strings.IndexByte(rest[at:], '/')
		if i < 0 {
			break
		}
		at += i + 1
		list = append(list, base+rest[:at])
	}
	return list
}

package main

import (
	"context"
	"strings"

	"rgwfs/s3backend"
)

func treeSpec() toolSpec {
	return toolSpec{
		name: "tree", synopsis: "rgwfs tree [--depth N] PATH", summary: "show what is below as a tree, without a mount",
		least: 1, most: 1,
		setup: func(t *tool) func(context.Context, []string) error {
			depth := t.flags.IntP("depth", "d", 0, "no deeper than this `LEVEL`; 0 shows all")
			return func(ctx context.Context, operands []string) error {
				l, err := t.open(ctx, operands[0])
				if err != nil {
					return err
				}
				if l.bucket == "" {
					return usageError("tree", "%s is not in one bucket", operands[0])
				}
				return t.tree(ctx, l, *depth)
			}
		},
	}
}

// tree prints while it lists: keys come in order, so that only the directories
// above the last one must be known.
func (t *tool) tree(ctx context.Context, l location, depth int) error {
	if !t.json {
		if err := t.printf("%s\n", l); err != nil {
			return err
		}
	}
	var open []string // directories that have been printed and may go on
	var dirs, files int64
	base := l.below()
	n, err := t.eachObject(ctx, l, func(o s3backend.Object) error {
		if t.json {
			return t.emit(toObjectJSON(o))
		}
		rest, below := strings.CutPrefix(o.Key, base)
		if !below || rest == "" {
			return nil // the object that is named itself
		}
		segments := strings.Split(rest, "/")
		common := 0
		for common < len(open) && common < len(segments)-1 && open[common] == segments[common] {
			common++
		}
		open = open[:common]
		for i := common; i < len(segments)-1; i++ {
			open = append(open, segments[i])
			dirs++
			if depth == 0 || i < depth {
				if err := t.printf("%s%s/\n", strings.Repeat("  ", i+1), shown(segments[i])); err != nil {
					return err
				}
			}
		}
		level, name := len(segments)-1, segments[len(segments)-1]
		if name == "" {
			return nil // a directory's own object
		}
		files++
		if depth > 0 && level >= depth {
			return nil
		}
		return t.printf("%s%s  (%s)\n", strings.Repeat("  ", level+1), shown(name), humanSize(o.Size))
	})
	switch {
	case err != nil:
		return err
	case n == 0 && l.key != "":
		return nothingAt(l)
	case t.json:
		return nil
	}
	return t.printf("%d directories, %d objects\n", dirs, files)
}

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"rgwfs/cache"
	"rgwfs/s3backend"
)

func doctorSpec() toolSpec {
	return toolSpec{
		name: "doctor", synopsis: "rgwfs doctor [--read-only] [SOURCE]", summary: "find out what works and what does not, with the mend",
		about: `Looks at the way to the server, TLS, clocks, credentials and signatures, at what they may do in
SOURCE (a bucket, a prefix of one, or a directory in a mount), how the server behaves, at speed and
quota, and at what a mount needs of this machine. One line each: ok, warning, or FAILURE with what
to do. It ends at what makes going on senseless. Without SOURCE it looks at no bucket.

What it writes are some small objects and one of 8 MiB in a scratch prefix, which it removes. How
the server behaves is kept for mounts, in ~/.cache/rgwfs. The output has no secrets: it can be put
into a ticket. Exit code 0: nothing failed (there may be warnings).`,
		least: 0, most: 1,
		setup: func(t *tool) func(context.Context, []string) error {
			readOnly := t.flags.Bool("read-only", false, "write nothing: what only a write tells stays unknown")
			cacheDir := t.flags.String("cache-dir", "", "`DIR` that a mount is to use; without: RGWFS_CACHE_DIR, else the default")
			return func(ctx context.Context, operands []string) error {
				d := &doctor{t: t, write: !*readOnly, host: thisHost(), cacheDir: *cacheDir}
				if d.cacheDir == "" {
					d.cacheDir = t.inv.getenv(variable("cache-dir"))
				}
				if d.cacheDir == "" {
					d.cacheDir = cache.DefaultConfig().Dir
				}
				var err error
				if len(operands) == 1 {
					if d.source, err = t.sourceOf(operands[0]); err != nil {
						return err
					}
				}
				return d.run(ctx)
			}
		},
	}
}

// sourceOf understands what mount takes, and a path in a mount.
func (t *tool) sourceOf(arg string) (source, error) {
	if !filepath.IsAbs(arg) && !strings.HasPrefix(arg, ".") {
		s, err := parseSource(arg)
		if err != nil {
			return s, usageError(t.spec.name, "%v", err)
		}
		return s, nil
	}
	l, err := t.locate(arg)
	if err != nil {
		return source{}, err
	}
	prefix := l.key
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return source{bucket: l.bucket, prefix: prefix}, nil
}

// state is how a check ended.
type state string

const (
	stateOK      state = "ok"
	stateWarning state = "warning"
	stateFailure state = "failure"
)

// finding is one line of the doctor's report.
type finding struct {
	Check string `json:"check"`
	State state  `json:"state"`
	Text  string `json:"text"` // with the mend, if there is something to mend
}

// doctor is one run of the command. Checks follow one another.
type doctor struct {
	t        *tool
	source   source
	write    bool
	host     host
	cacheDir string

	count    int
	failures int
	printErr error // the first
}

func (d *doctor) settings() *settings { return &settings{source: d.source, backend: d.t.backend} }

func (d *doctor) run(ctx context.Context) error {
	d.server(ctx)
	if ctx.Err() == nil {
		d.machine()
	}
	switch {
	case d.printErr != nil:
		return d.printErr
	case ctx.Err() != nil:
		return fail("interrupted")
	case d.failures > 0:
		return fail("%d of %d checks failed", d.failures, d.count)
	}
	return nil
}

// add prints a line.
func (d *doctor) add(s state, check, format string, args ...any) {
	text := oneLine(fmt.Sprintf(format, args...))
	if d.t.client != nil {
		text = d.t.client.Redact(context.Background(), text)
	}
	d.count++
	word := string(s)
	if s == stateFailure {
		d.failures++
		word = "FAILURE"
	}
	var err error
	if d.t.json {
		err = d.t.emit(finding{check, s, text})
	} else {
		err = d.t.printf("%-8s %-12s %s\n", word, check, text)
	}
	if d.printErr == nil {
		d.printErr = err
	}
}

func (d *doctor) ok(check, format string, args ...any) { d.add(stateOK, check, format, args...) }

func (d *doctor) warning(check, format string, args ...any) {
	d.add(stateWarning, check, format, args...)
}

func (d *doctor) failure(check, format string, args ...any) {
	d.add(stateFailure, check, format, args...)
}

// refused is a line for an error of a request, "" if it is a signal's doing.
func (d *doctor) refused(ctx context.Context, s state, check, right string, err error) {
	if ctx.Err() != nil {
		return // run says so
	}
	switch s3backend.KindOf(err) {
	case s3backend.KindQuota:
		d.add(s, check, "the quota is full (%v): remove what is not needed, or have its administrator raise it", err)
	case s3backend.KindPermission:
		d.add(s, check, "these credentials have no right to it: have the bucket's owner grant %s, or use others (%v)", right, err)
	default:
		d.add(s, check, "%v", explain(d.settings(), err))
	}
}

package main

import (
	"errors"
	iofs "io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"rgwfs/cache"
	"rgwfs/s3backend"
)

// haveAndLack says in the order of the alphabet which facts are and are not.
func haveAndLack(facts map[string]s3backend.Fact) string {
	var have, lack []string
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		switch facts[name] {
		case s3backend.Yes:
			have = append(have, name)
		case s3backend.No:
			lack = append(lack, name)
		}
	}
	switch {
	case len(lack) == 0:
		return "has " + strings.Join(have, ", ")
	case len(have) == 0:
		return "rgwfs does without " + strings.Join(lack, ", ")
	}
	return "has " + strings.Join(have, ", ") + "; rgwfs does without " + strings.Join(lack, ", ")
}

// machine does the checks of what a mount needs here.
func (d *doctor) machine() {
	d.fuse()
	d.files()
	d.memory()
	d.cache()
}

func (d *doctor) fuse() {
	s := d.settings()
	if err := d.host.checkFuse(s); err != nil {
		d.failure("FUSE", "%v", err)
		return
	}
	text := d.host.fuse + " can be used"
	if path, err := d.host.lookPath("fusermount3"); err == nil {
		text += ", " + path + " is there"
	} else {
		text += "; fusermount3 is missing, which users other than root need"
	}
	others := "users may not use --allow-other (no user_allow_other in " + d.host.fuseConf + ")"
	if d.host.checkUserAllowOther(s) == nil {
		others = "users may use --allow-other"
	}
	d.ok("FUSE", "%s; %s", text, others)
}

func (d *doctor) files() {
	warning, err := raiseFileLimit()
	var limit unix.Rlimit
	if err == nil {
		err = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	}
	switch {
	case err != nil:
		d.failure("open files", "%v", err)
	case warning != "":
		d.warning("open files", "%s", warning)
	default:
		d.ok("open files", "%d at once", limit.Cur)
	}
}

func (d *doctor) memory() {
	limit, from := sizeValue(cache.DefaultConfig().MemoryLimit), "by default"
	if text := d.t.inv.getenv(variable("memory-limit")); text != "" {
		from = "by " + variable("memory-limit")
		if err := limit.Set(text); err != nil {
			d.failure("memory", "%s: %v", variable("memory-limit"), err)
			return
		}
	}
	if int64(limit) < cache.MinMemoryLimit {
		d.failure("memory", "a mount would use %s %s: give at least %s", humanSize(int64(limit)), from, humanSize(cache.MinMemoryLimit))
		return
	}
	d.ok("memory", "a mount uses up to %s %s, and 64 MiB for itself", humanSize(int64(limit)), from)
}

// cache tells where files that are not written in order are kept meanwhile.
func (d *doctor) cache() {
	dir := d.cacheDir
	for {
		info, err := os.Stat(dir)
		if err == nil && !info.IsDir() {
			d.failure("cache dir", "%s is not a directory: give another by --cache-dir", dir)
			return
		}
		if !errors.Is(err, iofs.ErrNotExist) || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir) // it is made by the first mount
	}
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		d.failure("cache dir", "%s can't be written to (%v): give another by --cache-dir", d.cacheDir, err)
		return
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		d.failure("cache dir", "%s: %v: give another by --cache-dir", d.cacheDir, err)
		return
	}
	free := int64(fs.Bavail) * fs.Bsize
	kind := ""
	if fs.Type == unix.TMPFS_MAGIC {
		kind = " (in memory)"
	}
	const few = 1 << 30
	if free < few {
		d.warning("cache dir", "%s has %s free%s: changes to larger files fail for want of space; give another by --cache-dir", d.cacheDir, humanSize(free), kind)
		return
	}
	d.ok("cache dir", "%s has %s free%s", d.cacheDir, humanSize(free), kind)
}

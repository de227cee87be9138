package fs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// mount is what all inodes of one mount share.
type mount struct {
	cfg    Config
	log    *slog.Logger
	begun  time.Time // the time of what has none
	tree   tree
	notify *notifier

	mu      sync.Mutex
	handles map[*fileHandle]struct{} // open ones; guarded by mu
}

func (m *mount) track(fh *fileHandle) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.handles[fh] = struct{}{}
}

func (m *mount) untrack(fh *fileHandle) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.handles, fh)
}

// Server is a file system that is mounted.
type Server struct {
	m          *mount
	fuse       *fuse.Server
	mountpoint string
	done       chan struct{} // closed when everything is over
}

// Mount mounts root on mountpoint and serves it. It returns when the kernel
// has accepted the mount. The caches are the caller's to close, after Wait.
func Mount(mountpoint string, root Root, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	mountpoint, err := filepath.Abs(mountpoint)
	if err != nil {
		return nil, err
	}
	m := &mount{
		cfg: cfg, log: cfg.Logger, begun: time.Now(),
		tree: tree{live: map[uint64]*node{}}, handles: map[*fileHandle]struct{}{},
	}
	var top gofs.InodeEmbedder
	switch {
	case root.account != nil:
		top = &accountNode{m: m, account: root.account, volumes: map[string]*volume{}}
	case root.bucket != nil:
		top = newVolume(m, root.bucket, root.prefix).root
	default:
		return nil, errors.New("nothing to mount")
	}
	opts := m.options()
	raw := gofs.NewNodeFS(top, opts)
	if cfg.AllowRoot {
		raw = ownerOnly{RawFileSystem: raw, owner: uint32(os.Geteuid())}
	}
	fs, err := fuse.NewServer(raw, mountpoint, &opts.MountOptions)
	if err != nil {
		if errno := syscall.Errno(0); !errors.As(err, &errno) {
			// fusermount3 has said why on our standard error.
			err = errors.New(strings.TrimSpace(err.Error()))
		}
		return nil, fmt.Errorf("mount on %s: %w", mountpoint, err)
	}
	m.notify = newNotifier()
	s := &Server{m: m, fuse: fs, mountpoint: mountpoint, done: make(chan struct{})}
	go s.serve()
	if err := fs.WaitMount(); err != nil {
		return nil, errors.Join(fmt.Errorf("mount on %s: %w", mountpoint, err), s.Unmount())
	}
	s.setReadAhead()
	return s, nil
}

// options returns go-fuse's options, each with its reason. The numbers are
// measured: go-fuse 2.12, Linux 6.18.
func (m *mount) options() *gofs.Options {
	cfg := &m.cfg
	o := &gofs.Options{
		// Entry and attribute timeouts are set in each answer, from what is
		// left of the cache's own: a global one would override a 0.
		NullPermissions: true, // mode 0000 is a mode
		RootStableAttr:  &gofs.StableAttr{Ino: rootIno},
		UID:             0, GID: 0, // never substitute root's ids
		Logger: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
		MountOptions: fuse.MountOptions{
			Name: "rgwfs", FsName: cfg.FsName,
			AllowOther: cfg.AllowOther || cfg.AllowRoot, // see ownerOnly for the latter
			// 1 MiB requests, the kernel's limit unless root raises it, read
			// twice as fast as the default's 128 KiB.
			MaxWrite: 1 << 20,
			// How much readahead, O_DIRECT and writeback may be under way; the
			// kernel's 12 leaves a link with latency idle.
			MaxBackground: 64, CongestionThreshold: 48,
			// With splice each read makes a pipe first, fails for 1 MiB
			// because of its header, and logs a line.
			DisableSplice: true,
			ExtraCapabilities: 0 |
				// Plain ls does not ask for attributes: 100,000 names in 0.02 s
				// instead of 0.6 s.
				fuse.CAP_READDIRPLUS_AUTO |
				// O_DIRECT with asynchronous I/O runs in parallel.
				fuse.CAP_ASYNC_DIO |
				// No GETXATTR before each write. Set-id bits are never shown,
				// so there are none to clear; chmod and chown drop stored ones.
				fuse.CAP_HANDLE_KILLPRIV_V2 |
				// open(O_TRUNC) is one request, and one generation.
				fuse.CAP_ATOMIC_O_TRUNC |
				// MAP_SHARED works on files opened with O_DIRECT.
				fuse.CAP_DIRECT_IO_ALLOW_MMAP,
			// Permissions are checked by the kernel, without ACCESS requests.
			Options: append([]string{"default_permissions"}, cfg.Options...),
			Debug:   cfg.Debug,
			Logger:  slog.NewLogLogger(m.log.Handler(), slog.LevelInfo),
			PanicHandler: func(v any) fuse.Status {
				m.log.Error("a bug in rgwfs; the operation fails with EIO", "panic", v, "stack", string(debug.Stack()))
				return fuse.EIO
			},
			// Root mounts by itself, nosuid and nodev as fusermount3 does, and
			// needs no fusermount3.
			DirectMount:      os.Geteuid() == 0,
			DirectMountFlags: syscall.MS_NOSUID | syscall.MS_NODEV,
		},
	}
	if cfg.NegativeTTL > 0 {
		o.NegativeTimeout = &cfg.NegativeTTL
	}
	if cfg.ReadOnly {
		o.Options = append(o.Options, "ro")
	}
	if o.DirectMount {
		o.Options, o.DirectMountFlags = splitFlags(o.Options, o.DirectMountFlags)
	}
	return o
}

// mountFlags are the options that mount(2) takes as flags and fusermount3 as
// words. go-fuse knows suid, dev and exec itself.
var mountFlags = map[string]struct{ set, clear uintptr }{
	"ro": {set: syscall.MS_RDONLY}, "rw": {clear: syscall.MS_RDONLY},
	"noatime": {set: syscall.MS_NOATIME}, "atime": {clear: syscall.MS_NOATIME},
	"nodiratime": {set: syscall.MS_NODIRATIME}, "diratime": {clear: syscall.MS_NODIRATIME},
	"relatime": {set: syscall.MS_RELATIME}, "norelatime": {clear: syscall.MS_RELATIME},
	"strictatime": {set: syscall.MS_STRICTATIME},
	"sync":        {set: syscall.MS_SYNCHRONOUS}, "async": {clear: syscall.MS_SYNCHRONOUS},
	"dirsync": {set: syscall.MS_DIRSYNC},
}

func splitFlags(options []string, flags uintptr) ([]string, uintptr) {
	var rest []string
	for _, o := range options {
		f, ok := mountFlags[o]
		if !ok {
			rest = append(rest, o)
			continue
		}
		flags = flags&^f.clear | f.set
	}
	return rest, flags
}

// setReadAhead raises the kernel's readahead window, if this process may: FUSE
// itself can't ask for more than 128 KiB.
func (s *Server) setReadAhead() {
	if s.m.cfg.ReadAhead == 0 {
		return
	}
	var st unix.Statx_t
	// AT_STATX_DONT_SYNC: no request to ourselves.
	if err := unix.Statx(unix.AT_FDCWD, s.mountpoint, unix.AT_STATX_DONT_SYNC, 0, &st); err != nil {
		s.m.log.Debug("readahead stays as it is", "error", err)
		return
	}
	knob := fmt.Sprintf("/sys/class/bdi/%d:%d/read_ahead_kb", st.Dev_major, st.Dev_minor)
	if err := os.WriteFile(knob, fmt.Appendf(nil, "%d", s.m.cfg.ReadAhead), 0); err != nil {
		s.m.log.Debug("readahead stays as it is: only root can raise it", "error", err)
	}
}

// serve runs until the kernel is done with the mount, and then ends what is
// left of it.
func (s *Server) serve() {
	defer close(s.done)
	s.fuse.Serve()
	s.m.notify.close()
	// After umount -f, or an abort of the connection, handles are still open:
	// the kernel releases none. What was written to them is committed.
	s.m.mu.Lock()
	left := make([]*fileHandle, 0, len(s.m.handles))
	for fh := range s.m.handles {
		left = append(left, fh)
	}
	s.m.mu.Unlock()
	for _, fh := range left {
		fh.Release(context.Background())
	}
	// The connection was aborted, but the mount is still in the tree: all who
	// look at it would get "Transport endpoint is not connected".
	if err := unix.Access(s.mountpoint, unix.F_OK); errors.Is(err, unix.ENOTCONN) {
		if err := s.UnmountLazy(); err != nil {
			s.m.log.Error("the mount is dead and can't be removed; umount -l does it", "mountpoint", s.mountpoint, "error", err)
		}
	}
}

// Wait returns when the file system is unmounted, by whomever, and no request
// is under way any more.
func (s *Server) Wait() { <-s.done }

// unmountPatience is how long Unmount tries while the mount is busy: programs
// that end at the same time need a moment.
const unmountPatience = 3 * time.Second

// Unmount unmounts the file system and waits for its end. While something is
// open in it, it fails with EBUSY after a few seconds, and the file system
// goes on.
func (s *Server) Unmount() error {
	deadline := time.Now().Add(unmountPatience)
	for {
		select {
		case <-s.done:
			return nil
		default:
		}
		err := s.fuse.Unmount()
		if err == nil {
			<-s.done
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("unmount %s: %w", s.mountpoint, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// UnmountLazy takes the mount out of the tree at once; the file system ends,
// and Wait returns, when the last program has let go of it.
func (s *Server) UnmountLazy() error {
	if os.Geteuid() == 0 {
		if err := unix.Unmount(s.mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", s.mountpoint, err)
		}
		return nil
	}
	out, err := exec.Command("fusermount3", "-u", "-z", s.mountpoint).CombinedOutput()
	if err != nil {
		return fmt.Errorf("unmount %s: %w: %s", s.mountpoint, err, strings.TrimSpace(string(out)))
	}
	return nil
}

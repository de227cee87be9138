package fs

import (
	"sync"
	"syscall"

	gofs "github.com/hanwen/go-fuse/v2/fs"
)

// maxNotices bounds the queue. What does not fit is dropped: the kernel then
// finds out when its timeout ends, as without notices.
const maxNotices = 4096

// notice is one thing that the kernel is to forget: an inode's attributes, or
// its pages too, or (name set) a directory's entry.
type notice struct {
	inode *gofs.Inode
	name  string
	pages bool
}

// notifier tells the kernel what to forget, from a goroutine of its own: the
// kernel takes the locks of inodes and directories for it, which the caller of
// the operation that found something out may hold.
type notifier struct {
	mu      sync.Mutex
	queue   []notice            // guarded by mu
	pending map[notice]struct{} // guarded by mu; those of queue
	closed  bool                // guarded by mu
	wake    chan struct{}       // has room for one
	done    chan struct{}       // closed when the goroutine has ended
}

func newNotifier() *notifier {
	q := &notifier{pending: map[notice]struct{}{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// add queues a notice, once. It never blocks.
func (q *notifier) add(x notice) {
	q.mu.Lock()
	_, dup := q.pending[x]
	if dup || q.closed || len(q.queue) >= maxNotices {
		q.mu.Unlock()
		return
	}
	q.pending[x] = struct{}{}
	q.queue = append(q.queue, x)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close ends the goroutine; what is still queued is dropped. The kernel must
// be gone, or a notice that waits for it would be waited for.
func (q *notifier) close() {
	q.mu.Lock()
	q.closed = true
	q.queue, q.pending = nil, map[notice]struct{}{}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
	<-q.done
}

func (q *notifier) run() {
	defer close(q.done)
	for range q.wake {
		for {
			q.mu.Lock()
			if q.closed {
				q.mu.Unlock()
				return
			}
			if len(q.queue) == 0 {
				q.mu.Unlock()
				break
			}
			x := q.queue[0]
			q.queue = q.queue[1:]
			delete(q.pending, x)
			q.mu.Unlock()
			x.send()
		}
	}
}

// send ignores the errno: ENOENT says that the kernel has nothing to forget,
// and ENODEV that it is gone.
func (x notice) send() syscall.Errno {
	switch {
	case x.name != "":
		return x.inode.NotifyEntry(x.name)
	case x.pages:
		return x.inode.NotifyContent(0, 0)
	default:
		return x.inode.NotifyContent(-1, 0)
	}
}

// bucketNotifier implements cache.Notifier for one volume.
type bucketNotifier struct{ vol *volume }

// Changed queues that the attributes of a file are out of date, if the kernel
// knows it.
func (b bucketNotifier) Changed(key string) {
	in := b.vol.find(key)
	if in == nil {
		return
	}
	if n, ok := in.Operations().(*fileNode); ok {
		n.setStale()
		return
	}
	b.vol.m.notify.add(notice{inode: in})
}

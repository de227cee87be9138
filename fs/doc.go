// Package fs shows buckets as a file system, through FUSE. It owns names: which
// inode is meant, where it is in the tree, what POSIX attributes it has. The
// bytes are package cache's, and so is every request.
//
// # Identity
//
// An inode is a node: dirNode, fileNode or linkNode. It knows its parent and
// its name, and its key is spelled from these, so renaming a directory moves
// everything below it at once. The inode number is a hash of the key, the same
// on every mount, and stays what it was when the inode is renamed or unlinked;
// as long as such an inode lives, no other gets its number (see tree). What
// type a node has never changes: if its object turns out to be of another
// type, operations answer ESTALE, the name is looked up again, and the kernel
// repeats the system call.
//
// # Locks
//
// The order, outer ones first; what stands on one line is never held together:
//
//	the kernel's locks of inodes, directories and folios
//	  a gate's keys (held across requests)
//	    package cache's locks
//	    tree.mu
//	      go-fuse's locks
//	    fileHandle.mu
//	      fileNode.mu
//	        tree.mu
//	    mount.mu | notifier.mu | topAttr.mu | accountNode.mu
//
// gate.mu, which is inside a gate, is held for moments only and takes tree.mu.
// No lock of this package but a gate's keys is held across a request or a
// notification. Reading, writing and closing take no gate at all: a directory
// can be renamed while files below it are in use.
//
// # What the kernel remembers
//
// Names and attributes are remembered for what is left of the time that the
// cache believes them (--metadata-ttl), absences for --negative-ttl. Attributes
// in a listing lack what only a HEAD tells (owner, mode, exact times, symlinks),
// unless it is known from before; a stat of the file itself gets it.
//
// Pages are remembered while a file is open, and kept for the next open only
// if the object has the same ETag then. All handles of a file share its pages,
// so a handle never fills in bytes of a generation that the pages are not of:
// it reads ESTALE instead. Where a name is found to mean another client's newer
// object while an older one is open, it gets a new inode, and the old one stays
// as it is for those who have it open. Where a read meets a newer generation before any
// byte of an older one was returned, it goes over to it, and the kernel is told
// to ask for the size anew before the read is answered.
//
// Notifications are sent by a goroutine of their own, since the kernel takes
// locks for them which the operation that found something out holds; the one
// exception forgets attributes only, which takes none.
package fs

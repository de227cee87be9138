package fs

import (
	gofs "github.com/hanwen/go-fuse/v2/fs"

	"rgwfs/cache"
)

// go-fuse finds methods by their type at run time; one that is misspelt would
// never be called.
var (
	_ gofs.NodeLookuper       = (*dirNode)(nil)
	_ gofs.NodeGetattrer      = (*dirNode)(nil)
	_ gofs.NodeSetattrer      = (*dirNode)(nil)
	_ gofs.NodeOpendirHandler = (*dirNode)(nil)
	_ gofs.NodeCreater        = (*dirNode)(nil)
	_ gofs.NodeMkdirer        = (*dirNode)(nil)
	_ gofs.NodeMknoder        = (*dirNode)(nil)
	_ gofs.NodeSymlinker      = (*dirNode)(nil)
	_ gofs.NodeLinker         = (*dirNode)(nil)
	_ gofs.NodeUnlinker       = (*dirNode)(nil)
	_ gofs.NodeRmdirer        = (*dirNode)(nil)
	_ gofs.NodeRenamer        = (*dirNode)(nil)
	_ gofs.NodeStatfser       = (*dirNode)(nil)
	_ gofs.NodeGetxattrer     = (*dirNode)(nil)
	_ gofs.NodeSetxattrer     = (*dirNode)(nil)
	_ gofs.NodeRemovexattrer  = (*dirNode)(nil)
	_ gofs.NodeOnForgetter    = (*dirNode)(nil)

	_ gofs.NodeOpener         = (*fileNode)(nil)
	_ gofs.NodeGetattrer      = (*fileNode)(nil)
	_ gofs.NodeSetattrer      = (*fileNode)(nil)
	_ gofs.NodeCopyFileRanger = (*fileNode)(nil)
	_ gofs.NodeGetxattrer     = (*fileNode)(nil)
	_ gofs.NodeSetxattrer     = (*fileNode)(nil)
	_ gofs.NodeRemovexattrer  = (*fileNode)(nil)
	_ gofs.NodeOnForgetter    = (*fileNode)(nil)

	_ gofs.NodeReadlinker  = (*linkNode)(nil)
	_ gofs.NodeGetattrer   = (*linkNode)(nil)
	_ gofs.NodeSetattrer   = (*linkNode)(nil)
	_ gofs.NodeOnForgetter = (*linkNode)(nil)

	_ gofs.NodeLookuper       = (*accountNode)(nil)
	_ gofs.NodeGetattrer      = (*accountNode)(nil)
	_ gofs.NodeSetattrer      = (*accountNode)(nil)
	_ gofs.NodeOpendirHandler = (*accountNode)(nil)
	_ gofs.NodeCreater        = (*accountNode)(nil)
	_ gofs.NodeMkdirer        = (*accountNode)(nil)
	_ gofs.NodeSymlinker      = (*accountNode)(nil)
	_ gofs.NodeUnlinker       = (*accountNode)(nil)
	_ gofs.NodeRmdirer        = (*accountNode)(nil)
	_ gofs.NodeRenamer        = (*accountNode)(nil)
	_ gofs.NodeStatfser       = (*accountNode)(nil)
	_ gofs.NodeGetxattrer     = (*accountNode)(nil)
	_ gofs.NodeSetxattrer     = (*accountNode)(nil)

	_ gofs.FileReader   = (*fileHandle)(nil)
	_ gofs.FileWriter   = (*fileHandle)(nil)
	_ gofs.FileFlusher  = (*fileHandle)(nil)
	_ gofs.FileFsyncer  = (*fileHandle)(nil)
	_ gofs.FileReleaser = (*fileHandle)(nil)

	_ gofs.FileReaddirenter = (*dirHandle)(nil)
	_ gofs.FileLookuper     = (*dirHandle)(nil)
	_ gofs.FileSeekdirer    = (*dirHandle)(nil)
	_ gofs.FileReleasedirer = (*dirHandle)(nil)
	_ gofs.FileFsyncdirer   = (*dirHandle)(nil)

	_ gofs.FileReaddirenter = (*accountHandle)(nil)
	_ gofs.FileSeekdirer    = (*accountHandle)(nil)
	_ gofs.FileFsyncdirer   = (*accountHandle)(nil)

	_ cache.Notifier = bucketNotifier{}
)

package fs

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// inodeNumber returns the inode number of a key. It is the same in every
// process and on every machine for salt 0, so that backup programs and NFS
// exports meet the same file again; a greater salt gives the key another
// number while the first is in use by an inode that once had this key.
// 0 and 1 (no inode, the mount's root) and 2^64-1 (reserved by go-fuse) are
// never returned.
func inodeNumber(bucket string, key Key, salt uint64) uint64 {
	var d xxhash.Digest
	d.Reset()
	// Writes to a Digest never fail. NUL is in neither bucket names nor keys.
	_, _ = d.WriteString(bucket)
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(key.s)
	if salt != 0 {
		var b [9]byte
		binary.LittleEndian.PutUint64(b[1:], salt)
		_, _ = d.Write(b[:])
	}
	ino := d.Sum64()
	if ino <= rootIno || ino == ^uint64(0) {
		ino ^= 1 << 63
	}
	return ino
}

// rootIno is the inode number of the mount's root, as FUSE has it.
const rootIno = 1

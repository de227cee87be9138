// Package e2e tests rgwfs as its users have it: the binary as it is shipped, a
// process of its own, on a real Ceph RGW, driven by the programs that people
// run on a mount.
//
// It has tests only. They fail if anything is left behind by a mount: a
// process, the mount itself, a file in the cache directory, an unfinished
// upload in the bucket.
package e2e

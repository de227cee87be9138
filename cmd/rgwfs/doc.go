// Command rgwfs mounts buckets of a Ceph RADOS Gateway, or of another S3
// server, as directories.
//
// This package gathers the Configs of the packages below it from flags, -o
// options, the environment and defaults; checks, before anything is served,
// that what was asked for can work, and says in one line what to mend if it
// can't; runs as a daemon or in the foreground; and sees to it that nothing
// written is left behind at the end. All else belongs to fs, cache and
// s3backend.
package main
